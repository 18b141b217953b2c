//! `Plan`: everything about the hand-over that is known in advance: the emulator's arguments and
//! environment, and how the process becomes the emulator. The interpreter carries it out; the
//! command prints it.

use core::ffi::CStr;

use crate::bytes::Strings;
use crate::handoff::Invocation;
use crate::refusal::Refusal;
use crate::table::{Argv0, Row};

/// Prefix of the variables that QEMU reads (linux-user/main.c).
pub const QEMU_PREFIX: &[u8] = b"QEMU_";
/// Variable by which a caller chooses the sysroot.
pub const LD_PREFIX: &[u8] = b"QEMU_LD_PREFIX";
/// Variable by which a caller chooses the CPU model.
pub const CPU: &[u8] = b"QEMU_CPU";
/// Variable by which a caller chooses argv\[0\]. QEMU's option `-0` would override it.
pub const ARGV0: &[u8] = b"QEMU_ARGV0";

/// Errno for a file that does not exist.
pub const ENOENT: i32 = 2;
/// Errno for a path through something that is no directory.
pub const ENOTDIR: i32 = 20;

/// Security rule 4: this always precedes the path, so a guest called `-L` is not read as an option.
const END_OF_OPTIONS: &CStr = c"--";

/// QEMU's argv\[0\] if the CPU model is the caller's. QEMU may refuse the model, and its messages
/// begin with this text after the last slash.
pub const WITH_CALLERS_CPU: &CStr = c"qemu (QEMU_CPU is set: see binfmt-dispatch --explain)";

/// The origin of the CPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu<'a> {
    /// The emulator's default.
    Emulator,
    /// The table.
    Table(&'a CStr),
    /// The caller, by the variable [`CPU`].
    Caller,
}

/// What will be done for one guest. `A` is a string of the caller's, see [`Invocation`].
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a, A> {
    /// How the emulator learns the guest's argv\[0\].
    pub argv0: Argv0,
    /// Whether the caller has chosen another argv\[0\] by [`ARGV0`].
    pub callers_argv0: bool,
    /// The CPU model for the emulator.
    pub cpu: Cpu<'a>,
    /// The row's options for the emulator.
    pub options: Strings<'a>,
    /// The row's settings for the emulator, `NAME=value`.
    pub settings: Strings<'a>,
    /// The emulator's path, or its name if it is embedded in the image. Usually also its argv\[0\].
    pub emulator: &'a CStr,
    /// Directory with the libraries of a dynamic guest.
    pub sysroot: Option<&'a CStr>,
    /// `AT_SECURE`: this exec gained privileges.
    pub secure: bool,
    /// How the guest was called.
    pub invocation: Invocation<A>,
}

/// A string of the emulator's argv or environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a, A> {
    /// From the table or the plan.
    Added(&'a CStr),
    /// From the caller, passed on unchanged.
    Callers(A),
}

