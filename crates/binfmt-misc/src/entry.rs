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
//!
//! An entry of type B (Linux 7.3) has a line "bpf NAME" in place of the interpreter, and nothing
//! that says what it matches.

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
    /// `T`, since Linux 7.3: the interpreter receives argv as it is, and the process counts as the
    /// program: `/proc/PID/exe` is the program's file. The kernel adds `O`.
    pub transparent: bool,
    /// `L`, since Linux 7.3: the interpreter takes the place of the program's dynamic linker, and
    /// the program must be a native one.
    pub loader: bool,
    /// `D`, since Linux 7.3: the entry is off at first. Lines have it; entries do not show it.
    pub disabled: bool,
}

/// What an entry matches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are some forty, and hardly one is an extension")]
pub enum Matcher {
    /// The first bytes of a file.
    Rule(Rule),
    /// The text after the last dot of the path, without the dot.
    Extension(OsString),
    /// What a program of the kernel's BPF machine with this name accepts, which also chooses
    /// interpreter and flags for each file.
    Handler(OsString),
}

/// An entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File name in the mount.
    pub name: OsString,
    /// Whether the kernel uses it.
    pub enabled: bool,
    /// The interpreter as registered. With `F` it was opened at registration, and the path may have
    /// changed since. Empty if a [`Matcher::Handler`] chooses it.
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
            Matcher::Handler(_) => "handler",
        }
    }
}

impl Flags {
    /// The flags that binfmt-dispatch registers with; `C` is added by choice.
    pub fn of_image(credentials: bool) -> Self {
        Flags { preserve_argv0: true, open_binary: true, credentials, fix_binary: true, ..Flags::default() }
    }

    /// The same flags for a kernel that knows `T`, which includes what `P` is for.
    pub fn made_transparent(self) -> Self {
        Flags { preserve_argv0: false, transparent: true, ..self }.normalized()
    }

    /// The same flags for any kernel: `P` in place of `T`.
    pub fn made_preserving(self) -> Self {
        Flags { preserve_argv0: self.keeps_argv0(), transparent: false, ..self }
    }

    /// Whether the interpreter gets the program's argv\[0\].
    pub fn keeps_argv0(self) -> bool {
        self.preserve_argv0 || self.transparent
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
                b'T' => flags.transparent = true,
                b'L' => flags.loader = true,
                b'D' => flags.disabled = true,
                _ => return None,
            }
        }
        Some(flags.normalized())
    }

    /// Adds `O` if there is `C` or `T`, as the kernel does.
    pub fn normalized(self) -> Self {
        Flags { open_binary: self.open_binary || self.credentials || self.transparent, ..self }
    }

    /// Two flags that the kernel does not take together, if there are such.
    pub fn conflict(self) -> Option<(char, char)> {
        let with_loader =
            [(self.transparent, 'T'), (self.preserve_argv0, 'P'), (self.credentials, 'C'), (self.open_binary, 'O')];
        let loader = || with_loader.into_iter().find(|(set, _)| self.loader && *set).map(|(_, other)| ('L', other));
        (self.transparent && self.preserve_argv0).then_some(('T', 'P')).or_else(loader)
    }

    /// The flags that Linux knows since 7.3 only.
    pub fn since_7_3(self) -> Self {
        let Flags { transparent, loader, disabled, .. } = self;
        Flags { transparent, loader, disabled, ..Flags::default() }
    }
}

