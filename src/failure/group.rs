//! Failures with the same reason, as one line.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use super::{BAD, Failure, listed, say, show};

/// Why something failed, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason<'f> {
    NoEmulator,
    Native,
    NotRegistered,
    /// Entries are registered for programs in this directory.
    Taken(&'f Path),
    /// The same, and they are not removed.
    NotOurs(&'f Path),
    CapturesHost(&'f Path),
    ProbeFailed {
        fault: String,
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
        match groups.iter_mut().find(|(other, ..)| reason.is_some() && *other == reason) {
            Some((_, names, _)) => names.push(name),
            None => groups.push((reason, vec![name], failure)),
        }
    }
    let line = |(reason, names, failure): (Option<Reason<'_>>, Vec<String>, &Failure)| match reason {
        Some(reason) if names.len() > 1 => format!("{}: {reason}", listed(&names)),
        _ => failure.to_string(),
    };
    groups.into_iter().map(line).collect()
}

impl Failure {
    /// What failed, and why, if others may fail for the same reason.
    fn reason(&self) -> Option<(&OsStr, Reason<'_>)> {
        Some(match self {
            Failure::NoEmulator { architecture, from, .. } if from.is_empty() => {
                (OsStr::new(architecture), Reason::NoEmulator)
            }
            Failure::Native { architecture } => (OsStr::new(architecture), Reason::Native),
            Failure::NotRegistered { entry } => (entry, Reason::NotRegistered),
            Failure::EntryTaken { entry, interpreter } => (entry, Reason::Taken(interpreter.parent()?)),
            Failure::NotOurs { entry, interpreter } => (entry, Reason::NotOurs(interpreter.parent()?)),
            Failure::CapturesHost { entry, program } => (entry, Reason::CapturesHost(program)),
            Failure::ProbeFailed { architecture, fault, kept } => {
                (OsStr::new(architecture), Reason::ProbeFailed { fault: fault.to_string(), kept: *kept })
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &Path| show(path.as_os_str()).to_string();
        match self {
            Reason::NoEmulator => f.write_str("no emulators: install the package qemu-user-static"),
            Reason::Native => {
                f.write_str("not registered, as this machine runs such programs natively: leave them out")
            }
            Reason::NotRegistered => f.write_str("are not registered: see `binfmt-dispatch status`"),
            Reason::Taken(directory) => write!(
                f,
                "are registered for programs in {}, and nothing was changed: remove that package, or use `--replace`",
                path(directory),
            ),
            Reason::NotOurs(directory) => write!(
                f,
                "left alone, as they are registered for programs in {}: use what registered them",
                path(directory),
            ),
            Reason::CapturesHost(program) => {
                write!(f, "would capture this machine's own {}: leave these architectures out", path(program))
            }
            Reason::ProbeFailed { fault, kept: true } => {
                write!(f, "registered before, but their probe {fault}: use `--replace`")
            }
            Reason::ProbeFailed { fault, kept: false } => {
                write!(f, "not registered, as their probe {fault}: check the emulators")
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
        let many: Vec<Failure> = (0..28).map(|number| native(&format!("n{number}"))).collect();
        assert_eq!(
            lines(&many),
            [
                "n0, n1, n2, n3, n4 and 23 more: not registered, as this machine runs such programs natively: leave them out"
            ]
        );
    }
}
