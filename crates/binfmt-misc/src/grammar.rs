//! The kernel's side of a register line: its interpretation of the text. The lines of this project
//! are checked against it, and `lint` reads everybody's lines with it.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use dispatch_core::Rule;
use dispatch_core::rule::WINDOW;

use crate::entry::{Flags, Matcher, hex_byte};
use crate::register_line::{LineFault, MAX_LINE, MIN_LINE, RegisterLine, is_extension, is_name};

/// How many fields a line has.
pub const FIELDS: usize = 7;

/// Why the kernel refuses a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrammarFault {
    /// Too short or too long: so many bytes.
    Length(usize),
    /// The first byte has a meaning of its own.
    Delimiter,
    /// So many fields instead of [`FIELDS`].
    Fields(usize),
    /// Neither `M` nor `E` nor `B`.
    Type,
    /// The offset is not a decimal number.
    Offset,
    /// `\x` without two hexadecimal digits, or a NUL, in magic or mask.
    Escape,
    /// The magic is empty.
    NoMagic,
    /// Magic and mask have different lengths, in bytes.
    MaskLength(usize, usize),
    /// The magic ends beyond the 256 bytes that the kernel reads.
    Window,
    /// There is a flag other than P, O, C, F, T, L and D.
    Flags,
    /// These two flags exclude each other.
    Conflict(char, char),
    /// Type B goes with a name of a handler in place of the interpreter, without offset, magic,
    /// mask, and flags other than D.
    Handler,
    /// One field is wrong by itself.
    Line(LineFault),
}

/// A fault, and the bytes of the line where it is. The range is empty where something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The fault.
    pub fault: GrammarFault,
    /// The bytes of the line.
    pub at: Range<usize>,
}

/// A field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'l> {
    /// Where it begins in the line, in bytes.
    pub start: usize,
    /// Its text.
    pub text: &'l [u8],
}

/// A line, taken apart and understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'l> {
    /// Its fields: name, type, offset, magic, mask, interpreter, flags.
    pub fields: [Field<'l>; FIELDS],
    /// What the entry matches.
    pub matcher: Matcher,
    /// Its flags.
    pub flags: Flags,
}

impl Field<'_> {
    /// Its bytes of the line.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn fault(&self, fault: GrammarFault) -> Located {
        Located { fault, at: self.range() }
    }
}

impl<'l> Reading<'l> {
    /// Name of the entry.
    pub fn name(&self) -> &'l OsStr {
        OsStr::from_bytes(self.fields[0].text)
    }

    /// The interpreter; kernels accept a relative path, too. With type B the name of the handler.
    pub fn interpreter(&self) -> &'l Path {
        Path::new(OsStr::from_bytes(self.fields[5].text))
    }
}

/// Reads a line as the kernel does, and as [`RegisterLine`] writes it: the interpreter's path is
/// absolute.
///
/// # Errors
/// The first fault in the line.
pub fn parse(text: &[u8]) -> Result<RegisterLine, GrammarFault> {
    let reading = read(text).map_err(|located| located.fault)?;
    let (name, interpreter) = (reading.name(), reading.interpreter());
    RegisterLine::new(name, reading.matcher, interpreter, reading.flags).map_err(GrammarFault::Line)
}

/// The name that a line is meant to have, whatever else is wrong with it.
pub fn name(text: &[u8]) -> Option<Field<'_>> {
    let (delimiter, rest) = text.split_first()?;
    let name = rest.split(|byte| byte == delimiter).next()?;
    Some(Field { start: 1, text: name })
}