impl fmt::Display for Flags {
    /// The letters, in the order in which the kernel prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.preserve_argv0, "P"),
            (self.open_binary, "O"),
            (self.credentials, "C"),
            (self.fix_binary, "F"),
            (self.transparent, "T"),
            (self.loader, "L"),
            (self.disabled, "D"),
        ];
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
        let (mut magic, mut mask, mut extension, mut handler) = (None, Vec::new(), None, None);
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
                    let known: Vec<u8> = value.iter().copied().filter(|byte| b"POCFTL".contains(byte)).collect();
                    flags = Flags::parse(&known)?;
                }
                b"offset" => offset = std::str::from_utf8(value).ok()?.parse().ok()?,
                b"magic" => magic = Some(hex(value)?),
                b"mask" => mask = hex(value)?,
                b"extension" => extension = Some(OsStr::from_bytes(value.strip_prefix(b".")?).to_owned()),
                b"bpf" => handler = Some(OsStr::from_bytes(value).to_owned()),
                _ => {}
            }
        }
        let matcher = match (magic, extension, handler) {
            (Some(magic), None, None) => Matcher::Rule(Rule::new(offset, &magic, &mask)?),
            (None, Some(extension), None) => Matcher::Extension(extension),
            (None, None, Some(handler)) => {
                interpreter = interpreter.or(Some(PathBuf::new()));
                Matcher::Handler(handler)
            }
            _ => return None,
        };
        Some(Entry { name: name.to_owned(), enabled: enabled?, interpreter: interpreter?, flags, matcher })
    }

    /// What it starts: the path of its interpreter, or the name of a handler.
    pub fn starts(&self) -> &OsStr {
        match &self.matcher {
            Matcher::Handler(name) => name,
            _ => self.interpreter.as_os_str(),
        }
    }

    /// The rule, unless the entry matches something else.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.matcher {
            Matcher::Rule(rule) => Some(rule),
            Matcher::Extension(_) | Matcher::Handler(_) => None,
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
    fn flags_of_linux_7_3_are_read_and_shown_as_the_kernel_shows_them() {
        let flags = |letters: &str| Flags::parse(letters.as_bytes()).unwrap();
        let entry = parse("enabled\ninterpreter /i\nflags: OCFT\noffset 0\nmagic 7f\n").unwrap();
        assert_eq!(entry.flags, Flags::of_image(true).made_transparent());
        assert_eq!(entry.flags, flags("TCF"));
        assert_eq!(entry.flags.made_preserving(), Flags::of_image(true));
        for (letters, shown) in [("T", "OT"), ("TF", "OFT"), ("DLF", "FLD"), ("FTC", "OCFT")] {
            assert_eq!(flags(letters).to_string(), shown);
        }
        assert!(flags("T").keeps_argv0() && flags("P").keeps_argv0() && !flags("OCFL").keeps_argv0());
        assert_eq!(flags("TCFD").since_7_3(), Flags { disabled: true, transparent: true, ..Flags::default() });
        assert_eq!(flags("POCF").since_7_3(), Flags::default());
    }

    #[test]
    fn flags_that_exclude_each_other_are_known() {
        for (letters, conflict) in [
            ("TP", Some(('T', 'P'))),
            ("PTL", Some(('T', 'P'))),
            ("LT", Some(('L', 'T'))),
            ("LP", Some(('L', 'P'))),
            ("LC", Some(('L', 'C'))),
            ("LO", Some(('L', 'O'))),
            ("LFD", None),
            ("TCFD", None),
            ("POCFD", None),
        ] {
            assert_eq!(Flags::parse(letters.as_bytes()).unwrap().conflict(), conflict, "{letters}");
        }
    }

    #[test]
    fn an_entry_of_type_b_is_read() {
        let text = "disabled\nbpf my handler\nbpf-interpreter arm /usr/bin/qemu-arm\nflags: \n";
        let entry = parse(text).unwrap();
        assert_eq!(entry.matcher, Matcher::Handler("my handler".into()));
        assert_eq!((entry.enabled, entry.starts()), (false, OsStr::new("my handler")));
        assert_eq!(entry.interpreter, PathBuf::new());
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
            "enabled\nbpf b\nmagic 7f\n",
            "enabled\ninterpreter /i\noffset 256\nmagic 7f\n",
            "enabled\ninterpreter /i\nmagic 7f\nextension .x\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
