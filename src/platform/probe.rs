//! Runs an architecture's probe, a minimal program, to see whether its programs run.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dispatch_core::NAME;
use dispatch_core::refusal::MORE;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::MFdFlags;
use tempfile::TempPath;

use super::signals::SignalGuard;
use super::{memfd, process};
use crate::failure::ProbeFault;

/// How long a probe may take: usually milliseconds, but more on a loaded machine that is itself
/// emulated.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two checks whether a program has ended. It does not affect the measured CPU time.
const INTERVAL: Duration = Duration::from_millis(1);
/// A device that reads as empty and discards what is written.
const NULL: &str = "/dev/null";
/// Largest part of a program's output that is read, in bytes.
const LONGEST_LINE: u64 = 1000;

/// Runs `program`, the bytes of a probe, like any program: by path, through the kernel.
///
/// # Errors
/// It did not exit with status 0.
pub fn run(program: &[u8]) -> Result<(), ProbeFault> {
    let (mut command, _file) = started(prepared(program)?);
    prove(&mut command)
}

/// `name` as a path with a slash, so that a bare name is not looked up in PATH.
fn as_path(name: &Path) -> PathBuf {
    Path::new(".").join(name)
}

/// Runs `program` with `emulator`, which gets `options`, and `name` as its argv\[0\].
///
/// # Errors
/// As [`run`].
pub fn run_by<O: AsRef<OsStr>>(
    emulator: &Path,
    name: &OsStr,
    options: impl IntoIterator<Item = O>,
    program: &[u8],
) -> Result<(), ProbeFault> {
    let file = prepared(program)?;
    let (path, _named) = match memfd::path(&file) {
        Some(path) => (path, None),
        None => {
            let named = named(program).map_err(ProbeFault::NotStarted)?;
            (named.to_path_buf(), Some(named))
        }
    };
    prove(Command::new(as_path(emulator)).arg0(name).args(options).arg("--").arg(path))
}

/// `program` as a file with a name, for an emulator to open.
fn named(program: &[u8]) -> io::Result<TempPath> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.permissions(Permissions::from_mode(0o700));
    let mut file = builder.tempfile().or_else(|_| builder.tempfile_in("."))?;
    file.write_all(program)?;
    Ok(file.into_temp_path())
}

/// The first line that `emulator` prints with `option`; `None` if it fails, or does not end in
/// time.
pub fn says(emulator: &Path, option: &str) -> Option<String> {
    let mut command = Command::new(as_path(emulator));
    command.arg(option).env_clear().stdin(nothing().ok()?).stdout(Stdio::piped()).stderr(nothing().ok()?);
    let mut child = command.spawn().ok()?;
    let status = wait(&mut child, PATIENCE).ok()??;
    status.success().then(|| first_line(child.stdout.take()))
}

fn prepared(program: &[u8]) -> Result<File, ProbeFault> {
    in_memory(program).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::EACCES as i32 => ProbeFault::Forbidden,
        _ => ProbeFault::NotStarted(error),
    })
}

/// Runs `program` as [`run`] does, and returns its exit status and the first line on its standard
/// error.
///
/// # Errors
/// It was not started, or did not end.
pub fn end(program: &[u8]) -> Result<(ExitStatus, String), ProbeFault> {
    let (mut command, _file) = started(prepared(program)?);
    end_of(&mut command)
}

/// A command that executes the open file `program`. If the file is returned too, it has to stay
/// open, because the command's path leads to it.
fn started(program: File) -> (Command, Option<File>) {
    match memfd::path(&program) {
        Some(path) => (Command::new(path), Some(program)),
        None => {
            let mut command = Command::new(NAME);
            process::executes(&mut command, program);
            (command, None)
        }
    }
}

/// /dev/null, or an empty file in memory if that cannot be opened.
///
/// # Errors
/// As `memfd_create(2)`.
pub fn nothing() -> io::Result<Stdio> {
    match File::options().read(true).write(true).open(NULL) {
        Ok(null) => Ok(null.into()),
        Err(_) => Ok(memfd::executable(c"null", MFdFlags::MFD_CLOEXEC)?.into()),
    }
}

fn end_of(command: &mut Command) -> Result<(ExitStatus, String), ProbeFault> {
    end_of_child(spawn(command)?)
}

fn spawn(command: &mut Command) -> Result<Child, ProbeFault> {
    command
        // The caller's settings for emulators must not influence the probe.
        .env_clear()
        .stdin(nothing().map_err(ProbeFault::NotStarted)?)
        .stdout(nothing().map_err(ProbeFault::NotStarted)?)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ProbeFault::NotStarted)
}

