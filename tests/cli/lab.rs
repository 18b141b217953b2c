//! A directory for one test, the tool started in it, and what came of that.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use dispatch_table::ArchTable;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::executable;

/// The tool under test.
pub const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");

/// Mounts an empty binfmt_misc, and becomes the command.
const EMPTY_REGISTRY: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && exec \"$@\"";

/// A directory of one test.
pub struct Lab {
    directory: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Lab { directory }
    }

    /// The path of `name` in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text.
    pub fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes an executable file.
    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        executable::write(&path, bytes.as_ref());
        path
    }

    /// Writes the probe of a built-in row.
    pub fn probe(&self, name: impl AsRef<Path>, row: &str) -> PathBuf {
        self.write(name, probe(row))
    }

    /// Writes the table `table`: aarch64 with `emulator`, which learns no argv\[0\], is exec'ed, and finds no libraries
    /// unless `changes` say otherwise. The result is the option that names the table.
    pub fn aarch64(&self, emulator: &str, changes: Value) -> [String; 2] {
        let mut row = row("aarch64");
        row["emulators"] = json!([emulator]);
        row["sysroots"] = json!([]);
        row["argv0"] = json!("none");
        row["strategy"] = json!("exec");
        for (field, value) in changes.as_object().unwrap() {
            row[field] = value.clone();
        }
        let table = json!({"version": 1, "architectures": [row]});
        self.write("table", table.to_string());
        ["--table".to_owned(), self.at("table")]
    }

    /// A command in the directory.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).stdin(Stdio::null()).env_remove("QEMU_LD_PREFIX");
        command
    }

    /// Runs the tool.
    pub fn tool<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = self.command(TOOL);
        command.args(arguments);
        Run::of(command)
    }

    /// Runs the tool where the kernel has no entries.
    pub fn unregistered<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = self.command("unshare");
        command.args(["-Urm", "sh", "-c", EMPTY_REGISTRY, "sh", TOOL]).args(arguments);
        Run::of(command)
    }

    /// Runs a bash script where mounts may be changed; `$TOOL` is the tool.
    pub fn private(&self, script: &str) -> Run {
        let mut command = self.command("unshare");
        command.args(["-Urm", "bash", "-c", script]).env("TOOL", TOOL);
        Run::of(command)
    }

    /// Runs a shell script; `$TOOL` is the tool.
    pub fn shell(&self, script: &str) -> Run {
        let mut command = self.command("bash");
        command.args(["-c", script]).env("TOOL", TOOL);
        Run::of(command)
    }
}

/// A row of the built-in table as JSON.
pub fn row(name: &str) -> Value {
    let table: Value = serde_json::from_str(dispatch_table::BUILTIN).unwrap();
    table["architectures"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
}

/// The probe of a built-in row.
pub fn probe(row: &str) -> Vec<u8> {
    ArchTable::builtin().find(row).expect("a row of the table").probe_elf()
}

/// Whether there can be private registries. Where they must be, it is a failure if not.
pub fn have_namespaces() -> bool {
    static ANSWER: OnceLock<String> = OnceLock::new();
    let answer = ANSWER.get_or_init(|| {
        let output = Command::new("unshare").args(["-Urm", "sh", "-c", EMPTY_REGISTRY, "sh", "true"]).output();
        match output {
            Ok(output) if output.status.success() => String::new(),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        }
    });
    if answer.is_empty() {
        return true;
    }
    let must_run = std::env::var_os("BINFMT_DISPATCH_TESTS_MUST_RUN").is_some_and(|value| value == "1");
    assert!(!must_run, "needs Linux 6.7 and user namespaces: {answer}");
    eprintln!("skipped: needs Linux 6.7 and user namespaces: {answer}");
    false
}

/// One program started, and what came of it.
pub struct Run {
    command: String,
    output: Output,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command: {}", self.command)?;
        writeln!(f, "status:  {}", self.output.status)?;
        writeln!(f, "stdout:\n{}", String::from_utf8_lossy(&self.output.stdout))?;
        write!(f, "stderr:\n{}", String::from_utf8_lossy(&self.output.stderr))
    }
}

impl Run {
    /// Runs `command` to its end, for ten seconds at most.
    pub fn of(command: Command) -> Self {
        let mut timed = Command::new("timeout");
        timed.args(["--kill-after=1", "10"]).arg(command.get_program()).args(command.get_args());
        timed.stdin(Stdio::null());
        if let Some(directory) = command.get_current_dir() {
            timed.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => timed.env(name, value),
                None => timed.env_remove(name),
            };
        }
        let output = timed.output().expect("coreutils are there");
        Run { command: format!("{command:?}"), output }
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn code(&self, expected: i32) -> &Self {
        assert!(self.output.status.code() == Some(expected), "expected exit code {expected}\n{self}");
        self
    }

    /// Asserts success without a word on standard error.
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert!(self.output.stderr.is_empty(), "expected nothing on stderr\n{self}");
        self.code(0)
    }

    /// Asserts all of standard output.
    #[track_caller]
    pub fn printed(&self, expected: &str) -> &Self {
        assert!(self.out() == expected, "expected stdout:\n{expected}\n{self}");
        self
    }

    /// Asserts that standard output has a line that is `line`, blanks at its ends aside.
    #[track_caller]
    pub fn has(&self, line: &str) -> &Self {
        assert!(self.out().lines().any(|found| found.trim() == line), "expected the line:\n{line}\n{self}");
        self
    }

    /// Asserts nothing on standard output and this one line on standard error, with our name in front of it.
    #[track_caller]
    pub fn refused(&self, code: i32, line: &str) -> &Self {
        let expected = format!("binfmt-dispatch: {line}\n");
        assert!(self.err() == expected && self.output.stdout.is_empty(), "expected on stderr:\n{expected}\n{self}");
        self.code(code)
    }

    /// Asserts that an explanation ends in this verdict and remedy.
    #[track_caller]
    pub fn verdict(&self, code: i32, verdict: &str, remedy: &str) -> &Self {
        self.has(&format!("verdict     {verdict}"));
        if remedy.is_empty() {
            assert!(!self.out().contains("to do"), "expected nothing to do\n{self}");
        } else {
            self.has(&format!("to do       {remedy}"));
        }
        assert!(self.output.stderr.is_empty(), "expected nothing on stderr\n{self}");
        self.code(code)
    }
}
