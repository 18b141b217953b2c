//! What came of running something; shown whole when an assertion about it fails.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

/// The outcome of one script.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Where it ran: through us, or directly.
    pub namespace: &'static str,
    /// The script.
    pub command: String,
    /// Its directory.
    pub cwd: PathBuf,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Observation {
    /// The exit code; 128 and the signal's number for a death by signal, as shells count.
    pub fn code(&self) -> i32 {
        self.status.code().or(self.status.signal().map(|signal| 128 + signal)).expect("it has ended")
    }

    /// Standard output as text.
    #[track_caller]
    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Standard error as text.
    #[track_caller]
    pub fn err(&self) -> &str {
        std::str::from_utf8(&self.stderr).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Asserts exit code 0 and nothing on standard error.
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert!(self.code() == 0 && self.stderr.is_empty(), "it should have succeeded\n{self}");
        self
    }

    /// Asserts success with exactly this output.
    #[track_caller]
    pub fn printed(&self, expected: &str) -> &Self {
        self.succeeded();
        assert!(self.out() == expected, "expected stdout:\n{expected}\n{self}");
        self
    }

    /// Asserts that it was refused with this code and this one line, and printed nothing.
    #[track_caller]
    pub fn refused(&self, code: i32, line: &str) -> &Self {
        let expected = format!("binfmt-dispatch: {line}\n");
        let as_expected = self.code() == code && self.err() == expected && self.stdout.is_empty();
        assert!(as_expected, "expected code {code} and stderr:\n{expected}{self}");
        self
    }

    /// Asserts that nobody can tell this outcome from the other one.
    #[track_caller]
    pub fn agrees_with(&self, other: &Observation) {
        let alike = self.code() == other.code() && self.stdout == other.stdout && self.stderr == other.stderr;
        assert!(alike, "these should agree\n{self}\n{other}");
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Observation { namespace, command, cwd, status, stdout, stderr } = self;
        writeln!(f, "=== {namespace}: {status}, in {}", cwd.display())?;
        writeln!(f, "--- command\n{}", command.trim_end())?;
        for (name, bytes) in [("stdout", stdout), ("stderr", stderr)] {
            writeln!(f, "--- {name}\n{}", String::from_utf8_lossy(bytes).trim_end())?;
        }
        Ok(())
    }
}
