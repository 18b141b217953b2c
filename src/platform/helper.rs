//! Starts this program as a helper, with the command `helper`, for tasks that need another process.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dispatch_core::NAME;
use dispatch_core::refusal::EXIT_NO;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::signals::SignalGuard;
use crate::failure::{Doing, Failure};

/// The name of the request stream in messages.
pub const STREAM: &str = "standard input";
/// Time between two checks whether a helper has ended.
const INTERVAL: Duration = Duration::from_millis(5);
/// How long the programs of a helper that was ended may take to end, too.
const PATIENCE: Duration = Duration::from_secs(5);

/// This program as the helper for `task`, as verbose as this process.
pub fn command(task: &str) -> Command {
    let verbosity: &[&str] = match log::max_level() {
        log::LevelFilter::Debug | log::LevelFilter::Trace => &["-vv"],
        log::LevelFilter::Info => &["-v"],
        _ => &[],
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).args(verbosity).args(["helper", task]);
    command
}

/// Has a helper carry out `task`, and returns its answer. A signal that ends this process ends the
/// helper and its programs first; it takes effect when the caller's own [`SignalGuard`], if there is
/// one, is dropped.
///
/// # Errors
/// The helper cannot be started, or has failed, and has reported why; [`Failure::Interrupted`].
pub fn answer<A: DeserializeOwned>(task: &str, request: &impl Serialize) -> Result<A, Failure> {
    let failed = |error| Failure::io(Doing::Execute, Path::new("/proc/self/exe"), error);
    let request = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    let _guard = SignalGuard::begin();
    let mut command = command(task);
    // The programs that it starts are in the same group, so that all of them can be ended.
    let started = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(failed)?;
    // The helper reads the whole request before it does anything that may fail. Dropping the stream
    // closes it.
    if let Some(mut stream) = child.stdin.take() {
        stream.write_all(&request).map_err(failed)?;
    }
    let stream = child.stdout.take();
    let answer = thread::spawn(move || {
        let mut answer = Vec::new();
        stream.map_or(Ok(0), |mut stream| stream.read_to_end(&mut answer)).map(|_| answer)
    });
    let Some(status) = ended(&mut child).map_err(failed)? else { return Err(Failure::Interrupted) };
    if !status.success() {
        let exit_code = status.code().and_then(|code| u8::try_from(code).ok());
        return Err(Failure::Reported(exit_code.unwrap_or(EXIT_NO)));
    }
    let answer = answer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(failed)?;
    serde_json::from_slice(&answer).map_err(|error| failed(error.into()))
}

/// Waits for a helper, the leader of a process group, to end. Ends the group and returns `None` if a
/// blocked signal is pending.
fn ended(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if SignalGuard::is_over() {
            break;
        }
        thread::sleep(INTERVAL);
    }
    let group = Pid::from_raw(child.id() as i32);
    let begin = Instant::now();
    // This fails once no process is left in the group. Until then one may write files.
    while killpg(group, Signal::SIGKILL).is_ok() && begin.elapsed() < PATIENCE {
        child.try_wait()?;
        thread::sleep(INTERVAL);
    }
    Ok(None)
}

/// The request to this process, which is a helper.
///
/// # Errors
/// It is invalid.
pub fn request<R: DeserializeOwned>() -> Result<R, Failure> {
    let unreadable = |error: serde_json::Error| Failure::io(Doing::Read, Path::new(STREAM), error.into());
    serde_json::from_reader(io::stdin()).map_err(unreadable)
}
