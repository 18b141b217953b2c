//! Text on standard output.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::failure::Failure;

/// The width of the terminal that standard output is, in columns; `None` if it is something else.
pub fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0).max(40))
}

/// Writes `text` to standard output. A reader that has gone away is no failure.
///
/// # Errors
/// It cannot be written for another reason, as on a full disk.
pub fn print(text: impl fmt::Display) -> Result<(), Failure> {
    write(text.to_string().as_bytes())
}

/// Writes bytes, which need not be text, likewise.
///
/// # Errors
/// As [`print`].
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    // A duplicated descriptor: the standard library silently ignores a closed standard output.
    let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    match out.and_then(|mut out| out.write_all(bytes)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}
