use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::grammar::{self, GrammarFault};

const FLAGS: Flags = Flags {
    preserve_argv0: true,
    open_binary: true,
    credentials: false,
    fix_binary: true,
    transparent: false,
    loader: false,
    disabled: false,
};

fn rule(offset: usize, magic: &[u8], mask: &[u8]) -> Matcher {
    Matcher::Rule(Rule::new(offset, magic, mask).unwrap())
}

fn line(name: &str, interpreter: &str) -> Result<RegisterLine, LineFault> {
    RegisterLine::new(OsStr::new(name), rule(0, b"\x7fE", b"\xff\x0f"), Path::new(interpreter), FLAGS)
}

fn parse(text: &str) -> Result<RegisterLine, GrammarFault> {
    grammar::parse(text.as_bytes())
}

#[test]
fn a_line_is_written_escaped() {
    let text = line("qemu-arm", "/usr/bin/i").unwrap().to_string();
    assert_eq!(text, r":qemu-arm:M::\x7f\x45:\xff\x0f:/usr/bin/i:POF");
}

#[test]
fn leading_bytes_that_are_not_compared_become_an_offset() {
    let of = |matcher| RegisterLine::new(OsStr::new("e"), matcher, Path::new("/i"), FLAGS).unwrap().to_string();
    assert_eq!(of(rule(3, b"a", b"")), r":e:M:3:\x61:\xff:/i:POF");
    assert_eq!(of(rule(0, b"\0a", b"\0\x0f")), r":e:M:1:\x61:\x0f:/i:POF");
    assert_eq!(of(rule(0, b"aa", b"\0\xff")), r":e:M::\x61\x61:\x00\xff:/i:POF");
    assert_eq!(of(rule(0, b"\0\0", b"\0\0")), r":e:M:1:\x00:\x00:/i:POF");
}