/// Reads a line as the kernel does, except for oddities without a use: raw NULs, and letters and
/// digits as delimiters.
///
/// # Errors
/// The first fault in the line.
pub fn read(text: &[u8]) -> Result<Reading<'_>, Located> {
    if !(MIN_LINE..=MAX_LINE).contains(&text.len()) {
        return Err(Located { fault: GrammarFault::Length(text.len()), at: 0..text.len() });
    }
    let delimiter = text[0];
    if delimiter.is_ascii_alphanumeric() || b"\\\n\0".contains(&delimiter) {
        return Err(Located { fault: GrammarFault::Delimiter, at: 0..1 });
    }
    let fields = fields(text.strip_suffix(b"\n").unwrap_or(text), delimiter)?;
    let [name, kind, offset, magic, mask, interpreter, flags] = fields;
    if !is_name(OsStr::from_bytes(name.text)) {
        return Err(name.fault(GrammarFault::Line(LineFault::Name)));
    }
    let matcher = match kind.text {
        b"M" => Matcher::Rule(rule(offset, magic, mask)?),
        b"E" if is_extension(OsStr::from_bytes(magic.text)) => {
            Matcher::Extension(OsString::from_vec(magic.text.to_vec()))
        }
        b"E" => return Err(magic.fault(GrammarFault::Line(LineFault::Extension))),
        b"B" => match [offset, magic, mask].into_iter().find(|field| !field.text.is_empty()) {
            Some(field) => return Err(field.fault(GrammarFault::Handler)),
            None => Matcher::Handler(OsStr::from_bytes(interpreter.text).to_owned()),
        },
        _ => return Err(kind.fault(GrammarFault::Type)),
    };
    if interpreter.text.is_empty() || interpreter.text.iter().any(|byte| b"\n\0".contains(byte)) {
        return Err(interpreter.fault(GrammarFault::Line(LineFault::Interpreter)));
    }
    let set = Flags::parse(flags.text).ok_or_else(|| {
        let unknown = flags.text.iter().position(|letter| Flags::parse(&[*letter]).is_none()).unwrap_or(0);
        let start = flags.start + unknown;
        Located { fault: GrammarFault::Flags, at: start..start + 1 }
    })?;
    if let Some((one, other)) = set.conflict() {
        return Err(flags.fault(GrammarFault::Conflict(one, other)));
    }
    if matches!(matcher, Matcher::Handler(_)) && set != (Flags { disabled: set.disabled, ..Flags::default() }) {
        return Err(flags.fault(GrammarFault::Handler));
    }
    Ok(Reading { fields, matcher, flags: set })
}

/// Takes a line apart at its delimiters.
fn fields(text: &[u8], delimiter: u8) -> Result<[Field<'_>; FIELDS], Located> {
    let mut start = 1;
    let field = |text: &'_ [u8]| start_of(&mut start, text.len());
    let starts: Vec<usize> = text[1..].split(|byte| *byte == delimiter).map(field).collect();
    let fault = |at| Located { fault: GrammarFault::Fields(starts.len()), at };
    match starts.get(FIELDS) {
        // The delimiter in front of the first field that is too much.
        Some(start) => Err(fault(start - 1..*start)),
        None if starts.len() < FIELDS => Err(fault(text.len()..text.len())),
        None => Ok(std::array::from_fn(|number| {
            let end = starts.get(number + 1).map_or(text.len(), |next| next - 1);
            Field { start: starts[number], text: &text[starts[number]..end] }
        })),
    }
}

/// Where a field of `len` bytes begins, and moves on to the next one.
fn start_of(next: &mut usize, len: usize) -> usize {
    let start = *next;
    *next = start + len + 1;
    start
}

/// The rule of the three fields.
fn rule(offset: Field<'_>, magic: Field<'_>, mask: Field<'_>) -> Result<Rule, Located> {
    let skipped = number(offset.text).ok_or_else(|| offset.fault(GrammarFault::Offset))?;
    let decoded = |field: Field<'_>| {
        unescape(field.text)
            .map_err(|at| Located { fault: GrammarFault::Escape, at: field.start + at.start..field.start + at.end })
    };
    let (magic_bytes, mask_bytes) = (decoded(magic)?, decoded(mask)?);
    if magic_bytes.is_empty() {
        return Err(magic.fault(GrammarFault::NoMagic));
    }
    if !mask_bytes.is_empty() && mask_bytes.len() != magic_bytes.len() {
        return Err(mask.fault(GrammarFault::MaskLength(magic_bytes.len(), mask_bytes.len())));
    }
    // The number is at fault if the magic would fit without it.
    let at_fault = if magic_bytes.len() <= WINDOW { offset } else { magic };
    Rule::new(skipped, &magic_bytes, &mask_bytes).ok_or_else(|| at_fault.fault(GrammarFault::Window))
}

