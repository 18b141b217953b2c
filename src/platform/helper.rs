//! This program, started by itself for what this process cannot do: `helper` on its command line.

use std::os::unix::process::CommandExt;
use std::process::Command;

use dispatch_core::NAME;

/// This program as the helper for `task`, which says as much on standard error as this process does.
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
