//! Why a probe did not run.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use dispatch_core::refusal::EXIT_CANNOT_RUN;

use super::{MEMFD_SETTING, text};

/// Why a probe did not run. Displayed after "the probe".
#[derive(Debug)]
pub enum ProbeFault {
    /// The kernel did not start it, or it could not be made.
    NotStarted(io::Error),
    /// A setting of the system forbids programs in memory.
    Forbidden,
    /// It ended with another status than 0.
    Ended {
        /// The status.
        status: ExitStatus,
        /// The first line that the interpreter wrote on standard error.
        said: String,
    },
    /// It did not end by itself within this time.
    Hung(Duration),
}

impl ProbeFault {
    /// Whether it ended as a program does that binfmt-dispatch refuses.
    pub fn is_refusal(&self) -> bool {
        matches!(self, ProbeFault::Ended { status, .. } if status.code() == Some(EXIT_CANNOT_RUN.into()))
    }
}

impl fmt::Display for ProbeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeFault::NotStarted(error) => write!(f, "was not started: {}", text(error)),
            ProbeFault::Forbidden => {
                write!(f, "was not started, as {MEMFD_SETTING} forbids it: as root, run `sysctl -w {MEMFD_SETTING}=1`")
            }
            ProbeFault::Ended { status, said } => {
                match (status.code(), status.signal()) {
                    (_, Some(signal)) => write!(f, "was killed by signal {signal}")?,
                    (code, None) => write!(f, "exited with {}", code.unwrap_or_default())?,
                }
                if said.is_empty() { Ok(()) } else { write!(f, ": {said}") }
            }
            ProbeFault::Hung(patience) => write!(f, "did not end within {} seconds", patience.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        // As wait(2) has them: the signal, or the exit code in the second byte.
        let ended = |status, said: &str| {
            ProbeFault::Ended { status: ExitStatus::from_raw(status), said: said.to_owned() }.to_string()
        };
        assert_eq!(ended(4, ""), "was killed by signal 4");
        assert_eq!(ended(0x7e00, "binfmt-dispatch: no"), "exited with 126: binfmt-dispatch: no");
        let refused = ProbeFault::NotStarted(io::Error::from_raw_os_error(8)).to_string();
        assert_eq!(refused, "was not started: exec format error");
    }
}