/// An offset as kstrtoint(9) reads it: decimal, with a sign at most; nothing is 0.
fn number(text: &[u8]) -> Option<usize> {
    let digits = match text {
        [] => return Some(0),
        [b'+', digits @ ..] => digits,
        [b'-', digits @ ..] if digits.iter().all(|digit| *digit == b'0') => digits,
        digits => digits,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    usize::try_from(number).ok()
}

/// Decodes a field that `scanarg` accepted, as `string_unescape(UNESCAPE_HEX)` does: `\x` needs two
/// digits; any other backslash stands for itself and for the next character. A fault is the range
/// of the bytes that cannot be decoded.
fn unescape(field: &[u8]) -> Result<Vec<u8>, Range<usize>> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let start = field.len() - rest.len();
        let fault = |len: usize| start..(start + len).min(field.len());
        rest = after;
        match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                bytes.push(hex_byte(&[*high, *low]).ok_or_else(|| fault(4))?);
                rest = after;
            }
            (b'\\', [b'x', ..]) => return Err(fault(4)),
            (0, _) => return Err(fault(1)),
            // `scanarg` looks at every backslash, this function at pairs: `scanarg` refuses "\\x4".
            (b'\\', [b'\\', b'x', digits @ ..]) if digits.get(..2).and_then(hex_byte).is_none() => {
                return Err(fault(5));
            }
            (b'\\', [next, after @ ..]) => {
                bytes.extend([byte, *next]);
                rest = after;
            }
            _ => bytes.push(byte),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn faulty(text: &str, fault: GrammarFault, at: &str) {
        let located = read(text.as_bytes()).expect_err("a fault");
        assert_eq!((located.fault, &text[located.at.clone()]), (fault, at), "{text:?}: {located:?}");
    }

    #[test]
    fn faults_are_where_they_are() {
        faulty(":bbbb:X::ZZ::/bin/true:", GrammarFault::Type, "X");
        faulty(":bbbb:M:0x1:ZZ::/bin/true:", GrammarFault::Offset, "0x1");
        faulty(r":bbbb:M::Z\x7:\xff:/bin/true:", GrammarFault::Escape, r"\x7");
        faulty(r":bbbb:M::Z\x7g:\xff:/bin/true:", GrammarFault::Escape, r"\x7g");
        faulty(r":bbbb:M::ZZ:\xff\xfz:/bin/true:", GrammarFault::Escape, r"\xfz");
        faulty(r":bbbb:M::ZZ:\xff:/bin/true:", GrammarFault::MaskLength(2, 1), r"\xff");
        faulty(":bbbb:M:255:ZZ::/bin/true:", GrammarFault::Window, "255");
        faulty(":bbbb:M::ZZ::/bin/true:PQF", GrammarFault::Flags, "Q");
        faulty(":bbbb:M::ZZ::/bin/true:FTP", GrammarFault::Conflict('T', 'P'), "FTP");
        faulty(":bbbb:M::ZZ::/bin/true:LC", GrammarFault::Conflict('L', 'C'), "LC");
        faulty(":bbbb:B:1:::handler:", GrammarFault::Handler, "1");
        faulty(":bbbb:B::ZZ::handler:", GrammarFault::Handler, "ZZ");
        faulty(":bbbb:B::::handler:DF", GrammarFault::Handler, "DF");
        faulty(":bbbb:B:::::D", GrammarFault::Line(LineFault::Interpreter), "");
        faulty(":bbbb:M::ZZ::/bin/true:POF:", GrammarFault::Fields(8), ":");
        faulty(":bbbb:M::ZZ::/bin/true", GrammarFault::Fields(6), "");
        faulty(":a/b:M::ZZ::/bin/true:", GrammarFault::Line(LineFault::Name), "a/b");
        faulty("PbbbbPMPPZZPP/bin/trueP", GrammarFault::Delimiter, "P");
        let long = format!(":bbbb:M::{}::/bin/true:", "Z".repeat(257));
        faulty(&long, GrammarFault::Window, &"Z".repeat(257));
    }

    #[test]
    fn fields_are_found_where_they_are() {
        let text = r"|na me|M|4|\x7f|\xff|rel|PF";
        let reading = read(text.as_bytes()).unwrap();
        let found: Vec<&str> = reading.fields.iter().map(|field| &text[field.range()]).collect();
        assert_eq!(found, ["na me", "M", "4", r"\x7f", r"\xff", "rel", "PF"]);
        // The kernel takes a relative path, and nobody should write one.
        assert_eq!(reading.interpreter(), Path::new("rel"));
        assert_eq!(parse(text.as_bytes()), Err(GrammarFault::Line(LineFault::Interpreter)));
        assert_eq!(name(b"|na me|rest").map(|field| field.text), Some(&b"na me"[..]));
        assert_eq!(name(b"|na").map(|field| field.text), Some(&b"na"[..]));
        assert_eq!(name(b""), None);
    }

    #[test]
    fn offsets_are_numbers_as_the_kernel_reads_them() {
        for (text, expected) in [
            ("", Some(0)),
            ("010", Some(10)),
            ("+4", Some(4)),
            ("-0", Some(0)),
            ("-1", None),
            ("+", None),
            ("-", None),
            (" 4", None),
            ("4 ", None),
            ("99999999999", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }
}
