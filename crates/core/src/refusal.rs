//! Why a guest is not run: one line for the person, one exit code for the script.

use core::ffi::CStr;

use crate::elf::{self, Class, Data, Machine};
use crate::say::{Number, Out, Say, display, say};
use crate::{image, program};

/// Exit code: the command's answer is "no".
pub const EXIT_NO: u8 = 1;
/// Exit code: the command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: we are broken (a damaged image, a kernel that breaks its word).
pub const EXIT_BROKEN: u8 = 125;
/// Exit code: this guest cannot be run.
pub const EXIT_CANNOT_RUN: u8 = 126;
/// Exit code: there is no emulator for this guest.
pub const EXIT_NO_EMULATOR: u8 = 127;

/// Why a guest is not run. Displayed as `what is wrong: what to do`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The guest's ELF header is not one.
    BadHeader(elf::Fault),
    /// No row of the table has this machine.
    UnknownMachine(Machine),
    /// A row has this machine, but not in this class, byte order, or ABI.
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
    /// A program for another operating system.
    ForeignSystem {
        /// EI_OSABI.
        osabi: u8,
    },
    /// None of the row's emulators is there.
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
        /// What is wrong with it.
        fault: program::Fault,
    },
    /// AT_SECURE is set, by the guest's own privileges or its caller's, and the emulator would come from a path.
    Privileged {
        /// Name of the row.
        machine: &'a CStr,
    },
    /// The emulator must be exec'ed, and the guest's file cannot be opened again by its path.
    Unreadable {
        /// The emulator's path.
        emulator: &'a CStr,
    },
    /// The kernel started us without telling the guest's path.
    NoPath,
    /// The stack is not what a kernel writes.
    BadStack,
    /// The registered file's payload cannot be used.
    BadImage(image::Fault),
    /// The table in it cannot be used.
    CorruptTable,
    /// A system call failed.
    System {
        /// What was being done.
        doing: &'static str,
        /// With what; empty when there is no file.
        subject: &'a CStr,
        /// The kernel's errno.
        errno: i32,
    },
}

impl Refusal<'_> {
    /// The exit code, as documented in the README. Security rule 7: what is not understood is refused, and nothing weaker is
    /// tried.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Refusal::UnknownMachine(_) | Refusal::UnknownVariant { .. } | Refusal::NoEmulator { .. } => {
                EXIT_NO_EMULATOR
            }
            Refusal::BadHeader(_)
            | Refusal::ForeignSystem { .. }
            | Refusal::BadEmulator { .. }
            | Refusal::Privileged { .. }
            | Refusal::Unreadable { .. }
            | Refusal::NoPath
            | Refusal::System { .. } => EXIT_CANNOT_RUN,
            Refusal::BadStack | Refusal::BadImage(_) | Refusal::CorruptTable => EXIT_BROKEN,
        }
    }
}

impl Say for Refusal<'_> {
    fn say(&self, out: &mut Out<'_>) {
        match *self {
            Refusal::BadHeader(fault) => say!(out, fault, ": check that the file is a complete Linux program"),
            Refusal::UnknownMachine(Machine(machine)) => {
                say!(out, "no emulator is known for ELF machine ", Number::of(machine), ": see binfmt-dispatch list")
            }
            Refusal::UnknownVariant { machine, class, data, flags } => {
                let flags = Number::Hexadecimal(flags.into());
                say!(out, "no emulator runs ", class, " ", data, " programs of this machine with flags ", flags);
                say!(out, ": rebuild the program for ", machine)
            }
            Refusal::ForeignSystem { osabi } => {
                say!(out, "a program for ", System(osabi), ", not for Linux: get its Linux build")
            }
            Refusal::NoEmulator { machine, tried: Some(path) } => {
                say!(out, "no emulator for ", machine, " at ", path, " or the table's other places");
                say!(out, ": install qemu-user-static")
            }
            Refusal::NoEmulator { machine, tried: None } => {
                say!(out, "the table names no emulator for ", machine, ": add its path")
            }
            Refusal::BadEmulator { path, fault } => say!(out, "the emulator ", path, " ", fault, ": reinstall it"),
            Refusal::Privileged { machine } => {
                say!(out, "the kernel marked this start as privileged (set-id, capabilities, or different ");
                say!(
                    out,
                    "real and effective ids), and the emulator for ",
                    machine,
                    " is not inside the registered file"
                );
                say!(out, ": register without the C flag, or drop the privileges first")
            }
            Refusal::Unreadable { emulator } => {
                say!(out, "the emulator ", emulator, " has to open the program by its path, and cannot");
                say!(out, ": make the program readable, or use a static emulator")
            }
            Refusal::NoPath => say!(out, "the kernel passed no path: register with the P flag"),
            Refusal::BadStack => say!(out, "the initial stack is not what a kernel writes: report this"),
            Refusal::BadImage(fault) => {
                say!(out, "the registered file ", fault, ": write it again with binfmt-dispatch image")
            }
            Refusal::CorruptTable => say!(out, Refusal::BadImage(image::Fault::Corrupt)),
            Refusal::System { doing, subject, errno } => {
                say!(out, "cannot ", doing);
                if !subject.is_empty() {
                    say!(out, " ", subject);
                }
                say!(out, ": ", Errno(errno));
                if !subject.is_empty() && !matches!(errno, 7 | 12 | 17 | 23 | 24) {
                    say!(out, ": check it with ls -l")
                }
            }
        }
    }
}

/// EI_OSABI by name (gABI chapter 4 and the registries that it refers to).
#[derive(Clone, Copy, Debug)]
pub struct System(pub u8);

impl Say for System {
    fn say(&self, out: &mut Out<'_>) {
        out(match self.0 {
            0 => "System V",
            2 => "NetBSD",
            3 => "Linux",
            6 => "Solaris",
            9 => "FreeBSD",
            12 => "OpenBSD",
            255 => "no operating system",
            other => return say!(out, "the operating system with ELF OSABI ", Number::of(other)),
        });
    }
}

/// The errno values that the interpreter's system calls give, in words (errno(3)), and what to do where the file is not
/// at fault.
struct Errno(i32);

impl Say for Errno {
    fn say(&self, out: &mut Out<'_>) {
        out(match self.0 {
            1 => "operation not permitted",
            2 => "no such file or directory",
            7 => "argument list too long: pass less",
            8 => "exec format error",
            12 => "out of memory: raise the limits (ulimit -v, -d, or vm.overcommit_ratio)",
            13 => "permission denied",
            17 => "its addresses are taken: use a position-independent one",
            21 => "is a directory",
            24 => "too many open files: raise the limit (ulimit -n)",
            40 => "too many levels of symbolic links",
            other => return say!(out, "errno ", Number::Decimal(other.unsigned_abs().into())),
        });
    }
}

display!(Refusal<'_>, System);
