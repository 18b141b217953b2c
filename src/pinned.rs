//! Which file an entry has open: with flag F the kernel starts that one, whatever is at its path by now, and does not say
//! which it is.
//!
//! So a program for the entry is started under ptrace(2), which stops it when the interpreter is in its place and has
//! not done anything yet; /proc/PID/exe is the file.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dispatch_core::NAME;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, execve};

use crate::failure::Failure;
use crate::probe;
use crate::registry::Entry;

/// Option of `status` that makes it the process that is stopped.
pub const TRACED: &str = "traced";
/// What the kernel shows behind the path of a file that is not there any more.
const DELETED: &str = " (deleted)";

/// Whether the file that `entry` has open is another one than that at its path. `None` where that cannot be told: nothing
/// is there, the file is looked up each time, another entry wins, or processes may not be traced.
pub fn is_outdated(entry: &Entry, probe: &[u8]) -> Option<bool> {
    if !entry.enabled || !entry.flags.fix_binary {
        return None;
    }
    let there = fs::metadata(&entry.interpreter).ok()?;
    let (name, open) = interpreter_of(&accepted(entry, probe)?).ok().flatten()?;
    let path = entry.interpreter.as_os_str().as_bytes();
    let same_path = name == path || name.strip_suffix(DELETED.as_bytes()) == Some(path);
    let same = (open.dev(), open.ino()) == (there.dev(), there.ino());
    (same || same_path).then_some(!same)
}

/// The program `probe` with what the entry looks at.
fn accepted(entry: &Entry, probe: &[u8]) -> Option<Vec<u8>> {
    let rule = entry.rule()?;
    let mut program = probe.to_vec();
    for ((byte, magic), mask) in program.iter_mut().zip(rule.magic()).zip(rule.mask()) {
        *byte = *byte & !mask | magic & mask;
    }
    Some(program)
}

/// Path and file of what the kernel starts for `program`; `None` if it does not.
fn interpreter_of(program: &[u8]) -> io::Result<Option<(Vec<u8>, fs::Metadata)>> {
    let file = probe::in_memory(program)?;
    let mut child = Command::new("/proc/self/exe")
        .arg0(NAME)
        .args(["status", &format!("--{TRACED}"), &probe::path(&file)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let stopped = matches!(waitpid(Pid::from_raw(pid), None), Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)));
    let seen = if stopped {
        let exe = format!("/proc/{pid}/exe");
        fs::read_link(&exe).and_then(|path| Ok(Some((path.into_os_string().into_encoded_bytes(), fs::metadata(&exe)?))))
    } else {
        Ok(None)
    };
    // If it has ended already there is nobody to kill, nor to wait for.
    let _ = child.kill();
    let _ = child.wait();
    seen
}

/// Becomes the program at `path`, to be stopped by the process that started this one.
///
/// # Errors
/// It cannot be traced or started.
pub fn become_traced(path: &Path) -> Failure {
    let start = || {
        ptrace::traceme()?;
        let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        let Err(errno) = execve(&name, &[&name], &[] as &[CString]);
        Err::<(), _>(errno)
    };
    let errno = start().err().unwrap_or(nix::errno::Errno::ENOEXEC);
    Failure::CommandRefused { command: path.into(), error: errno.into() }
}
