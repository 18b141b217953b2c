//! An entry as the kernel shows it, in one file per entry (`fs/binfmt_misc.c`, `entry_status`):
//!
//! ```text
//! enabled
//! interpreter /usr/bin/qemu-arm
//! flags: POF
//! offset 0
//! magic 7f454c46…        (or "extension .exe" in place of the last three)
//! mask ffffffff…
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use dispatch_core::Rule;

/// The flags of an entry, by meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `P`: the interpreter receives the program's argv\[0\].
    pub preserve_argv0: bool,
    /// `O`: the interpreter receives the program as an open descriptor.
    pub open_binary: bool,
    /// `C`: credentials are computed from the program, not from the interpreter. The kernel adds
    /// `O`.
    pub credentials: bool,
    /// `F`: the interpreter is opened at registration, once and for all mount namespaces.
    pub fix_binary: bool,
}

/// What an entry matches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are some forty, and hardly one is an extension")]
pub enum Matcher {
    /// The first bytes of a file.
    Rule(Rule),
    /// The text after the last dot of the path, without the dot.
    Extension(OsString),
}

/// An entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File name in the mount.
    pub name: OsString,
    /// Whether the kernel uses it.
    pub enabled: bool,
    /// The interpreter as registered. With `F` it was opened at registration, and the path may have
    /// changed since.
    pub interpreter: PathBuf,
    /// The flags.
    pub flags: Flags,
    /// What the entry matches.
    pub matcher: Matcher,
}

impl Matcher {
    /// What it looks at, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Matcher::Rule(_) => "magic",
            Matcher::Extension(_) => "extension",
        }
    }
}

impl Flags {
    /// The flags that binfmt-dispatch registers with; `C` is added by choice.
    pub fn of_image(credentials: bool) -> Self {
        Flags { preserve_argv0: true, open_binary: true, credentials, fix_binary: true }
    }

    /// Parses flag letters, in any order and number, as the kernel does; `None` if one is unknown.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        let mut flags = Flags::default();
        for letter in letters {
            match letter {
                b'P' => flags.preserve_argv0 = true,
                b'O' => flags.open_binary = true,
                b'C' => flags.credentials = true,
                b'F' => flags.fix_binary = true,
                _ => return None,
            }
        }
        Some(flags.normalized())
    }

    /// Adds `O` if there is `C`, as the kernel does.
    pub fn normalized(self) -> Self {
        Flags { open_binary: self.open_binary || self.credentials, ..self }
    }
}

impl fmt::Display for Flags {
    /// The letters, in the order in which the kernel prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters =
            [(self.preserve_argv0, "P"), (self.open_binary, "O"), (self.credentials, "C"), (self.fix_binary, "F")];
        let set: String = letters.into_iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
        f.pad(&set)
    }
}

impl Entry {
    /// Parses the text of the entry file `name`. Unknown lines are skipped, because other kernels
    /// may add some. `None` if an essential line is missing.
    pub fn parse(name: &OsStr, text: &[u8]) -> Option<Self> {
        let mut enabled = None;
        let mut interpreter = None;
        let mut flags = Flags::default();
        let mut offset = 0;
        let (mut magic, mut mask, mut extension) = (None, Vec::new(), None);
        for line in text.split(|byte| *byte == b'\n') {
            let (key, value) = match line.iter().position(|byte| *byte == b' ') {
                Some(space) => (&line[..space], &line[space + 1..]),
                None => (line, &[][..]),
            };
            match key {
                b"enabled" => enabled = Some(true),
                b"disabled" => enabled = Some(false),
                b"interpreter" => interpreter = Some(PathBuf::from(OsString::from_vec(value.to_vec()))),
                // An unknown letter of a newer kernel does not invalidate the entry.
                b"flags:" => {
                    let known: Vec<u8> = value.iter().copied().filter(|byte| b"POCF".contains(byte)).collect();
                    flags = Flags::parse(&known)?;
                }
                b"offset" => offset = std::str::from_utf8(value).ok()?.parse().ok()?,
                b"magic" => magic = Some(hex(value)?),
                b"mask" => mask = hex(value)?,
                b"extension" => extension = Some(OsStr::from_bytes(value.strip_prefix(b".")?).to_owned()),
                _ => {}
            }
        }
        let matcher = match (magic, extension) {
            (Some(magic), None) => Matcher::Rule(Rule::new(offset, &magic, &mask)?),
            (None, Some(extension)) => Matcher::Extension(extension),
            _ => return None,
        };
        Some(Entry { name: name.to_owned(), enabled: enabled?, interpreter: interpreter?, flags, matcher })
    }

    /// The rule, unless the entry matches an extension.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.matcher {
            Matcher::Rule(rule) => Some(rule),
            Matcher::Extension(_) => None,
        }
    }
}

/// Decodes pairs of hexadecimal digits.
fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    digits.chunks(2).map(hex_byte).collect()
}

/// Decodes exactly two hexadecimal digits.
pub(crate) fn hex_byte(pair: &[u8]) -> Option<u8> {
    let &[high, low] = pair else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Entry> {
        Entry::parse(OsStr::new("e"), text.as_bytes())
    }

    #[test]
    fn an_entry_with_a_magic_is_read() {
        let text = "enabled\ninterpreter /a b/c\nflags: POCF\noffset 1\nmagic 7f45\nmask ff0f\n";
        let entry = parse(text).unwrap();
        assert!(entry.enabled);
        assert_eq!(entry.interpreter, PathBuf::from("/a b/c"));
        assert_eq!(entry.flags, Flags::of_image(true));
        assert_eq!(entry.matcher, Matcher::Rule(Rule::new(1, b"\x7fE", b"\xff\x0f").unwrap()));
        assert!(entry.accepts(b"-\x7f\xf5"));
    }

    #[test]
    fn a_disabled_entry_accepts_nothing() {
        let entry = parse("disabled\ninterpreter /i\nflags: \noffset 0\nmagic 7f\n").unwrap();
        assert_eq!((entry.enabled, entry.flags), (false, Flags::default()));
        assert!(!entry.accepts(b"\x7f"));
    }

    #[test]
    fn an_entry_with_an_extension_is_read() {
        let entry = parse("enabled\ninterpreter /i\nflags: \nextension .exe\n").unwrap();
        assert_eq!(entry.matcher, Matcher::Extension("exe".into()));
        assert!(!entry.accepts(b""));
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        let text = "enabled\nnews from 2030\ninterpreter /i\nflags: PZ\n\noffset 0\nmagic 7f\n";
        let entry = parse(text).unwrap();
        assert_eq!(entry.flags, Flags { preserve_argv0: true, ..Flags::default() });
    }

    #[test]
    fn what_is_incomplete_is_no_entry() {
        for text in [
            "",
            "enabled\ninterpreter /i\nflags: \n",
            "interpreter /i\nmagic 7f\n",
            "enabled\nmagic 7f\n",
            "enabled\ninterpreter /i\nmagic 7\n",
            "enabled\ninterpreter /i\nmagic 7g\n",
            "enabled\ninterpreter /i\nmagic \n",
            "enabled\ninterpreter /i\nmagic 7f\nmask ffff\n",
            "enabled\ninterpreter /i\noffset 256\nmagic 7f\n",
            "enabled\ninterpreter /i\nmagic 7f\nextension .x\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
