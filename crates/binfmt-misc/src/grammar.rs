//! The kernel's side of a register line: its interpretation of the text. The lines of this project
//! are checked against it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use dispatch_core::Rule;

use crate::entry::{Flags, Matcher, hex_byte};
use crate::register_line::{LineFault, MAX_LINE, MIN_LINE, RegisterLine};

/// Why the kernel refuses a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrammarFault {
    /// Too short or too long.
    Length,
    /// The first byte has a meaning of its own.
    Delimiter,
    /// A field is missing, or there is one too many.
    Fields,
    /// Neither `M` nor `E`.
    Type,
    /// The offset is not a decimal number.
    Offset,
    /// Magic and mask are empty, badly escaped, of different lengths, or beyond the 256 bytes that
    /// the kernel reads.
    Magic,
    /// There is a flag other than P, O, C and F.
    Flags,
    /// One field is wrong by itself.
    Line(LineFault),
}

/// Reads a line as the kernel does, except for oddities without a use: raw NULs, letters as
/// delimiters, signs before the offset, relative interpreters.
///
/// # Errors
/// The first fault in the line.
pub fn parse(text: &[u8]) -> Result<RegisterLine, GrammarFault> {
    if !(MIN_LINE..=MAX_LINE).contains(&text.len()) {
        return Err(GrammarFault::Length);
    }
    let (&delimiter, rest) = text.split_first().ok_or(GrammarFault::Fields)?;
    if delimiter.is_ascii_alphanumeric() || b"\\\n\0".contains(&delimiter) {
        return Err(GrammarFault::Delimiter);
    }
    let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
    let fields: Vec<&[u8]> = rest.split(|byte| *byte == delimiter).collect();
    let [name, kind, offset, magic, mask, interpreter, flags] = fields[..] else { return Err(GrammarFault::Fields) };
    let matcher = match kind {
        b"M" => {
            let digits = std::str::from_utf8(offset).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let offset = match digits.ok_or(GrammarFault::Offset)? {
                "" => 0,
                digits => digits.parse().map_err(|_| GrammarFault::Offset)?,
            };
            let magic = unescape(magic).ok_or(GrammarFault::Magic)?;
            let mask = unescape(mask).ok_or(GrammarFault::Magic)?;
            Matcher::Rule(Rule::new(offset, &magic, &mask).ok_or(GrammarFault::Magic)?)
        }
        b"E" => Matcher::Extension(OsString::from_vec(magic.to_vec())),
        _ => return Err(GrammarFault::Type),
    };
    let flags = Flags::parse(flags).ok_or(GrammarFault::Flags)?;
    RegisterLine::new(OsStr::from_bytes(name), matcher, Path::new(OsStr::from_bytes(interpreter)), flags)
        .map_err(GrammarFault::Line)
}

/// Decodes a field that `scanarg` accepted, as `string_unescape(UNESCAPE_HEX)` does: `\x` needs two
/// digits; any other backslash stands for itself and for the next character.
fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                bytes.push(hex_byte(&[*high, *low])?);
                rest = after;
            }
            (b'\\', [b'x', ..]) | (0, _) => return None,
            // `scanarg` looks at every backslash, this function at pairs: `scanarg` refuses "\\x4".
            (b'\\', [b'\\', b'x', digits @ ..]) if digits.get(..2).and_then(hex_byte).is_none() => return None,
            (b'\\', [next, after @ ..]) => {
                bytes.extend([byte, *next]);
                rest = after;
            }
            _ => bytes.push(byte),
        }
    }
    Some(bytes)
}
