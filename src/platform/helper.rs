//! Starts this program as a helper, with the command `helper`, for tasks that need another process.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dispatch_core::NAME;
use dispatch_core::refusal::EXIT_NO;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Doing, Failure};

/// The name of the request stream in messages.
pub const STREAM: &str = "standard input";

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

/// Has a helper carry out `task`, and returns its answer.
///
/// # Errors
/// The helper cannot be started, or has failed, and has reported why.
pub fn answer<A: DeserializeOwned>(task: &str, request: &impl Serialize) -> Result<A, Failure> {
    let failed = |error| Failure::io(Doing::Execute, Path::new("/proc/self/exe"), error);
    let request = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    let mut child = command(task).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    // The helper reads the whole request before it does anything that may fail. Dropping the stream
    // closes it.
    if let Some(mut stream) = child.stdin.take() {
        stream.write_all(&request).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let exit_code = output.status.code().and_then(|code| u8::try_from(code).ok());
        return Err(Failure::Reported(exit_code.unwrap_or(EXIT_NO)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.into()))
}

/// The request to this process, which is a helper.
///
/// # Errors
/// It is invalid.
pub fn request<R: DeserializeOwned>() -> Result<R, Failure> {
    let unreadable = |error: serde_json::Error| Failure::io(Doing::Read, Path::new(STREAM), error.into());
    serde_json::from_reader(io::stdin()).map_err(unreadable)
}
