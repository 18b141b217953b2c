//! Running other programs.
//!
//! A signal that would end this program is passed on to the program that runs, and no other is
//! started. So a task ends with an error, and on its way removes what it has made halfway.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::Result;

/// Signals that end a program, and come from people.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

struct State {
    /// The first signal that came.
    signal: Option<Signal>,
    /// The program that runs.
    running: Option<Pid>,
}

static STATE: Mutex<State> = Mutex::new(State { signal: None, running: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, signals are heeded as the head of this module says; to be called while there is one
/// thread.
pub fn heed_signals() -> Result<()> {
    let signals: SigSet = ENDING.into_iter().collect();
    // Programs that are started do not inherit that: the standard library unblocks all signals.
    signals.thread_block()?;
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            let mut state = state();
            state.signal.get_or_insert(signal);
            if let Some(running) = state.running {
                // It may have ended already.
                let _ = kill(running, signal);
            }
        }
    });
    Ok(())
}

/// Whether a signal came, so that what failed may be all right.
pub fn interrupted() -> bool {
    state().signal.is_some()
}

/// Ends this program by the signal that came, if one did: its parent sees what it was.
pub fn end_by_signal() {
    let Some(signal) = state().signal else { return };
    if raise(signal).is_ok() {
        let _ = SigSet::all().thread_unblock();
    }
}

/// Starts a program, one at a time.
pub fn start(command: &mut Command) -> Result<Child> {
    let mut state = state();
    if state.signal.is_some() {
        return Err(interruption());
    }
    let child = command.spawn().map_err(|error| format!("{}: {error}", name(command)))?;
    state.running = Some(pid(&child));
    Ok(child)
}

/// Waits for a program's end.
pub fn finish(mut child: Child) -> Result<ExitStatus> {
    // Its number stays its own until no signal can be sent to it any more.
    let ended = waitid(Id::Pid(pid(&child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    let mut state = state();
    state.running = None;
    ended?;
    let status = child.wait()?;
    if state.signal.is_some() { Err(interruption()) } else { Ok(status) }
}

/// Runs a program; it is all right if it fails.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    finish(start(command)?)
}

/// Runs a program; returns also what it says, together on standard output and standard error.
pub fn logged(command: &mut Command) -> Result<(ExitStatus, File)> {
    let mut log = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let status = status(command)?;
    log.rewind()?;
    Ok((status, log))
}

/// Runs a program; what it says is shown only if it fails.
pub fn quietly(command: &mut Command) -> Result<()> {
    let (status, mut log) = logged(command)?;
    if !status.success() {
        io::copy(&mut log, &mut io::stderr())?;
    }
    succeeded(command, status)
}

/// Runs a program and returns what it writes on standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let mut file = tempfile::tempfile()?;
    let status = status(command.stdin(Stdio::null()).stdout(file.try_clone()?))?;
    succeeded(command, status)?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// An error unless the program has succeeded.
pub fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(format!("{} has failed: {status}", name(command)).into()) }
}

fn interruption() -> Box<dyn std::error::Error> {
    io::Error::from(io::ErrorKind::Interrupted).into()
}

fn pid(child: &Child) -> Pid {
    // The kernel has no number that is too large (proc(5), pid_max).
    Pid::from_raw(child.id() as i32)
}

/// A program's name, as people know it.
fn name(command: &Command) -> String {
    let program = command.get_program();
    Path::new(program).file_name().unwrap_or(OsStr::new(program)).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_the_program() {
        let missing = quietly(&mut Command::new("/nowhere/missing")).unwrap_err().to_string();
        assert!(missing.starts_with("missing: No such file"), "{missing}");
        let failed = quietly(&mut Command::new("/bin/false")).unwrap_err().to_string();
        assert_eq!(failed, "false has failed: exit status: 1");
    }

    #[test]
    fn output_is_returned() {
        assert_eq!(output(Command::new("echo").arg("x")).unwrap(), "x\n");
        assert!(output(&mut Command::new("false")).is_err());
    }
}
