//! JSON on standard output, with names and paths that need not be UTF-8.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use dispatch_core::message::Text;
use serde::{Serialize, Serializer};

use super::text;
use crate::failure::Failure;

/// Writes `value` to standard output, indented.
///
/// # Errors
/// [`Failure::Output`].
pub fn print(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))?;
    text::print(json + "\n")
}

/// A name or path: a string in JSON, or a list of bytes where it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(OsString);

impl<T: AsRef<OsStr> + ?Sized> From<&T> for Bytes {
    fn from(bytes: &T) -> Self {
        Bytes(bytes.as_ref().to_owned())
    }
}

impl Bytes {
    /// A name as the kernel has it.
    pub fn of(bytes: &[u8]) -> Self {
        Bytes::from(OsStr::from_bytes(bytes))
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_seq(self.0.as_bytes()),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(self.0.as_bytes()).fmt(f)
    }
}

/// A value that is a string in JSON, the same as in text.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_text_is_bytes() {
        let json = |bytes: &[u8]| serde_json::to_string(&Bytes::from(OsStr::from_bytes(bytes))).unwrap();
        assert_eq!(json(b"/a\"b"), r#""/a\"b""#);
        assert_eq!(json(b"/\xff"), "[47,255]");
    }
}
