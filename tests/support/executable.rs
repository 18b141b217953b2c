//! Executable files for tests to start.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes an executable file, in a separate process. A descriptor in this process could be open in
/// a child that another test has just forked, and a file that is open for writing cannot be
/// executed (ETXTBSY, execve(2)). The file is new each time, because old kernels refuse writes to a
/// file that was registered with flag F, even when the entry is gone.
pub fn write(path: &Path, bytes: &[u8]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"rm -f "$1" && cat >"$1" && chmod 755 "$1""#, "sh"]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().expect("there is a shell");
    child.stdin.take().expect("it is piped").write_all(bytes).expect("cat reads it all");
    assert!(child.wait().expect("it is our child").success(), "{} cannot be written", path.display());
}
