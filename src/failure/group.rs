//! Failures with the same reason, as one line.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use dispatch_core::NAME;

use super::{BAD, Failure, ProbeFault, listed, say, show};

/// Why something failed, without its name. Others may fail for the same reason.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason<'f> {
    NoEmulator {
        /// The paths that were tried.
        tried: &'f [String],
    },
    Native,
    NotRegistered,
    /// The entry is registered for this program.
    Taken(&'f Path),
    /// The same, and it is not removed.
    NotOurs(&'f Path),
    CapturesHost(&'f Path),
    ProbeFailed {
        fault: &'f ProbeFault,
        kept: bool,
    },
}

/// Reports failures; those with the same reason are one line.
pub fn report_all(failures: &[Failure]) {
    for line in lines(failures) {
        say(BAD, format_args!("{line}"));
    }
}

fn lines(failures: &[Failure]) -> Vec<String> {
    let mut groups: Vec<(Option<Reason<'_>>, Vec<String>, &Failure)> = Vec::new();
    for failure in failures.iter().filter(|failure| !matches!(failure, Failure::Reported(_))) {
        let (name, reason) = failure.reason().unzip();
        let name = name.map(|name| show(name).to_string()).unwrap_or_default();
        let alike = |other: &Option<Reason<'_>>| reason.zip(*other).is_some_and(|(one, other)| one.is_like(other));
        match groups.iter_mut().find(|(other, ..)| alike(other)) {
            Some((_, names, _)) => names.push(name),
            None => groups.push((reason, vec![name], failure)),
        }
    }
    let line = |(reason, names, failure): (Option<Reason<'_>>, Vec<String>, &Failure)| match reason {
        Some(reason) if names.len() > 1 => format!("{}: {}", listed(&names), reason.of(true)),
        _ => failure.to_string(),
    };
    groups.into_iter().map(line).collect()
}

impl Failure {
    /// What failed, and why, if others may fail for the same reason.
    pub(super) fn reason(&self) -> Option<(&OsStr, Reason<'_>)> {
        Some(match self {
            Failure::NoEmulator { architecture, from, tried } if from.is_empty() => {
                (OsStr::new(architecture), Reason::NoEmulator { tried })
            }
            Failure::Native { architecture } => (OsStr::new(architecture), Reason::Native),
            Failure::NotRegistered { entry } => (entry, Reason::NotRegistered),
            Failure::EntryTaken { entry, interpreter } => (entry, Reason::Taken(interpreter)),
            Failure::NotOurs { entry, interpreter } => (entry, Reason::NotOurs(interpreter)),
            Failure::CapturesHost { entry, program } => (entry, Reason::CapturesHost(program)),
            Failure::ProbeFailed { architecture, fault, kept } => {
                (OsStr::new(architecture), Reason::ProbeFailed { fault, kept: *kept })
            }
            _ => return None,
        })
    }
}

impl<'f> Reason<'f> {
    /// Whether it is the same as `other`, as far as a line about many things tells.
    fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Reason::NoEmulator { .. }, Reason::NoEmulator { .. })
            | (Reason::Native, Reason::Native)
            | (Reason::NotRegistered, Reason::NotRegistered) => true,
            (Reason::Taken(one), Reason::Taken(other)) | (Reason::NotOurs(one), Reason::NotOurs(other)) => {
                one.parent() == other.parent()
            }
            (Reason::CapturesHost(one), Reason::CapturesHost(other)) => one == other,
            (Reason::ProbeFailed { fault: one, kept }, Reason::ProbeFailed { fault: other, kept: also }) => {
                kept == also && one.to_string() == other.to_string()
            }
            _ => false,
        }
    }

    /// The sentence after the name, or after `many` names.
    pub fn of(self, many: bool) -> Sentence<'f> {
        Sentence { reason: self, many }
    }
}

