//! Why a guest is not run: one line for the person, one exit code for the script.

use core::ffi::CStr;

use crate::bytes::Strings;
use crate::elf::{self, Class, Data, Machine};
use crate::emulator_file::EmulatorFault;
use crate::image::ImageFault;
use crate::message::{Digits, Number, Out, Say, Text, display, say};
use crate::table::Corrupt;

/// Exit code: the program was a question, and it was answered.
pub const EXIT_ANSWERED: u8 = 0;
/// Exit code: the command's answer is "no".
pub const EXIT_NO: u8 = 1;
/// Exit code: the command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: binfmt-dispatch is broken (a damaged image, or an invalid initial stack).
pub const EXIT_BROKEN: u8 = 125;
/// Exit code: this guest cannot be run.
pub const EXIT_CANNOT_RUN: u8 = 126;
/// Exit code: there is no emulator for this guest.
pub const EXIT_NO_EMULATOR: u8 = 127;

/// Why a guest is not run. Displayed as `what is wrong: what to do`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The guest's ELF header is invalid.
    BadHeader(elf::HeaderFault),
    /// No row of the table has this machine.
    UnknownMachine(Machine),
    /// A row has this machine, but not this class, byte order or ABI.
    UnknownVariant {
        /// Name of the nearest row.
        machine: &'a CStr,
        /// The guest's class.
        class: Class,
        /// The guest's byte order.
        data: Data,
        /// The guest's `e_flags`.
        flags: u32,
    },
    /// The guest is for another operating system.
    ForeignSystem {
        /// `EI_OSABI`.
        osabi: u8,
    },
    /// An administrator has disabled the row.
    Disabled {
        /// Name of the row.
        machine: &'a CStr,
        /// Who has disabled it: as a rule, a file.
        by: Option<&'a CStr>,
    },
    /// None of the row's emulators exists.
    NoEmulator {
        /// Name of the row.
        machine: &'a CStr,
        /// The first path that was tried, if the row has any.
        tried: Option<&'a CStr>,
    },
    /// The emulator cannot be used.
    BadEmulator {
        /// Its path.
        path: &'a CStr,
        /// The fault.
        fault: EmulatorFault,
    },
    /// The guest's dynamic linker does not exist.
    NoLinker {
        /// Its path.
        linker: &'a CStr,
    },
    /// `AT_SECURE` is set, by the guest's own privileges or its caller's, and the emulator is not
    /// embedded.
    Privileged {
        /// Name of the row.
        machine: &'a CStr,
    },
    /// The emulator must be executed, and the guest's file cannot be opened again by its path.
    Unreadable {
        /// The emulator's path.
        emulator: &'a CStr,
    },
    /// The kernel passed no path of the guest.
    NoPath,
    /// The initial stack is not one that a kernel writes.
    BadStack,
    /// The image's payload cannot be used.
    BadImage(ImageFault),
    /// The guest is a question to the interpreter; this is the answer.
    Question {
        /// The identity of the image.
        image: &'a [u8],
    },
    /// A system call failed.
    SystemCall {
        /// The action that failed.
        doing: &'static str,
        /// The file; empty if there is none.
        subject: &'a CStr,
        /// The kernel's errno.
        errno: i32,
    },
}

/// Text between a refusal that the interpreter prints, and the path of the guest: the command that
/// says more.
pub const MORE: &str = "; more: binfmt-dispatch --explain ";
/// Text before the version in an answer.
pub const ANSWER_VERSION: &str = "version ";
/// Text before the digits of the image's identity.
pub const ANSWER_IMAGE: &str = ", image ";

impl Refusal<'_> {
    /// The exit code, as docs/usage.md lists it. Security rule 7: a guest that is not understood is
    /// refused, and no weaker method is tried.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Refusal::UnknownMachine(_) | Refusal::UnknownVariant { .. } | Refusal::NoEmulator { .. } => {
                EXIT_NO_EMULATOR
            }
            Refusal::Question { .. } => EXIT_ANSWERED,
            Refusal::BadHeader(_)
            | Refusal::ForeignSystem { .. }
            | Refusal::Disabled { .. }
            | Refusal::BadEmulator { .. }
            | Refusal::NoLinker { .. }
            | Refusal::Privileged { .. }
            | Refusal::Unreadable { .. }
            | Refusal::NoPath
            | Refusal::SystemCall { .. } => EXIT_CANNOT_RUN,
            Refusal::BadStack | Refusal::BadImage(_) => EXIT_BROKEN,
        }
    }
}

impl From<Corrupt> for Refusal<'_> {
    fn from(Corrupt: Corrupt) -> Self {
        Refusal::BadImage(ImageFault::Corrupt)
    }
}

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy<'a> {
    text: &'static [u8],
    /// The end of the text.
    name: &'a CStr,
}

