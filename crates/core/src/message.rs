//! Messages without `core::fmt`: its machinery alone would take a quarter of the interpreter's
//! size.
//!
//! The parts of a message implement [`Say`]. For the command each of them is also a
//! [`Display`](core::fmt::Display), by the same code.

use core::ffi::CStr;

/// Where a message goes, piece by piece.
pub type Out<'o> = dyn FnMut(&str) + 'o;

/// Something that can be put into words.
pub trait Say {
    /// Passes the words to `out`.
    fn say(&self, out: &mut Out<'_>);
}

/// Says several things, one after the other.
macro_rules! say {
    ($out:expr, $($piece:expr),+ $(,)?) => {{ $( $crate::message::Say::say(&$piece, $out); )+ }};
}

/// Makes types that are [`Say`] also [`Display`](core::fmt::Display).
macro_rules! display {
    ($($kind:ty),+ $(,)?) => {$(
        impl core::fmt::Display for $kind {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut result = Ok(());
                $crate::message::Say::say(self, &mut |piece| result = result.and_then(|()| f.write_str(piece)));
                result
            }
        }
    )+};
}
pub(crate) use {display, say};

impl Say for &str {
    fn say(&self, out: &mut Out<'_>) {
        out(self);
    }
}

/// A path or a name, for a terminal.
impl Say for &CStr {
    fn say(&self, out: &mut Out<'_>) {
        Text(self.to_bytes()).say(out);
    }
}

/// A number in digits.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// To the base ten.
    Decimal(u64),
    /// To the base sixteen, after `0x`.
    Hexadecimal(u64),
}

impl Number {
    /// `number` to the base ten.
    pub fn of(number: impl Into<u64>) -> Self {
        Number::Decimal(number.into())
    }
}

impl Say for Number {
    fn say(&self, out: &mut Out<'_>) {
        match *self {
            Number::Decimal(number) => decimal(number, out),
            Number::Hexadecimal(number) => {
                out("0x");
                hexadecimal(number, out);
            }
        }
    }
}

fn decimal(number: u64, out: &mut Out<'_>) {
    if number >= 10 {
        decimal(number / 10, out);
    }
    out(digit((number % 10) as u8));
}

fn hexadecimal(number: u64, out: &mut Out<'_>) {
    if number >= 16 {
        hexadecimal(number >> 4, out);
    }
    out(digit((number & 15) as u8));
}

/// A digit below 16.
fn digit(value: u8) -> &'static str {
    let at = usize::from(value & 15);
    "0123456789abcdef".get(at..=at).unwrap_or_default()
}

/// Untrusted bytes for a terminal: control characters, and bytes that are not UTF-8, appear as
/// `\xHH`.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a [u8]);

impl Say for Text<'_> {
    fn say(&self, out: &mut Out<'_>) {
        for chunk in self.0.utf8_chunks() {
            let mut rest = chunk.valid().chars();
            loop {
                let (before, character) = (rest.as_str(), rest.next());
                let Some(character) = character else { break };
                let text = before.get(..before.len().saturating_sub(rest.as_str().len())).unwrap_or_default();
                // C0 and C1 controls and DEL steer terminals.
                if matches!(character, '\0'..' ' | '\x7f'..'\u{a0}') { escape(text.as_bytes(), out) } else { out(text) }
            }
            escape(chunk.invalid(), out);
        }
    }
}

fn escape(bytes: &[u8], out: &mut Out<'_>) {
    for byte in bytes {
        out("\\x");
        Digits(core::slice::from_ref(byte)).say(out);
    }
}

/// Bytes in hexadecimal digits, two for each.
#[derive(Clone, Copy, Debug)]
pub struct Digits<'a>(pub &'a [u8]);

impl Say for Digits<'_> {
    fn say(&self, out: &mut Out<'_>) {
        for byte in self.0 {
            out(digit(byte >> 4));
            out(digit(*byte));
        }
    }
}

display!(Digits<'_>, Number, Text<'_>);

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for number in [0, 9, 10, 183, 0xbaab, u64::MAX] {
            assert_eq!(Number::Decimal(number).to_string(), std::format!("{number}"));
            assert_eq!(Number::Hexadecimal(number).to_string(), std::format!("{number:#x}"));
        }
    }

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for (bytes, shown) in [
            (&b"plain name"[..], "plain name"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"\x1b[31m\n", "\\x1b[31m\\x0a"),
            (b"a\xffb", "a\\xffb"),
            ("\u{9b}1m".as_bytes(), "\\xc2\\x9b1m"),
            (b"\x7f", "\\x7f"),
            (b"", ""),
        ] {
            assert_eq!(Text(bytes).to_string(), shown);
        }
    }
}