#[test]
fn an_interpreter_with_a_colon_has_another_delimiter() {
    assert_eq!(line("e", "/a:b!c").unwrap().to_string(), r#""e"M""\x7f\x45"\xff\x0f"/a:b!c"POF"#);
    let all: String = (b'!'..=b'~').map(char::from).collect();
    assert_eq!(line("e", &format!("/{all}")), Err(LineFault::Delimiter));
}

#[test]
fn names_are_those_of_files_that_can_be_made() {
    let longest = "n".repeat(255);
    for name in ["", ".", "..", "register", "status", "a/b", "a\nb", "a\0b", &(longest.clone() + "n")] {
        assert_eq!(line(name, "/i"), Err(LineFault::Name), "{name:?}");
    }
    for name in ["...", "a b", &longest] {
        assert!(line(name, "/i").is_ok(), "{name:?}");
    }
}

#[test]
fn interpreters_are_absolute_and_on_one_line() {
    for interpreter in ["", "i", "./i", "/a\nb", "/a\0b"] {
        assert_eq!(line("e", interpreter), Err(LineFault::Interpreter), "{interpreter:?}");
    }
}

#[test]
fn the_longest_line_is_the_kernels() {
    let room = MAX_LINE - line("e", "/").unwrap().bytes().len();
    assert_eq!(line("e", &format!("/{}", "i".repeat(room))).unwrap().bytes().len(), MAX_LINE);
    assert_eq!(line("e", &format!("/{}", "i".repeat(room + 1))), Err(LineFault::Length(MAX_LINE + 1)));
}

#[test]
fn some_flags_imply_an_open_descriptor() {
    assert_eq!(parse(r":e:M::\x7f::/i:C").unwrap().flags, Flags::parse(b"OC").unwrap());
    assert_eq!(parse(r":e:M::\x7f::/i:FT").unwrap().to_string(), r":e:M::\x7f:\xff:/i:OFT");
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    for flags in ["TP", "LT", "LO"] {
        let flags = Flags::parse(flags.as_bytes()).unwrap();
        let line = RegisterLine::new(OsStr::new("e"), rule(0, b"a", b""), Path::new("/i"), flags);
        assert_eq!(line, Err(LineFault::Flags));
    }
}

#[test]
fn a_handler_in_the_kernel_is_read_and_not_registered() {
    assert_eq!(parse(":e:B::::handler:D"), Err(GrammarFault::Line(LineFault::Handler)));
    let reading = grammar::read(b":e:B::::handler:D").unwrap();
    assert_eq!((reading.matcher, reading.flags.disabled), (Matcher::Handler("handler".into()), true));
}

#[test]
fn a_line_with_flag_d_creates_an_entry_that_is_off() {
    let line = parse(r":e:M::\x7f::/i:TFD").unwrap();
    let entry = |state: &str| {
        let text = format!("{state}\ninterpreter /i\nflags: OFT\noffset 0\nmagic 7f\nmask ff\n");
        Entry::parse(OsStr::new("e"), text.as_bytes()).unwrap()
    };
    assert!(line.describes(&entry("disabled")) && !line.describes(&entry("enabled")));
    let line = parse(r":e:M::\x7f::/i:TF").unwrap();
    assert!(line.describes(&entry("enabled")) && !line.describes(&entry("disabled")));
}

#[test]
fn the_kernels_grammar_is_understood() {
    for (text, matcher) in [
        (r":e:M::\x7fELF::/i:", rule(0, b"\x7fELF", b"")),
        (r":e:M:4:a:\x0f:/i:POF", rule(4, b"a", b"\x0f")),
        (r",e,M,,\x2c:,,/i,F", rule(0, b",:", b"")),
        ("|e|M||ab||/i|FFP\n", rule(0, b"ab", b"")),
        (r":e:M::a\n\\x41::/i:", rule(0, br"a\n\\x41", b"")),
        (":e:E::exe::/i:", Matcher::Extension("exe".into())),
        (":e:E:what:exe:ever:/i:", Matcher::Extension("exe".into())),
        (":e:M::ab::/i:FLD", rule(0, b"ab", b"")),
    ] {
        assert_eq!(parse(text).map(|line| line.matcher), Ok(matcher), "{text:?}");
    }
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    for (text, fault) in [
        (":e:M::a::", GrammarFault::Length(9)),
        (":bbbb:M::ZZ::/bin/true", GrammarFault::Fields(6)),
        (":bbbb:M::ZZ::/bin/true:POF:", GrammarFault::Fields(8)),
        (":bbbb:MM::ZZ::/bin/true:", GrammarFault::Type),
        (":bbbb:M:0x1:ZZ::/bin/true:", GrammarFault::Offset),
        (":bbbb:M:-1:ZZ::/bin/true:", GrammarFault::Offset),
        (":bbbb:M:255:ZZ::/bin/true:", GrammarFault::Window),
        (":bbbb:M::::/bin/true:", GrammarFault::NoMagic),
        (r":bbbb:M::\x4::/bin/true:", GrammarFault::Escape),
        (r":bbbb:M::\\x4::/bin/true:", GrammarFault::Escape),
        (r":bbbb:M::ZZ:\xff:/bin/true:", GrammarFault::MaskLength(2, 1)),
        (":bbbb:M::ZZ:::F", GrammarFault::Line(LineFault::Interpreter)),
        (":bbbb:M::ZZ::/bin/true:Q", GrammarFault::Flags),
        (":bbbb:E::a/b::/bin/true:", GrammarFault::Line(LineFault::Extension)),
        (":bbbb:E::::/bin/true:", GrammarFault::Line(LineFault::Extension)),
        ("::M::ZZ::/bin/true:", GrammarFault::Line(LineFault::Name)),
        ("PbbbbPMPPZZPP/bin/trueP", GrammarFault::Delimiter),
    ] {
        assert_eq!(parse(text), Err(fault), "{text:?}");
    }
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let bytes = (1..100usize).prop_flat_map(|len| (vec_of(len), vec_of(len)));
    let rules = (0..150usize, bytes).prop_map(|(offset, (magic, mask))| rule(offset, &magic, &mask));
    let extensions = "[^/\n\0]{1,20}".prop_map(|text| Matcher::Extension(text.into()));
    prop_oneof![rules, extensions]
}

fn vec_of(len: usize) -> impl Strategy<Value = Vec<u8>> {
    // The offset replaces leading zeros of the mask.
    proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], len)
}

proptest! {
    #[test]
    fn a_line_that_is_written_is_read_as_the_same(
        name in "[^/\n\0]{1,40}",
        matcher in any_matcher(),
        path in proptest::collection::vec(any::<u8>(), 0..60),
        letters in "[POCFTLD]{0,4}",
    ) {
        let interpreter = PathBuf::from(OsString::from_vec([b"/", &path[..]].concat()));
        let flags = Flags::parse(letters.as_bytes()).unwrap();
        if let Ok(line) = RegisterLine::new(OsStr::new(&name), matcher, &interpreter, flags) {
            prop_assert_eq!(grammar::parse(&line.bytes()), Ok(line));
        }
    }

    #[test]
    fn no_text_is_too_much(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = grammar::parse(&text);
    }

    #[test]
    fn what_is_read_is_written_as_something_that_reads_the_same(
        text in r"[:|]e[:|]M[:|][0-9]{0,3}[:|](\\x[0-9a-f]{2}|[a-z\\x]){0,9}[:|](\\xff){0,9}[:|]/[a-z:|]{0,9}[:|][POCFTLD]{0,3}",
    ) {
        if let Ok(line) = grammar::parse(text.as_bytes()) {
            prop_assert_eq!(grammar::parse(&line.bytes()), Ok(line));
        }
    }
}
