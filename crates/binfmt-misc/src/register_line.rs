//! A line for the file `register`, in the kernel's grammar (`fs/binfmt_misc.c`, `create_entry`):
//!
//! ```text
//! :name:M:offset:magic:mask:interpreter:flags
//! :name:E::extension::interpreter:flags
//! ```
//!
//! The first byte is the delimiter. A [`RegisterLine`] has passed every check that does not need
//! the kernel: it is refused here with a reason, instead of by the kernel with EINVAL.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::Rule;
use dispatch_core::rule::Escaped;

use crate::entry::{Entry, Flags, Matcher};

/// Shortest line that the kernel reads, in bytes.
pub(crate) const MIN_LINE: usize = 11;
/// `MAX_REGISTER_LENGTH`: longest line that the kernel reads, in bytes.
pub const MAX_LINE: usize = 1920;
/// `NAME_MAX`: longest file name, in bytes.
const MAX_NAME: usize = 255;
/// Files in the mount that are not entries.
const RESERVED: [&str; 2] = [crate::REGISTER, crate::STATUS];

/// A line that creates one entry, with one write(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterLine {
    name: OsString,
    matcher: Matcher,
    interpreter: PathBuf,
    flags: Flags,
    delimiter: u8,
}

/// Why a line is refused. The message shows it after the line or its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// The name is empty, `.`, `..`, a name of the mount's own files, too long, or has a slash, a
    /// newline or a NUL.
    Name,
    /// The extension is empty, or has a slash, a newline or a NUL.
    Extension,
    /// The interpreter is not an absolute path, or has a newline or a NUL.
    Interpreter,
    /// Every possible delimiter is in use.
    Delimiter,
    /// It is of type B. Whoever registers the handler registers the entry.
    Handler,
    /// The flags exclude each other.
    Flags,
    /// The kernel reads lines of 11 to 1920 bytes; this one has another length.
    Length(usize),
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineFault::Name => "is no name for an entry: use 1 to 255 bytes without a slash",
            LineFault::Extension => "has no usable extension: use at least one byte and no slash",
            LineFault::Interpreter => "has no usable interpreter: give an absolute path without a line break",
            LineFault::Delimiter => "leaves no byte to delimit fields: give the interpreter a shorter path",
            LineFault::Handler => {
                "has a handler in the kernel (type B): only the software that loaded it can register it"
            }
            LineFault::Flags => "has flags that exclude each other: T and P, or L and any of T, P, O and C",
            LineFault::Length(len) => {
                return write!(f, "makes a line of {len} bytes: the kernel reads {MIN_LINE} to {MAX_LINE}");
            }
        })
    }
}

impl RegisterLine {
    /// Builds a line from its parts.
    ///
    /// # Errors
    /// The first part that the kernel would refuse or misread.
    pub fn new(name: &OsStr, matcher: Matcher, interpreter: &Path, flags: Flags) -> Result<Self, LineFault> {
        if !is_name(name) {
            return Err(LineFault::Name);
        }
        if matches!(&matcher, Matcher::Extension(extension) if !is_extension(extension)) {
            return Err(LineFault::Extension);
        }
        if matches!(matcher, Matcher::Handler(_)) {
            return Err(LineFault::Handler);
        }
        if flags.conflict().is_some() {
            return Err(LineFault::Flags);
        }
        // Kernels accept a relative path, and resolve it in the working directory of the caller.
        if !interpreter.is_absolute() || interpreter.as_os_str().as_bytes().iter().any(|byte| b"\n\0".contains(byte)) {
            return Err(LineFault::Interpreter);
        }
        let mut line = RegisterLine {
            name: name.to_owned(),
            matcher,
            interpreter: interpreter.to_owned(),
            flags: flags.normalized(),
            delimiter: b':',
        };
        line.delimiter = line.free_delimiter().ok_or(LineFault::Delimiter)?;
        let len = line.bytes().len();
        if !(MIN_LINE..=MAX_LINE).contains(&len) {
            return Err(LineFault::Length(len));
        }
        Ok(line)
    }

    /// The line that recreates `entry`: same name, matcher, interpreter and flags.
    ///
    /// # Errors
    /// As [`RegisterLine::new`].
    pub fn of_entry(entry: &Entry) -> Result<Self, LineFault> {
        RegisterLine::new(&entry.name, entry.matcher.clone(), &entry.interpreter, entry.flags)
    }