impl Remedy<'_> {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Say for Remedy<'_> {
    fn say(&self, out: &mut Out<'_>) {
        say!(out, Text(self.text), self.name);
    }
}

impl<'a> Refusal<'a> {
    /// What to do.
    #[inline(never)]
    pub fn remedy(&self) -> Remedy<'a> {
        let text: &[u8] = match *self {
            Refusal::BadHeader(_) => b"check that the file is a complete Linux program",
            Refusal::UnknownMachine(_) => b"see binfmt-dispatch list",
            Refusal::UnknownVariant { machine, .. } => {
                return Remedy { text: b"rebuild the program for ", name: machine };
            }
            Refusal::ForeignSystem { .. } => b"get its Linux build",
            Refusal::Disabled { .. } => b"enable it there, then run binfmt-dispatch install",
            Refusal::NoEmulator { tried: Some(_), .. } => b"install qemu-user-static",
            Refusal::NoEmulator { tried: None, .. } => b"add its path",
            Refusal::BadEmulator { .. } => b"reinstall it",
            Refusal::NoLinker { .. } => b"install the C library of its architecture",
            Refusal::Privileged { .. } => b"register without flag C, or drop the privileges first",
            Refusal::Unreadable { .. } => b"make the program readable, or use a static emulator",
            Refusal::NoPath => b"register with flag P",
            Refusal::BadStack => b"report this",
            Refusal::BadImage(_) => b"write it again with binfmt-dispatch image",
            Refusal::SystemCall { subject, errno, .. } => match name(ERROR_REMEDIES, errno) {
                Some(remedy) => remedy,
                None if subject.is_empty() => b"",
                None => b"check it with ls -l",
            },
            Refusal::Question { .. } => b"",
        };
        Remedy { text, name: c"" }
    }

    /// Says what is wrong.
    pub fn say_reason(&self, out: &mut Out<'_>) {
        match *self {
            Refusal::BadHeader(fault) => fault.say(out),
            Refusal::UnknownMachine(Machine(machine)) => {
                say!(out, "no emulator is known for ELF machine ", Number::of(machine));
            }
            Refusal::UnknownVariant { class, data, flags, .. } => say!(
                out,
                "no emulator runs ",
                class,
                " ",
                data,
                " programs of this machine with flags ",
                Number::Hexadecimal(flags.into())
            ),
            Refusal::ForeignSystem { osabi } => say!(out, "a program for ", Osabi(osabi), ", not for Linux"),
            Refusal::Disabled { machine, by } => say!(out, machine, " is disabled by ", by.unwrap_or(c"the table")),
            Refusal::NoEmulator { machine, tried: Some(path) } => {
                say!(out, "no emulator for ", machine, " at ", path, " or the table's other places");
            }
            Refusal::NoEmulator { machine, tried: None } => say!(out, "the table names no emulator for ", machine),
            Refusal::BadEmulator { path, fault } => say!(out, "the emulator ", path, " ", fault),
            Refusal::NoLinker { linker } => say!(out, "its dynamic linker ", linker, " cannot be found"),
            Refusal::Privileged { machine } => say!(
                out,
                "this start is privileged (set-ID, capabilities, or differing real and effective IDs), and the emulator for ",
                machine,
                " is not embedded in the image"
            ),
            Refusal::Unreadable { emulator } => {
                say!(out, "the emulator ", emulator, " has to open the program by its path, and cannot");
            }
            Refusal::NoPath => out("the kernel passed no path"),
            Refusal::BadStack => out("the initial stack is not what a kernel writes"),
            Refusal::BadImage(fault) => say!(out, "the image ", fault),
            Refusal::Question { image } => {
                say!(out, ANSWER_VERSION, env!("CARGO_PKG_VERSION"), ANSWER_IMAGE, Digits(image));
            }
            Refusal::SystemCall { doing, subject, errno } => {
                say!(out, "cannot ", doing);
                if !subject.is_empty() {
                    say!(out, " ", subject);
                }
                say!(out, ": ", Errno(errno));
            }
        }
    }
}

impl Say for Refusal<'_> {
    fn say(&self, out: &mut Out<'_>) {
        self.say_reason(out);
        let remedy = self.remedy();
        if !remedy.is_empty() {
            say!(out, ": ", remedy);
        }
    }
}

/// `EI_OSABI` by name (gABI chapter 4 and the registries that it refers to).
#[derive(Clone, Copy, Debug)]
pub struct Osabi(pub u8);

/// Packed table: a non-zero key byte, the name, NUL. It is smaller than a compiled `match`.
type Names = &'static [u8];

