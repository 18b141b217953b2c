//! Starts this program as a helper, with the command `helper`, for tasks that need another process.

use std::os::unix::process::CommandExt;
use std::process::Command;

use dispatch_core::NAME;

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
