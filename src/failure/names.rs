//! Names and the kernel's errors, as lines have them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use dispatch_core::message::Text;

/// A name for a terminal: bytes that are not UTF-8, and control characters, are escaped.
pub fn show(name: &OsStr) -> Text<'_> {
    Text(name.as_bytes())
}

/// Names in a line: if there are many, the first ones and the number of the others.
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let join = |names: &[T]| names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match names {
        names if names.len() > 6 => format!("{} and {} more", join(&names[..5]), names.len() - 5),
        names => join(names),
    }
}

/// An error as strerror(3) has it, but in lower case; Rust's own form adds the number.
pub fn text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}