/// Opens the first of the row's emulators that exists: `open` returns `Ok(None)` for one that does
/// not.
///
/// # Errors
/// [`Refusal::NoEmulator`] if none exists, and every error of `open`: an emulator that exists and
/// cannot be used is not skipped.
pub fn first_emulator<'a, T>(
    row: &Row<'a>,
    mut open: impl FnMut(&'a CStr) -> Result<Option<T>, Refusal<'a>>,
) -> Result<(&'a CStr, T), Refusal<'a>> {
    for path in row.paths().iter() {
        if let Some(found) = open(path)? {
            return Ok((path, found));
        }
    }
    Err(Refusal::NoEmulator { machine: row.name(), tried: row.paths().iter().next() })
}

/// The sysroot for a guest with the dynamic linker `linker`: the row's first one that contains it,
/// if `/` does not. `look_for(root, path)` looks for `path` below `root`. A relative path is left to
/// the emulator, and so is everything if a place cannot be looked at.
///
/// # Errors
/// [`Refusal::NoLinker`] if it is nowhere.
pub fn choose_sysroot<'a, 'l>(
    row: &Row<'a>,
    linker: &'l CStr,
    mut look_for: impl FnMut(&CStr, &CStr) -> Result<(), i32>,
) -> Result<Option<&'a CStr>, Refusal<'l>> {
    let mut nowhere = true;
    let mut exists = |root: &CStr| match look_for(root, linker) {
        Ok(()) => true,
        Err(errno) => {
            nowhere &= matches!(errno, ENOENT | ENOTDIR);
            false
        }
    };
    if !linker.to_bytes().starts_with(b"/") || exists(c"") {
        return Ok(None);
    }
    let sysroot = row.sysroots().iter().find(|root| exists(root));
    if nowhere && sysroot.is_none() { Err(Refusal::NoLinker { linker }) } else { Ok(sysroot) }
}

impl<'a, A: Copy> Plan<'a, A> {
    /// Passes the emulator's arguments up to the guest's own to `push`, as the row says.
    pub fn argv(&self, push: &mut dyn FnMut(Argument<'a, A>)) {
        let Invocation { path, argv0 } = self.invocation;
        push(Argument::Added(if self.heeds_callers_cpu() { WITH_CALLERS_CPU } else { self.emulator }));
        // In front of the row's options, so that a `-cpu` among them wins.
        if let Cpu::Table(model) = self.cpu {
            push(Argument::Added(c"-cpu"));
            push(Argument::Added(model));
        }
        for option in self.options.iter() {
            push(Argument::Added(option));
        }
        if let Some(root) = self.sysroot {
            push(Argument::Added(c"-L"));
            push(Argument::Added(root));
        }
        if self.argv0 == Argv0::DashZero && !self.callers_argv0 {
            push(Argument::Added(c"-0"));
            push(Argument::Callers(argv0));
        }
        push(Argument::Added(END_OF_OPTIONS));
        push(Argument::Callers(path));
        if self.argv0_flag() {
            push(Argument::Callers(argv0));
        }
    }

    /// Passes the emulator's environment to `push`: the row's settings whose variables the caller
    /// has not set, then the caller's variables that may reach the emulator. `bytes` reads a
    /// variable (`NAME=value`).
    pub fn environment<'e>(&self, callers: &[A], bytes: &dyn Fn(A) -> &'e [u8], push: &mut dyn FnMut(Argument<'a, A>)) {
        let kept = || callers.iter().copied().filter(|variable| self.keeps(bytes(*variable)));
        self.settings(&|name| kept().any(|variable| variable_name(bytes(variable)) == name), &mut |setting| {
            push(Argument::Added(setting));
        });
        kept().for_each(|variable| push(Argument::Callers(variable)));
    }

    /// Passes the row's settings to `push`, except those whose variables the caller has set.
    /// `is_set` says whether a name is set.
    pub fn settings(&self, is_set: &dyn Fn(&[u8]) -> bool, push: &mut dyn FnMut(&'a CStr)) {
        for setting in self.settings.iter() {
            if !is_set(variable_name(setting.to_bytes())) {
                push(setting);
            }
        }
    }

    /// Whether one of the caller's variables may reach the emulator.
    ///
    /// Security rule 2: a variable that QEMU reads does not reach the emulator of a privileged
    /// guest. QEMU itself never looks at `AT_SECURE`.
    pub fn keeps(&self, variable: &[u8]) -> bool {
        !(self.secure && variable.starts_with(QEMU_PREFIX))
    }

    /// Whether the CPU model is the caller's. Its variable is QEMU's own, and an emulator that
    /// accepts `-0` is QEMU.
    pub fn heeds_callers_cpu(&self) -> bool {
        self.cpu == Cpu::Caller && self.argv0 == Argv0::DashZero
    }

    /// `AT_FLAGS` bit 0 for the emulator: set if it finds argv\[0\] in front of the arguments.
    pub fn argv0_flag(&self) -> bool {
        self.argv0 == Argv0::Auxv
    }

    /// The plan for an emulator that is executed. After execve(2) the kernel sets `AT_FLAGS` with
    /// bit 0 clear, so a row that passes argv\[0\] that way loses it.
    pub fn by_exec(self) -> Self {
        let argv0 = if self.argv0 == Argv0::Auxv { Argv0::None } else { self.argv0 };
        Plan { argv0, ..self }
    }
}

/// The name in `NAME=value`; the whole string if it has no `=`.
pub fn variable_name(variable: &[u8]) -> &[u8] {
    variable.split(|&byte| byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::image::ImageFault;
    use crate::row;
    use crate::table::Strategy;
    use std::vec::Vec;

    pub(crate) fn row(argv0: Argv0) -> Row<'static> {
        row_with(argv0, Strategy::Map)
    }

    pub(crate) fn row_with(argv0: Argv0, strategy: Strategy) -> Row<'static> {
        let (paths, options, settings) = (b"/first\0/second\0", b"-B\x000\0", b"QEMU_A=ours\0B=ours\0");
        let lists: [&[u8]; 10] = [b"cpu\0", paths, b"", options, settings, b"/one\0/two\0", b"", b"", b"", b""];
        row::tests::row(argv0, strategy, lists)
    }

    fn plan(argv0: Argv0, secure: bool) -> Plan<'static, &'static [u8]> {
        let invocation = Invocation { path: &b"-E"[..], argv0: &b"zero"[..] };
        let row = row(argv0);
        let (options, settings) = (row.options(), row.environment());
        Plan {
            argv0,
            callers_argv0: false,
            cpu: Cpu::Table(c"max"),
            options,
            settings,
            emulator: c"/q",
            sysroot: Some(c"/one"),
            secure,
            invocation,
        }
    }

    fn text(word: Argument<'static, &'static [u8]>) -> &'static str {
        std::str::from_utf8(match word {
            Argument::Added(string) => string.to_bytes(),
            Argument::Callers(bytes) => bytes,
        })
        .unwrap()
    }

    #[test]
    fn argv_follows_the_convention_and_never_lacks_the_dashes() {
        for (convention, expected) in [
            (Argv0::DashZero, &["/q", "-cpu", "max", "-B", "0", "-L", "/one", "-0", "zero", "--", "-E"][..]),
            (Argv0::Auxv, &["/q", "-cpu", "max", "-B", "0", "-L", "/one", "--", "-E", "zero"]),
            (Argv0::None, &["/q", "-cpu", "max", "-B", "0", "-L", "/one", "--", "-E"]),
        ] {
            let mut argv = Vec::new();
            plan(convention, false).argv(&mut |word| argv.push(text(word)));
            assert_eq!(argv, expected);
        }
    }

    #[test]
    fn the_callers_argv0_is_not_overridden() {
        let plan = Plan { callers_argv0: true, ..plan(Argv0::DashZero, false) };
        let mut argv = Vec::new();
        plan.argv(&mut |word| argv.push(text(word)));
        assert_eq!(argv, ["/q", "-cpu", "max", "-B", "0", "-L", "/one", "--", "-E"]);
    }

    #[test]
    fn with_the_callers_cpu_qemu_says_so() {
        for (convention, name) in [(Argv0::DashZero, WITH_CALLERS_CPU), (Argv0::Auxv, c"/q"), (Argv0::None, c"/q")] {
            let mut argv = Vec::new();
            Plan { cpu: Cpu::Caller, ..plan(convention, false) }.argv(&mut |word| argv.push(text(word)));
            assert_eq!(argv[..2], [name.to_str().unwrap(), "-B"]);
        }
        // QEMU would not show the part before the last slash.
        assert!(!WITH_CALLERS_CPU.to_bytes().contains(&b'/'));
    }

    #[test]
    fn an_exec_cannot_pass_argv0_in_place() {
        let plan = plan(Argv0::Auxv, false).by_exec();
        let mut argv = Vec::new();
        plan.argv(&mut |word| argv.push(text(word)));
        assert_eq!(argv, ["/q", "-cpu", "max", "-B", "0", "-L", "/one", "--", "-E"]);
        assert!(!plan.argv0_flag());
    }

    #[test]
    fn privileged_guests_get_no_steering_variables() {
        let callers: [&[u8]; 4] = [b"QEMU_A=callers", b"B=callers", b"QEMU", b"QEMU_"];
        for (secure, expected) in [
            (false, &["QEMU_A=callers", "B=callers", "QEMU", "QEMU_"][..]),
            (true, &["QEMU_A=ours", "B=callers", "QEMU"]),
        ] {
            let mut environment = Vec::new();
            plan(Argv0::DashZero, secure)
                .environment(&callers, &|bytes| bytes, &mut |word| environment.push(text(word)));
            assert_eq!(environment, expected, "secure: {secure}");
        }
    }

    #[test]
    fn the_first_emulator_that_is_there_is_taken() {
        let row = row(Argv0::DashZero);
        let there = |wanted: &'static CStr| move |path: &CStr| Ok((path == wanted).then_some(()));
        assert_eq!(first_emulator(&row, there(c"/second")), Ok((c"/second", ())));
        assert_eq!(
            first_emulator(&row, there(c"/third")),
            Err(Refusal::NoEmulator { machine: c"cpu", tried: Some(c"/first") })
        );
        let broken = Refusal::BadImage(ImageFault::Corrupt);
        assert_eq!(first_emulator::<()>(&row, |_| Err(broken)), Err(broken), "not passed over");
    }

    #[test]
    fn a_sysroot_is_chosen_only_where_it_helps() {
        let row = row(Argv0::DashZero);
        let choose = |linker, there: &'static [(&CStr, &CStr)]| {
            choose_sysroot(&row, linker, |root, path| if there.contains(&(root, path)) { Ok(()) } else { Err(ENOENT) })
        };
        assert_eq!(choose(c"/ld.so", &[(c"/two", c"/ld.so")]), Ok(Some(c"/two")));
        assert_eq!(choose(c"ld.so", &[(c"/two", c"ld.so")]), Ok(None), "relative");
        assert_eq!(choose(c"/ld.so", &[(c"", c"/ld.so"), (c"/two", c"/ld.so")]), Ok(None), "not needed");
        assert_eq!(choose(c"/ld.so", &[]), Err(Refusal::NoLinker { linker: c"/ld.so" }));
        for unseen in [c"", c"/one", c"/two"] {
            const EACCES: i32 = 13;
            let look_for = |root: &CStr, _: &CStr| Err(if root == unseen { EACCES } else { ENOTDIR });
            assert_eq!(choose_sysroot(&row, c"/ld.so", look_for), Ok(None), "{unseen:?} cannot be looked at");
        }
    }
}
