//! A file as lines, as systemd-binfmt splits it: at newlines, carriage returns and NULs, without
//! blanks at both ends, without empty lines and comments.

use std::io::Read;

use binfmt_misc::grammar;

use super::finding::{Check, Findings};
use super::sources::Source;
use crate::binfmt_d::COMMENTS;
use crate::failure;
use crate::platform::files;

/// Largest file that is read, in bytes; systemd-binfmt reads no longer line (`LONG_LINE_MAX`).
const LARGEST: usize = 1 << 20;
/// What systemd takes away at both ends of a line (`WHITESPACE`).
const BLANKS: [u8; 4] = *b" \t\n\r";

/// A line that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'t> {
    /// Its number, from 1, as editors count.
    pub number: usize,
    /// How many bytes are in front of the text in that line.
    pub start: usize,
    /// The text.
    pub text: &'t [u8],
}

/// The contents of a file; `None` if they cannot be had, which is a finding.
pub fn read(source: &Source, findings: &mut Findings) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = files::open(&source.real).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => findings.of_file(Check::Unreadable, format!("cannot be read: {}", failure::text(&error))),
        Ok(_) if bytes.len() > LARGEST => {
            findings.of_file(Check::TooLarge, format!("is larger than {LARGEST} bytes: this is no file for binfmt.d"));
        }
        Ok(_) => {
            log::info!("{}: read", failure::show(source.path.as_os_str()));
            return Some(bytes);
        }
    }
    None
}

/// The lines of a file that are meant to be entries.
pub fn lines<'t>(bytes: &'t [u8], findings: &mut Findings) -> Vec<Line<'t>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    findings.line(1, 0, None);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        findings.at(Check::Encoding, 0..2, "is UTF-16, which neither systemd nor the kernel reads: save it as UTF-8");
        return Vec::new();
    }
    let marked = bytes.starts_with(MARK);
    if marked {
        let message = "begins with a byte order mark, which counts as a part of the first line: save it without";
        findings.at(Check::Encoding, 0..MARK.len(), message);
    }
    let mut lines = Vec::new();
    let mut oddities = Oddities::default();
    for (number, whole) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let mut start = if marked && number == 1 { MARK.len() } else { 0 };
        for part in whole[start..].split(|byte| b"\r\0".contains(byte)) {
            findings.line(number, start, None);
            if let Some(byte) = whole.get(start + part.len()) {
                oddities.ending(*byte, part.len(), start + part.len() + 1 == whole.len(), findings);
            }
            let blank = part.iter().take_while(|byte| BLANKS.contains(byte)).count();
            let len = part.iter().rposition(|byte| !BLANKS.contains(byte)).map_or(blank, |last| last + 1);
            let line = Line { number, start: start + blank, text: &part[blank..len] };
            match line.text.first() {
                None => {}
                Some(first) if COMMENTS.contains(first) => comment(&line, findings),
                // With the mark it is something else, which nobody has written.
                Some(_) if marked && number == 1 => {}
                Some(_) => lines.push(line),
            }
            start += part.len() + 1;
        }
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        let (number, len) =
            bytes.split(|byte| *byte == b'\n').fold((0, 0), |(number, _), line| (number + 1, line.len()));
        findings.line(number, 0, None);
        let message = "ends without a line break: scripts that read the file, such as OpenRC's, miss the last line";
        findings.at(Check::FinalNewline, len..len, message);
    }
    lines
}

/// Which odd line endings have been told of: once for each file.
#[derive(Debug, Default)]
struct Oddities {
    nul: bool,
    carriage_return: bool,
}

impl Oddities {
    /// A line ends with this byte, `at` bytes after its start, which is no newline.
    fn ending(&mut self, byte: u8, at: usize, last: bool, findings: &mut Findings) {
        let (told, check, message) = match byte {
            0 => (&mut self.nul, Check::Nul, "has a NUL, which ends the line: remove it"),
            _ if last => (
                &mut self.carriage_return,
                Check::CarriageReturn,
                "has lines that end with CR LF: systemd-binfmt removes the CR, but others pass it to the kernel, \
                 which refuses the line",
            ),
            _ => (&mut self.carriage_return, Check::CarriageReturn, "has a carriage return, which ends the line"),
        };
        if !std::mem::replace(told, true) {
            findings.at(check, at..at + 1, message);
        }
    }
}

/// A comment that would be an entry if its delimiter were another.
fn comment(line: &Line<'_>, findings: &mut Findings) {
    if grammar::read(&[line.text, b"\n"].concat()).is_ok() {
        findings.line(line.number, line.start, None);
        let delimiter = char::from(line.text[0]);
        let message = format!("is a comment, and no entry, as it begins with {delimiter}: use another delimiter");
        findings.at(Check::Comment, 0..1, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(text: &[u8], expected: &[(usize, usize, &str)], found: &[(Check, Option<usize>, Option<usize>)]) {
        let mut findings = Findings::default();
        let lines = lines(text, &mut findings);
        let lines: Vec<_> =
            lines.iter().map(|line| (line.number, line.start, std::str::from_utf8(line.text).unwrap())).collect();
        assert_eq!(lines, expected, "{text:?}");
        let findings = findings.sorted(&[]);
        let seen: Vec<_> =
            findings.iter().map(|finding| (finding.check, finding.place.line, finding.place.column)).collect();
        assert_eq!(seen, found, "{text:?}");
    }

    #[test]
    fn lines_are_those_that_systemd_sees() {
        expect(b"", &[], &[]);
        expect(b"\n\n", &[], &[]);
        expect(b"a\n  b c \t\n# c\n ;d\ne\n", &[(1, 0, "a"), (2, 2, "b c"), (5, 0, "e")], &[]);
        expect(b"a", &[(1, 0, "a")], &[(Check::FinalNewline, Some(1), Some(2))]);
        expect(b"a\r\nb\r\n", &[(1, 0, "a"), (2, 0, "b")], &[(Check::CarriageReturn, Some(1), Some(2))]);
        expect(b"a\rb\n", &[(1, 0, "a"), (1, 2, "b")], &[(Check::CarriageReturn, Some(1), Some(2))]);
        expect(b"a\n b\0\0 c\n", &[(1, 0, "a"), (2, 1, "b"), (2, 5, "c")], &[(Check::Nul, Some(2), Some(3))]);
        expect(b"\xef\xbb\xbf a\nb\n", &[(2, 0, "b")], &[(Check::Encoding, Some(1), Some(1))]);
        expect(b"\xff\xfea\0\n\0", &[], &[(Check::Encoding, Some(1), Some(1))]);
        expect(b" ;e;M;;a;;/bin/true;\n#:e:M::a::/bin/true:\n", &[], &[(Check::Comment, Some(1), Some(2))]);
    }
}
