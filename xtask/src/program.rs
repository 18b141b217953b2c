//! Running other programs.
//!
//! A signal that would end this program is passed on to the running program, and no further program
//! starts. The task then ends with an error, and removes incomplete files on its way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::Result;

/// Signals that end a program and that people send.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

struct State {
    /// The first signal received.
    signal: Option<Signal>,
    /// The running program.
    running: Option<Pid>,
}

static STATE: Mutex<State> = Mutex::new(State { signal: None, running: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, handles signals as described at the top of this module. They are not blocked, as
/// started programs would inherit that.
pub fn heed_signals() -> Result<()> {
    let mut signals = Signals::new(ENDING.map(|signal| signal as i32))?;
    thread::spawn(move || {
        for signal in signals.forever().filter_map(|number| Signal::try_from(number).ok()) {
            let mut state = state();
            state.signal.get_or_insert(signal);
            if let Some(running) = state.running {
                // The program may have ended already.
                let _ = kill(running, signal);
            }
        }
    });
    Ok(())
}

/// Whether a signal was received, so that a failure may have another cause.
pub fn interrupted() -> bool {
    state().signal.is_some()
}

/// If a signal was received, ends this program by it, so that the parent sees which one it was.
pub fn end_by_signal() {
    let Some(signal) = state().signal else { return };
    let _ = emulate_default_handler(signal as i32);
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
    // The process id is not reused before the program is waited for, so no signal reaches another
    // process.
    let ended = waitid(Id::Pid(pid(&child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    let mut state = state();
    state.running = None;
    ended?;
    let status = child.wait()?;
    if state.signal.is_some() { Err(interruption()) } else { Ok(status) }
}

/// Runs a program. Its failure is no error.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    finish(start(command)?)
}

/// Runs a program. Also returns its standard output and standard error, together.
pub fn logged(command: &mut Command) -> Result<(ExitStatus, File)> {
    let mut log = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let status = status(command)?;
    log.rewind()?;
    Ok((status, log))
}

/// Runs a program. Its output is shown only if it fails.
pub fn quietly(command: &mut Command) -> Result<()> {
    let outcome = logged(command)?;
    judged(command, outcome)
}

/// Returns an error, and shows the output, unless the program succeeded that [`logged`] has run.
pub fn judged(command: &Command, (status, mut log): (ExitStatus, File)) -> Result<()> {
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

/// Returns an error unless the program succeeded.
pub fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(format!("{} has failed: {status}", name(command)).into()) }
}

fn interruption() -> Box<dyn std::error::Error> {
    io::Error::from(io::ErrorKind::Interrupted).into()
}

fn pid(child: &Child) -> Pid {
    // The kernel has no larger process ids (proc(5), pid_max).
    Pid::from_raw(child.id() as i32)
}

/// A program's name, for messages.
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
    fn programs_are_started_with_no_signal_blocked() {
        heed_signals().unwrap();
        let status = output(Command::new("grep").args(["SigBlk", "/proc/self/status"])).unwrap();
        assert_eq!(status.split_whitespace().last(), Some("0000000000000000"));
    }

    #[test]
    fn output_is_returned() {
        assert_eq!(output(Command::new("echo").arg("x")).unwrap(), "x\n");
        assert!(output(&mut Command::new("false")).is_err());
    }
}
