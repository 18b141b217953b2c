//! The result of a command. If an assertion about it fails, all of it is shown.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use serde_json::Value;

use super::registry::patience;

/// Time limit of a program or a script, in seconds, unless the test sets another.
pub const PATIENCE: u32 = 120;

/// The outcome of one program or script.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The entries that were registered.
    pub namespace: &'static str,
    /// The script, or the program with its arguments.
    pub command: String,
    /// Its directory.
    pub cwd: PathBuf,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Observation {
    /// Runs `command` to its end, with the time limit [`PATIENCE`].
    pub fn of(command: &Command) -> Self {
        let mut timed = Command::new("timeout");
        timed.args(["--kill-after=5", &patience(PATIENCE)]).arg(command.get_program()).args(command.get_args());
        timed.stdin(Stdio::null());
        let cwd = command.get_current_dir().expect("a directory of the test");
        timed.current_dir(cwd);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => timed.env(name, value),
                None => timed.env_remove(name),
            };
        }
        let output = timed.output().expect("coreutils are there");
        Self::new("nothing of the test", format!("{command:?}"), cwd.to_owned(), output)
    }

    /// The result of `command`.
    pub fn new(namespace: &'static str, command: String, cwd: PathBuf, output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        Observation { namespace, command, cwd, status, stdout, stderr }
    }

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

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exited(&self, code: i32) -> &Self {
        assert!(self.code() == code, "expected exit code {code}\n{self}");
        self
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
        self.succeeded().wrote(expected)
    }

    /// Asserts exactly this output, with any exit status.
    #[track_caller]
    pub fn wrote(&self, expected: &str) -> &Self {
        assert!(self.out() == expected, "expected stdout:\n{expected}\n{self}");
        self
    }

    /// Asserts that standard output has the line `line`, apart from blanks at its ends.
    #[track_caller]
    pub fn has(&self, line: &str) -> &Self {
        assert!(self.out().lines().any(|found| found.trim() == line), "expected the line:\n{line}\n{self}");
        self
    }

    /// Asserts the number of lines on standard output, and that each begins as its counterpart in
    /// `expected`.
    #[track_caller]
    pub fn lines_begin(&self, expected: &[&str]) -> &Self {
        let lines: Vec<&str> = self.out().lines().collect();
        let alike =
            lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, start)| line.starts_with(start));
        assert!(alike, "expected lines that begin so: {expected:#?}\n{self}");
        self
    }

    /// Asserts that an explanation begins with this verdict, `it runs …` or `it does not run: …`,
    /// and this remedy.
    #[track_caller]
    pub fn verdict(&self, verdict: &str, remedy: &str) -> &Self {
        // A condition is named.
        let open = verdict.contains(", if ") || verdict.starts_with("it runs if ");
        let (outcome, code, reason) =
            match (verdict.strip_prefix("it runs "), verdict.strip_prefix("it does not run: ")) {
                (Some(how), _) => (if open { "may run here" } else { "runs here" }, 0, how),
                (_, Some(why)) => ("does not run here", 1, why),
                _ => panic!("no verdict: {verdict}"),
            };
        let first = self.out().lines().next().unwrap_or_default();
        assert!(first.contains(&format!(": {outcome}.")), "expected that it {outcome}\n{self}");
        self.has(&format!("why         {reason}"));
        if remedy.is_empty() {
            assert!(!self.out().contains("  fix"), "expected nothing to mend\n{self}");
        } else {
            self.has(&format!("fix         {remedy}"));
        }
        assert!(self.stderr.is_empty(), "expected nothing on stderr\n{self}");
        self.exited(code)
    }

    /// Asserts a refusal with this code and this one line, and an empty standard output.
    #[track_caller]
    pub fn refused(&self, code: i32, line: &str) -> &Self {
        let expected = format!("binfmt-dispatch: {line}\n");
        let as_expected = self.code() == code && self.err() == expected && self.stdout.is_empty();
        assert!(as_expected, "expected code {code} and stderr:\n{expected}{self}");
        self
    }

    /// The same for a program that the kernel started, and the interpreter refused. `line` begins
    /// with the program's name; at its end the interpreter names the command that says more, with
    /// the name only if a shell would take it as it is.
    #[track_caller]
    pub fn not_started(&self, code: i32, line: &str) -> &Self {
        let harmless = |name: &&str| !name.starts_with("...") && name.starts_with(['.', '/']);
        let harmless = |name: &&str| harmless(name) && !name.contains(|letter: char| " ;&|$\\'\"#".contains(letter));
        let name = line.split(": ").next().filter(harmless).unwrap_or("FILE");
        self.refused(code, &format!("{line}; more: binfmt-dispatch --explain {name}"))
    }

    /// Asserts that this result equals the other one.
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
