//! Calls that only the C library offers. With main.rs, this is the only file of this package with
//! `unsafe`.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};

/// The path by which the kernel was told to start this process (`AT_EXECFN`).
pub fn started_by() -> Option<PathBuf> {
    // SAFETY: only reads the auxiliary vector, which the C library has kept.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    (address != 0).then(|| {
        // SAFETY: AT_EXECFN points to a string on the initial stack, which stays valid
        // (getauxval(3)).
        let path = unsafe { CStr::from_ptr(address as *const c_char) };
        PathBuf::from(OsStr::from_bytes(path.to_bytes()))
    })
}

/// Has `command` execute the open file `program`, without arguments and environment, instead of its
/// own program.
pub fn executes(command: &mut Command, program: File) {
    let execute = move || {
        let argv = [c"program".as_ptr(), std::ptr::null()];
        let envp = [std::ptr::null::<c_char>()];
        // SAFETY: reads two arrays of strings, each ended by a null, which exist until it returns.
        unsafe { libc::fexecve(program.as_raw_fd(), argv.as_ptr(), envp.as_ptr()) };
        Err(io::Error::last_os_error())
    };
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing, so it
    // does not matter which locks other threads hold (fork(2)).
    unsafe { command.pre_exec(execute) };
}

/// A random number that cannot be guessed; needs no /dev.
///
/// # Errors
/// As getrandom(2).
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: writes at most `bytes.len()` bytes to `bytes`, which is borrowed for the call.
    let len = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // getrandom(2) returns up to 256 bytes completely, or fails.
    if len == bytes.len() as isize { Ok(u64::from_ne_bytes(bytes)) } else { Err(io::Error::last_os_error()) }
}

/// Whether `signal` was ignored when this program was started, as with nohup(1).
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is changed; the current one is written to `action`,
    // which has the right type.
    let result = unsafe { libc::sigaction(signal as c_int, std::ptr::null(), action.as_mut_ptr()) };
    result == 0 && {
        // SAFETY: the call has succeeded, so it has written `action`.
        let action = unsafe { action.assume_init() };
        action.sa_sigaction == libc::SIG_IGN
    }
}

/// Whether `signal` is pending: it has arrived, and is blocked.
pub fn is_pending(signal: Signal) -> bool {
    let mut pending = *SigSet::empty().as_ref();
    // SAFETY: writes a signal set to `pending`, which is one.
    let result = unsafe { libc::sigpending(&raw mut pending) };
    // SAFETY: reads the initialized set `pending`; `signal` is a valid signal number.
    result == 0 && unsafe { libc::sigismember(&raw const pending, signal as c_int) } == 1
}
