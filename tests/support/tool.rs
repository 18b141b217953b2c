//! The tool under test.

use std::ffi::OsStr;
use std::process::Command;

/// The built binfmt-dispatch.
pub const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");

/// PATH, with the tool in it: remedies then call it by its name.
pub fn path_with_tool(path: &str) -> String {
    let directory = TOOL.rsplit_once('/').expect("an absolute path").0;
    format!("{path}:{directory}")
}

/// The output of the command with `arguments`, which must succeed.
#[track_caller]
pub fn tool(arguments: &[&str]) -> Vec<u8> {
    // The tests themselves run under this emulator, which cannot start programs.
    let runner = std::env::var_os("BINFMT_DISPATCH_TESTS_RUNNER");
    let mut command = Command::new(runner.as_deref().unwrap_or(OsStr::new(TOOL)));
    command.args(runner.is_some().then_some(TOOL)).args(arguments);
    let output = command.output().expect("the tool is built");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{TOOL} {arguments:?}: {}\n{stderr}", output.status);
    output.stdout
}