    /// The bytes for one write(2), without a newline.
    pub fn bytes(&self) -> Vec<u8> {
        let (kind, offset, magic, mask) = match &self.matcher {
            Matcher::Rule(rule) => {
                // Ignored bytes cost four characters each, in magic and mask; an offset replaces
                // leading ones. One byte must stay.
                let idle = rule.magic().iter().zip(rule.mask()).take_while(|(magic, mask)| **magic | **mask == 0);
                let offset = idle.count().min(rule.mask().len().saturating_sub(1));
                let escaped = |bytes: &[u8]| Escaped(&bytes[offset..]).to_string().into_bytes();
                let digits = if offset == 0 { String::new() } else { offset.to_string() };
                ("M", digits, escaped(rule.magic()), escaped(rule.mask()))
            }
            Matcher::Extension(text) | Matcher::Handler(text) => {
                ("E", String::new(), text.as_bytes().to_vec(), Vec::new())
            }
        };
        let flags = self.flags.to_string();
        let interpreter = self.interpreter.as_os_str().as_bytes();
        let fields =
            [self.name.as_bytes(), kind.as_bytes(), offset.as_bytes(), &magic, &mask, interpreter, flags.as_bytes()];
        fields.iter().flat_map(|field| std::iter::once(self.delimiter).chain(field.iter().copied())).collect()
    }

    /// A colon, or else a byte that occurs nowhere else in the line.
    fn free_delimiter(&self) -> Option<u8> {
        let extension = match &self.matcher {
            Matcher::Extension(text) | Matcher::Handler(text) => text.as_bytes(),
            Matcher::Rule(_) => &[],
        };
        let texts = [self.name.as_bytes(), extension, self.interpreter.as_os_str().as_bytes()];
        let free = |byte: &u8| !texts.iter().any(|text| text.contains(byte));
        // Letters and digits occur in the other fields; the backslash escapes.
        let punctuation = (b'!'..=b'~').filter(|byte| byte.is_ascii_punctuation() && *byte != b'\\');
        std::iter::once(b':').chain(punctuation).find(free)
    }

    /// Name of the entry.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The rule, unless the line matches an extension.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.matcher {
            Matcher::Rule(rule) => Some(rule),
            Matcher::Extension(_) | Matcher::Handler(_) => None,
        }
    }

    /// The same line with another name.
    ///
    /// # Errors
    /// As [`RegisterLine::new`].
    pub fn renamed(&self, name: &OsStr) -> Result<Self, LineFault> {
        RegisterLine::new(name, self.matcher.clone(), &self.interpreter, self.flags)
    }

    /// The same line with other flags.
    ///
    /// # Errors
    /// As [`RegisterLine::new`].
    pub fn with_flags(&self, flags: Flags) -> Result<Self, LineFault> {
        RegisterLine::new(&self.name, self.matcher.clone(), &self.interpreter, flags)
    }

    /// The flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The interpreter.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// Whether the line would create `entry`.
    pub fn describes(&self, entry: &Entry) -> bool {
        entry.name == self.name
            && entry.enabled != self.flags.disabled
            && entry.matcher == self.matcher
            && entry.interpreter == self.interpreter
            && entry.flags == Flags { disabled: false, ..self.flags }
    }
}

impl fmt::Display for RegisterLine {
    /// The line as written; bytes that are not UTF-8 are replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}

/// Whether an entry can have this name.
pub(crate) fn is_name(name: &OsStr) -> bool {
    usable(name, MAX_NAME) && name != "." && name != ".." && !RESERVED.iter().any(|reserved| name == *reserved)
}

/// Whether an entry can match this extension.
pub(crate) fn is_extension(extension: &OsStr) -> bool {
    usable(extension, MAX_LINE)
}

/// Whether the text can be a name or an extension.
fn usable(text: &OsStr, longest: usize) -> bool {
    let bytes = text.as_bytes();
    (1..=longest).contains(&bytes.len()) && !bytes.iter().any(|byte| b"/\n\0".contains(byte))
}

#[cfg(test)]
mod tests;
