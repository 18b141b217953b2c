//! Where the C library enters, and what only it can do: the one place with `unsafe` in this package.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Parser;
use nix::fcntl::AtFlags;
use nix::libc;
use nix::unistd::execveat;

use crate::cli::Cli;
use crate::columns;
use crate::failure::Failure;

/// The C library's main; the standard library finds the arguments by itself.
// SAFETY: no other function of this program is called main. (Tests have one of their own.)
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are output as any other.
        Err(asked) if !asked.use_stderr() => return finish(columns::print(asked.render()).map(|()| 0)),
        Err(error) => error.exit(),
    };
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    // Nothing of it comes from the environment, so that output is the same everywhere.
    env_logger::Builder::new().filter_level(level).format_timestamp(None).init();
    finish(cli.run())
}

/// The exit code, once the reason for it is told.
fn finish(result: Result<u8, Failure>) -> c_int {
    c_int::from(result.unwrap_or_else(|failure| {
        failure.report();
        failure.exit_code()
    }))
}

/// The path by which the kernel was told to start this process (AT_EXECFN).
pub fn started_by() -> Option<PathBuf> {
    // SAFETY: reads the auxiliary vector that the C library has kept.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    (address != 0).then(|| {
        // SAFETY: a string on the initial stack, which stays (getauxval(3)).
        let path = unsafe { CStr::from_ptr(address as *const c_char) };
        PathBuf::from(OsStr::from_bytes(path.to_bytes()))
    })
}

/// Has `command` execute the open file `program`, without arguments and environment, instead of what it names.
pub fn executes(command: &mut Command, program: File) {
    let execute = move || {
        let Err(errno) = execveat(&program, c"", &[c"program"], &[] as &[&CStr], AtFlags::AT_EMPTY_PATH);
        Err(errno.into())
    };
    // SAFETY: this program has one thread, so the child may do whatever the parent may.
    unsafe { command.pre_exec(execute) };
}

/// A number that nobody can guess, without a /dev.
///
/// # Errors
/// As getrandom(2).
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: writes into what is borrowed for the call, and not beyond.
    let len = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // So few come at once, or not at all (getrandom(2)).
    if len == bytes.len() as isize { Ok(u64::from_ne_bytes(bytes)) } else { Err(io::Error::last_os_error()) }
}