fn end_of_child(mut child: Child) -> Result<(ExitStatus, String), ProbeFault> {
    let status = wait(&mut child, PATIENCE).map_err(ProbeFault::NotStarted)?.ok_or(ProbeFault::Hung(PATIENCE))?;
    Ok((status, first_line(child.stderr.take())))
}

/// How many probes run side by side: more than there are CPUs, since each waits for a short time.
const SIDE_BY_SIDE: usize = 16;

/// Runs several programs as [`run`] does, side by side; the outcomes are in the same order.
pub fn run_all(programs: &[Vec<u8>]) -> Vec<Result<(), ProbeFault>> {
    let start = |program: &Vec<u8>| {
        let (mut command, file) = started(prepared(program)?);
        Ok((spawn(&mut command)?, file))
    };
    let mut outcomes = Vec::new();
    for part in programs.chunks(SIDE_BY_SIDE) {
        let running: Vec<Result<_, ProbeFault>> = part.iter().map(start).collect();
        outcomes
            .extend(running.into_iter().map(|running| running.and_then(|(child, _file)| proof(end_of_child(child)))));
    }
    outcomes
}

fn prove(command: &mut Command) -> Result<(), ProbeFault> {
    proof(end_of(command))
}

/// What the end of a probe shows.
fn proof(end: Result<(ExitStatus, String), ProbeFault>) -> Result<(), ProbeFault> {
    let (status, line) = end?;
    if status.success() {
        return Ok(());
    }
    // The name of this program in front is removed, and the command that says more about the probe.
    let said = line.strip_prefix(NAME).and_then(|line| line.strip_prefix(": ")).unwrap_or(&line);
    let said = said.split(MORE).next().unwrap_or_default().to_owned();
    Err(ProbeFault::Ended { status, said })
}

/// A file in memory with the bytes `program`, because /tmp may be mounted noexec. It is not
/// close-on-exec: without flag O an interpreter opens the file by its path.
fn in_memory(program: &[u8]) -> io::Result<File> {
    memfd::holding(c"probe", MFdFlags::empty(), program)
}

/// Waits for a program to end. Kills it and returns `None` if it did not end within `patience`, or
/// if a blocked signal is pending.
///
/// # Errors
/// As waitpid(2).
pub fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline || SignalGuard::is_over() {
            // This fails if the program has just ended; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(INTERVAL);
    }
}

/// The first line that a program wrote before it ended. Its children may still have the stream
/// open, but are not waited for.
fn first_line(stream: Option<impl Read + AsFd>) -> String {
    let mut bytes = Vec::new();
    let waits = |stream: &_| fcntl(stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_err();
    if let Some(stream) = stream.filter(|stream| !waits(stream)) {
        // Output that cannot be read is left out.
        let _ = stream.take(LONGEST_LINE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_runs() {
        let program = std::fs::read("/bin/true").unwrap();
        assert!(run(&program).is_ok());
    }

    #[test]
    fn programs_run_side_by_side() {
        let programs: Vec<Vec<u8>> =
            (0..40).map(|number| format!("#!/bin/sh\nsleep 0.2; exit {}\n", number % 3).into_bytes()).collect();
        let begin = Instant::now();
        let outcomes: Vec<bool> = run_all(&programs).iter().map(Result::is_ok).collect();
        assert_eq!(outcomes, (0..40).map(|number| number % 3 == 0).collect::<Vec<_>>());
        assert!(begin.elapsed() < Duration::from_secs(6), "one after the other they take 8 seconds");
    }

    #[test]
    fn what_is_said_is_repeated() {
        let fault = run(b"#!/bin/sh\necho binfmt-dispatch: no luck >&2; exit 126\n").unwrap_err();
        assert_eq!(fault.to_string(), "exited with 126: no luck");
        assert_eq!(run(b"#!/bin/sh\nkill -9 $$\n").unwrap_err().to_string(), "was killed by signal 9");
    }

    #[test]
    fn what_is_asked_is_answered_or_not() {
        let shell = Path::new("/bin/sh");
        assert_eq!(says(shell, "-c"), None, "it exits with 2");
        assert_eq!(says(Path::new("/bin/echo"), "first\nsecond").as_deref(), Some("first"));
        assert_eq!(says(Path::new("/nothing"), "--version"), None);
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let begin = Instant::now();
        let (status, line) = end(b"#!/bin/sh\necho said >&2; sleep 5 &\n").unwrap();
        assert!(status.success() && line == "said" && begin.elapsed() < Duration::from_secs(5), "{line}");
    }

    #[test]
    fn what_is_no_program_is_not_started() {
        assert!(matches!(run(b"\x7fELF"), Err(ProbeFault::NotStarted(_))));
    }
}