/// The reason, as a sentence about one thing or many.
pub(super) struct Sentence<'f> {
    reason: Reason<'f>,
    many: bool,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |one: &'static str, many: &'static str| if self.many { many } else { one };
        let path = |path: &Path| show(path.as_os_str()).to_string();
        // Their interpreters have a directory in common.
        let programs = |interpreter: &Path| match interpreter.parent().filter(|_| self.many) {
            Some(directory) => format!("programs in {}", path(directory)),
            None => path(interpreter),
        };
        let (are, they, them) = (number("is", "are"), number("it is", "they are"), number("it", "them"));
        match self.reason {
            Reason::NoEmulator { tried } => {
                let emulator = number("emulator", "emulators");
                write!(f, "no {emulator}: install the package qemu-user-static")?;
                if self.many { Ok(()) } else { write!(f, ", or one of {}", tried.join(", ")) }
            }
            Reason::Native => {
                write!(f, "not registered, as this machine runs such programs natively: leave {them} out")
            }
            Reason::NotRegistered => write!(f, "{are} not registered: see `{NAME} status`"),
            Reason::Taken(interpreter) => {
                let unchanged = number("", ", and nothing was changed");
                let programs = programs(interpreter);
                write!(f, "{are} registered for {programs}{unchanged}: remove that package, or use `--replace`")
            }
            Reason::NotOurs(interpreter) => {
                write!(f, "left alone, as {they} registered for {}: use what registered {them}", programs(interpreter))
            }
            Reason::CapturesHost(program) => {
                let these = number("this architecture", "these architectures");
                write!(f, "would capture this machine's own {}: leave {these} out", path(program))
            }
            Reason::ProbeFailed { fault, kept: true } => {
                write!(f, "registered before, but {} probe {fault}: use `--replace`", number("its", "their"))
            }
            Reason::ProbeFailed { fault, kept: false } => {
                write!(f, "not registered, as {} probe {fault}", number("its", "their"))?;
                // This fault has a remedy already.
                let remedy = number(": check the emulator", ": check the emulators");
                if matches!(fault, ProbeFault::Forbidden) { Ok(()) } else { f.write_str(remedy) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reason_is_said_once() {
        let taken = |entry: &str, interpreter: &str| Failure::EntryTaken {
            entry: entry.into(),
            interpreter: interpreter.into(),
        };
        let native = |name: &str| Failure::Native { architecture: name.into() };
        let failures =
            [taken("a", "/x/a"), native("i386"), taken("b", "/x/b"), taken("c", "/y/c"), Failure::Reported(1)];
        assert_eq!(
            lines(&failures),
            [
                "a, b: are registered for programs in /x, and nothing was changed: remove that package, or use \
                 `--replace`"
                    .to_owned(),
                native("i386").to_string(),
                taken("c", "/y/c").to_string(),
            ]
        );
        let each: Vec<Failure> = ["a", "b"]
            .into_iter()
            .flat_map(|name| {
                let interpreter = || format!("/x/{name}").into();
                let fault = || ProbeFault::Hung(std::time::Duration::from_secs(5));
                [
                    Failure::NoEmulator { architecture: name.into(), from: vec![], tried: vec![name.into()] },
                    Failure::NotRegistered { entry: name.into() },
                    Failure::NotOurs { entry: name.into(), interpreter: interpreter() },
                    Failure::CapturesHost { entry: name.into(), program: "/bin/sh".into() },
                    Failure::ProbeFailed { architecture: name.into(), fault: fault(), kept: true },
                    Failure::ProbeFailed { architecture: name.into(), fault: fault(), kept: false },
                    Failure::ProbeFailed { architecture: name.into(), fault: ProbeFault::Forbidden, kept: false },
                ]
            })
            .collect();
        let (hung, forbidden) = (
            "probe did not end within 5 seconds",
            "probe was not started, as vm.memfd_noexec forbids it: as root, run `sysctl -w vm.memfd_noexec=1`",
        );
        assert_eq!(
            lines(&each),
            [
                "a, b: no emulators: install the package qemu-user-static",
                "a, b: are not registered: see `binfmt-dispatch status`",
                "a, b: left alone, as they are registered for programs in /x: use what registered them",
                "a, b: would capture this machine's own /bin/sh: leave these architectures out",
                &format!("a, b: registered before, but their {hung}: use `--replace`"),
                &format!("a, b: not registered, as their {hung}: check the emulators"),
                &format!("a, b: not registered, as their {forbidden}"),
            ]
        );
        assert_eq!(
            lines(&each[..7]),
            [
                "a: no emulator: install the package qemu-user-static, or one of a",
                "a: is not registered: see `binfmt-dispatch status`",
                "a: left alone, as it is registered for /x/a: use what registered it",
                "a: would capture this machine's own /bin/sh: leave this architecture out",
                &format!("a: registered before, but its {hung}: use `--replace`"),
                &format!("a: not registered, as its {hung}: check the emulator"),
                &format!("a: not registered, as its {forbidden}"),
            ]
        );
        let many: Vec<Failure> = (0..28).map(|number| native(&format!("n{number}"))).collect();
        assert_eq!(
            lines(&many),
            [
                "n0, n1, n2, n3, n4 and 23 more: not registered, as this machine runs such programs natively: leave them out"
            ]
        );
    }
}
