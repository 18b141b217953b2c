//! Any bytes as a line for `register`, or as the kernel's text of an entry: if one is understood,
//! it can be converted to the other and back without loss.

use std::ffi::OsStr;
use std::fmt::Write;

use binfmt_misc::grammar::{self, GrammarFault};
use binfmt_misc::{Entry, RegisterLine};

/// Longest line that the kernel reads, in bytes.
const LONGEST: usize = 1920;

/// Returns whether it is a line or the text of an entry.
pub fn run(bytes: &[u8]) -> bool {
    let line = grammar::parse(bytes);
    if let Ok(line) = &line {
        check(line);
    }
    match grammar::read(bytes) {
        // What is a line is understood alike; only a relative interpreter makes a difference.
        Ok(reading) => {
            assert!(reading.fields.iter().all(|field| bytes[field.range()] == *field.text));
            assert_eq!(grammar::name(bytes).map(|name| name.text), Some(reading.fields[0].text));
            match &line {
                Ok(line) => assert_eq!((line.name(), line.interpreter()), (reading.name(), reading.interpreter())),
                Err(GrammarFault::Line(_)) => {}
                Err(fault) => panic!("{fault:?}"),
            }
        }
        Err(located) => {
            assert!(located.at.start <= located.at.end && located.at.end <= bytes.len(), "{located:?}");
            assert_eq!(line.as_ref().err(), Some(&located.fault));
        }
    }
    let entry = Entry::parse(OsStr::new("entry"), bytes);
    if let Some(entry) = &entry {
        if let Ok(line) = RegisterLine::of_entry(entry) {
            check(&line);
            assert_eq!(line.describes(entry), entry.enabled);
        }
    }
    line.is_ok() || entry.is_some()
}

fn check(line: &RegisterLine) {
    let written = line.bytes();
    assert!(written.len() <= LONGEST && !written.contains(&0) && !written.contains(&b'\n'), "{line}");
    let name = line.name().as_encoded_bytes();
    let reserved: [&[u8]; 5] = [b"", b".", b"..", b"register", b"status"];
    assert!(!reserved.contains(&name) && !name.contains(&b'/') && line.interpreter().is_absolute(), "{line}");
    assert_eq!(grammar::parse(&written).as_ref(), Ok(line));
    let shown = Entry::parse(line.name(), &shown(line));
    assert!(shown.is_some_and(|entry| line.describes(&entry)), "{line}");
}

/// The kernel's text of the entry that the line makes (`fs/binfmt_misc.c`, `entry_status`).
fn shown(line: &RegisterLine) -> Vec<u8> {
    let mut text = b"enabled\ninterpreter ".to_vec();
    text.extend(line.interpreter().as_os_str().as_encoded_bytes());
    text.extend(format!("\nflags: {}\n", line.flags()).bytes());
    match line.rule() {
        Some(rule) => {
            let hex = |bytes: &[u8]| {
                bytes.iter().fold(String::new(), |mut text, byte| {
                    write!(text, "{byte:02x}").expect("a string takes everything");
                    text
                })
            };
            text.extend(format!("offset 0\nmagic {}\nmask {}\n", hex(rule.magic()), hex(rule.mask())).bytes());
        }
        None => {
            // The extension is in the fourth field.
            let written = line.bytes();
            let field = written.split(|byte| *byte == written[0]).nth(4).expect("a line has seven fields");
            text.extend([b"extension .", field, b"\n"].concat());
        }
    }
    text
}