/// The name of `number`.
fn name(names: Names, number: i32) -> Option<&'static [u8]> {
    let mut names = Strings::new(names)?.iter().filter_map(|name| name.to_bytes().split_first());
    names.find(|(first, _)| i32::from(**first) == number).map(|(_, name)| name)
}

const SYSTEMS: Names = b"\
    \x02NetBSD\0\
    \x03Linux\0\
    \x06Solaris\0\
    \x09FreeBSD\0\
    \x0cOpenBSD\0\
    \xffno operating system\0";

impl Say for Osabi {
    fn say(&self, out: &mut Out<'_>) {
        match name(SYSTEMS, self.0.into()) {
            Some(name) => Text(name).say(out),
            None if self.0 == 0 => out("System V"),
            None => say!(out, "the operating system with ELF OSABI ", Number::of(self.0)),
        }
    }
}

/// The errno values that the interpreter's system calls return, in words (errno(3)).
struct Errno(i32);

const ERRORS: Names = b"\
    \x01operation not permitted\0\
    \x02no such file or directory\0\
    \x05input/output error\0\
    \x07argument list too long\0\
    \x08exec format error\0\
    \x0cout of memory\0\
    \x0dpermission denied\0\
    \x11its addresses are taken\0\
    \x15is a directory\0\
    \x17too many open files in the system\0\
    \x18too many open files\0\
    \x26function not implemented\0\
    \x28too many levels of symbolic links\0";

/// What to do about errors that the file in the message does not cause.
const ERROR_REMEDIES: Names = b"\
    \x07pass less\0\
    \x0craise the limits (ulimit -v, -d, or vm.overcommit_ratio)\0\
    \x11use a position-independent one\0\
    \x17raise fs.file-max\0\
    \x18raise the limit (ulimit -n)\0";

impl Say for Errno {
    fn say(&self, out: &mut Out<'_>) {
        match name(ERRORS, self.0) {
            Some(name) => Text(name).say(out),
            None => say!(out, "errno ", Number::Decimal(self.0.unsigned_abs().into())),
        }
    }
}

display!(Refusal<'_>, Remedy<'_>, Osabi);

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn errors_have_the_names_of_errno_3() {
        for (errno, said) in [
            (0, "errno 0"),
            (1, "operation not permitted"),
            (5, "input/output error"),
            (11, "errno 11"),
            (24, "too many open files"),
            (40, "too many levels of symbolic links"),
            (256 + 5, "errno 261"),
            (i32::MAX, "errno 2147483647"),
        ] {
            let mut line = String::new();
            Errno(errno).say(&mut |piece| line.push_str(piece));
            assert_eq!(line, said);
        }
    }

    #[test]
    fn a_message_has_two_halves() {
        let cannot_open = |subject, errno| Refusal::SystemCall { doing: "open the emulator", subject, errno };
        for (refusal, reason, remedy) in [
            (Refusal::NoPath, "the kernel passed no path", "register with flag P"),
            (
                Refusal::Disabled { machine: c"arm", by: Some(c"/etc/a.json") },
                "arm is disabled by /etc/a.json",
                "enable it there, then run binfmt-dispatch install",
            ),
            (
                Refusal::NoLinker { linker: c"/lib/ld.so" },
                "its dynamic linker /lib/ld.so cannot be found",
                "install the C library of its architecture",
            ),
            (cannot_open(c"/e", 24), "cannot open the emulator /e: too many open files", "raise the limit (ulimit -n)"),
            (cannot_open(c"/e", 5), "cannot open the emulator /e: input/output error", "check it with ls -l"),
            (cannot_open(c"", 5), "cannot open the emulator: input/output error", ""),
        ] {
            let mut said = String::new();
            refusal.say_reason(&mut |piece| said.push_str(piece));
            assert_eq!((said.as_str(), refusal.remedy().to_string().as_str()), (reason, remedy));
            let both = if remedy.is_empty() { reason.to_string() } else { std::format!("{reason}: {remedy}") };
            assert_eq!(refusal.to_string(), both);
        }
    }

    #[test]
    fn a_question_is_answered_with_version_and_digest() {
        let answer = Refusal::Question { image: &[0x0a, 0xb1] };
        let expected = std::format!("version {}, image 0ab1", env!("CARGO_PKG_VERSION"));
        assert_eq!((answer.to_string(), answer.exit_code()), (expected, 0));
    }

    #[test]
    fn systems_have_names_or_numbers() {
        for (osabi, said) in [
            (0, "System V"),
            (2, "NetBSD"),
            (9, "FreeBSD"),
            (12, "OpenBSD"),
            (13, "the operating system with ELF OSABI 13"),
            (255, "no operating system"),
        ] {
            assert_eq!(Osabi(osabi).to_string(), said);
        }
    }
}
