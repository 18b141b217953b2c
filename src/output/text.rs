//! Text on standard output.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::failure::Failure;
use crate::progress;

/// The width of the terminal that standard output is, in columns; `None` if it is something else.
pub fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0).max(40))
}

/// A number of bytes as people read it.
pub fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10)),
        None => format!("{bytes} bytes"),
    }
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
    progress::clear();
    // A duplicated descriptor: the standard library silently ignores a closed standard output.
    let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    match out.and_then(|mut out| out.write_all(bytes)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        let sizes = [999, 1_000, 28_399_999, 349_250_000, 1_999_999_999].map(size);
        assert_eq!(sizes, ["999 bytes", "1.0 kB", "28.3 MB", "349.2 MB", "1.9 GB"]);
    }
}
