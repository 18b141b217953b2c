//! One line: as the kernel reads it, and then what it means.

use std::ops::Range;

use binfmt_misc::grammar::{self, FIELDS, GrammarFault, Located, Reading};
use binfmt_misc::{LineFault, MAX_LINE, Matcher, REGISTER, STATUS};
use dispatch_core::Rule;
use dispatch_core::elf;

use super::finding::{Check, Findings, Level, Other, quoted};
use super::interpreter::Interpreters;
use super::text::Line;
use super::{Registered, Setting};
use crate::output::json::Bytes;

/// The fields, for messages.
const FORM: &str = ":name:type:offset:magic:mask:interpreter:flags";

/// Checks a line. If it is taken, it becomes the last of `entries`; an entry of its name is removed
/// from them in any case, as systemd-binfmt does that first.
pub fn check(
    line: &Line<'_>,
    setting: &Setting<'_>,
    entries: &mut Vec<Registered>,
    interpreters: &mut Interpreters<'_>,
    findings: &mut Findings,
) {
    let name = grammar::name(line.text);
    let shown = name.filter(|name| !name.text.is_empty()).map(|name| Bytes::of(name.text));
    findings.line(line.number, line.start, shown.clone());
    // systemd-binfmt adds the line break.
    let written = [line.text, b"\n"].concat();
    let reading = grammar::read(&written);
    if let (Some(name), Some(shown)) = (name, &shown) {
        if let Some(at) = entries.iter().position(|entry| entry.name == *shown) {
            let before = entries.remove(at);
            let (place, others) = (before.place(), vec![Other::of(&before)]);
            let message = match &reading {
                Ok(_) => format!("replaces the entry of the same name at {place}"),
                Err(_) => format!("removes the entry of the same name at {place}, although this line is refused"),
            };
            // A file that comes later is the way to change another's entry.
            let meant = reading.is_ok() && before.file != findings.path();
            let level = if meant { Level::Note } else { Check::DuplicateName.level() };
            findings.about(Check::DuplicateName, level, name.range(), message, others);
        }
    }
    let reading = match reading {
        Ok(reading) => reading,
        Err(located) => return fault(&located, line.text, findings),
    };
    self::name(&reading, findings);
    match &reading.matcher {
        Matcher::Rule(rule) => self::rule(rule, &reading, setting, findings),
        Matcher::Extension(_) => extension(&reading, findings),
        Matcher::Handler(_) => {}
    }
    since_7_3(&reading, findings);
    // A handler's name is no path.
    if !matches!(reading.matcher, Matcher::Handler(_)) {
        interpreters.check(&reading, findings);
    }
    let at = reading.fields[0].range();
    entries.push(Registered {
        file: findings.path().to_owned(),
        line: line.number,
        start: line.start,
        name: Bytes::from(reading.name()),
        name_at: at,
        interpreter: reading.interpreter().to_owned(),
        flags: reading.flags,
        matcher: reading.matcher,
    });
}

/// A line that the kernel, or systemd-binfmt, refuses.
fn fault(located: &Located, text: &[u8], findings: &mut Findings) {
    let Located { fault, at } = located;
    let at = at.start.min(text.len())..at.end.min(text.len());
    let (faulty, delimiter) = (quoted(&text[at.clone()]), quoted(&text[..1]));
    let (check, message) = match fault {
        GrammarFault::Length(len) if *len > MAX_LINE => {
            (Check::Length, format!("has {} bytes: the kernel takes {}", text.len(), MAX_LINE - 1))
        }
        GrammarFault::Length(_) => (Check::Length, format!("is too short to be an entry: write {FORM}")),
        GrammarFault::Delimiter => {
            (Check::Delimiter, format!("begins with {delimiter}, which cannot delimit fields: write {FORM}"))
        }
        GrammarFault::Fields(found) if *found == FIELDS - 1 => {
            let message =
                format!("has {found} of {FIELDS} fields: end the line with `{delimiter}`, even without flags");
            (Check::Fields, message)
        }
        GrammarFault::Fields(found) if *found < FIELDS => {
            let message = format!("has {found} of {FIELDS} fields with the delimiter `{delimiter}`: write {FORM}");
            (Check::Fields, message)
        }
        GrammarFault::Fields(found) => {
            let message = format!("has {found} instead of {FIELDS} fields: use a delimiter that is in none of them");
            (Check::Fields, message)
        }
        GrammarFault::Type if faulty.is_empty() => {
            (Check::Type, "there is no type: use M for a magic, E for an extension".into())
        }
        GrammarFault::Type => (Check::Type, format!("unknown type {faulty}: use M for a magic, E for an extension")),
        GrammarFault::Offset => (Check::Offset, format!("the offset {faulty} is no decimal number")),
        GrammarFault::Escape => (Check::Escape, format!("{faulty}: \\x needs two hexadecimal digits")),
        GrammarFault::NoMagic => (Check::Magic, "there is no magic".into()),
        GrammarFault::MaskLength(magic, mask) => {
            (Check::Mask, format!("the magic has {magic} bytes, the mask {mask}: make them equally long"))
        }
        GrammarFault::Window => {
            (Check::Magic, "the magic is not in the first 256 bytes, which the kernel reads".into())
        }
        GrammarFault::Flags => {
            (Check::Flags, format!("unknown flag {faulty}: there are P, O, C and F, and T, L and D since Linux 7.3"))
        }
        GrammarFault::Conflict(one, other) => {
            (Check::Flags, format!("the flags {one} and {other} exclude each other: leave one out"))
        }
        GrammarFault::Handler => {
            (Check::Type, format!("{faulty}: type B takes the name of a handler for the interpreter, and flag D alone"))
        }
        GrammarFault::Line(LineFault::Extension) => (Check::Extension, "the extension is empty, or has a slash".into()),
        GrammarFault::Line(LineFault::Interpreter) => (Check::Interpreter, "there is no interpreter".into()),
        GrammarFault::Line(_) if faulty.is_empty() => (Check::Name, "there is no name".into()),
        GrammarFault::Line(_) if [REGISTER, STATUS].contains(&&*faulty) => {
            (Check::Name, format!("{faulty} is a file of binfmt_misc itself: choose another name"))
        }
        GrammarFault::Line(_) => {
            (Check::Name, format!("{faulty} is no name for an entry: use 1 to 255 bytes without a slash"))
        }
    };
    findings.at(check, at, message);
}

/// A name that the kernel takes, and others stumble over.
fn name(reading: &Reading<'_>, findings: &mut Findings) {
    let field = reading.fields[0];
    let odd = field.text.iter().any(|byte| !byte.is_ascii_graphic()) || b"-.".contains(&field.text[0]);
    if odd {
        let message = format!("the name {} needs care in scripts: use letters, digits, - and _", quoted(field.text));
        findings.at(Check::OddName, field.range(), message);
    }
}

/// What kernels before Linux 7.3 refuse, with EINVAL: then there is no such entry.
fn since_7_3(reading: &Reading<'_>, findings: &mut Findings) {
    let new = reading.flags.since_7_3();
    let (what, at, kernel) = match &reading.matcher {
        Matcher::Handler(_) => {
            ("type B", reading.fields[1].range(), "before Linux 7.3, or without CONFIG_BINFMT_MISC_BPF,")
        }
        _ if new.transparent => ("flag T", reading.fields[6].range(), "before Linux 7.3"),
        _ if new.loader => ("flag L", reading.fields[6].range(), "before Linux 7.3"),
        _ if new.disabled => ("flag D", reading.fields[6].range(), "before Linux 7.3"),
        _ => return,
    };
    if new.disabled {
        let message = "with flag D the entry is off until 1 is written to its file, which systemd-binfmt does not do";
        findings.at_level(Check::Flags, Level::Warning, reading.fields[6].range(), message);
    }
    findings.at(Check::NewKernel, at, format!("kernels {kernel} do not know {what}, and refuse the line"));
}

/// An entry for an extension.
fn extension(reading: &Reading<'_>, findings: &mut Findings) {
    let [_, _, offset, extension, mask, ..] = reading.fields;
    for (field, what) in [(offset, "offset"), (mask, "mask")] {
        if !field.text.is_empty() {
            let message = format!("the kernel ignores the {what} of an extension: for a magic, the type is M");
            findings.at(Check::IgnoredFields, field.range(), message);
        }
    }
    if extension.text.contains(&b'.') {
        let message = "never matches, as the kernel compares what follows the last dot: leave the dot out";
        findings.at(Check::NeverMatches, extension.range(), message);
    } else if extension.text.contains(&b'\\') {
        let message = "the kernel does not decode escapes in an extension: for a magic, the type is M";
        findings.at_level(Check::Extension, Level::Warning, extension.range(), message);
    }
}

/// An entry for a magic.
fn rule(rule: &Rule, reading: &Reading<'_>, setting: &Setting<'_>, findings: &mut Findings) {
    let [_, _, offset, magic, mask, ..] = reading.fields;
    match offset.text {
        [b'+' | b'-', ..] | [b'0', _, ..] => {
            let number = offset_of(offset.text);
            findings.at_level(
                Check::Offset,
                Level::Note,
                offset.range(),
                format!("the offset is decimal, and means {number}: write it so"),
            );
        }
        _ => {}
    }
    let start = offset_of(offset.text);
    if start > 0 && rule.magic()[start..].starts_with(&elf::MAGIC) {
        let message = "never matches a program, as ELF's magic is at offset 0: remove the offset";
        findings.at(Check::ElfOffset, offset.range(), message);
    }
    if rule.magic().iter().zip(rule.mask()).any(|(magic, mask)| magic & !mask != 0) {
        let message = "the magic has bits that the mask ignores: make them 0, or compare them";
        findings.at(Check::IgnoredBits, magic.range(), message);
    }
    let at = if mask.text.is_empty() { magic.range() } else { mask.range() };
    if never_matches(rule) {
        let message = "matches no program: class, byte order and type of ELF's header do not go together";
        findings.at(Check::NeverMatches, magic.range(), message);
    }
    // With flag L the kernel runs native programs itself.
    if !reading.flags.loader {
        native(rule, at, setting, findings);
    }
}

/// The number that the field stands for.
fn offset_of(field: &[u8]) -> usize {
    let digits = field.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: usize, digit| number * 10 + usize::from(digit - b'0'))
}

/// Whether the rule compares ELF's magic, and then asks for a header that no program has.
fn never_matches(rule: &Rule) -> bool {
    let elf = Rule::new(0, &elf::MAGIC, &[]).is_some_and(|elf| elf.covers(rule));
    let possible = |class: elf::Class, data: elf::Data| {
        let mut magic = elf::MAGIC.to_vec();
        magic.extend([class.ident(), data.ident(), elf::EV_CURRENT]);
        magic.resize(elf::TYPE, 0);
        // ET_EXEC and ET_DYN.
        magic.extend(data.u16_bytes(elf::ET_EXEC));
        let mut mask = vec![0xff; elf::ident::OSABI];
        mask.resize(elf::TYPE, 0);
        mask.extend(data.u16_bytes(!1));
        Rule::new(0, &magic, &mask).is_some_and(|header| header.overlaps(rule))
    };
    let classes = [elf::Class::Elf32, elf::Class::Elf64];
    elf && !classes.iter().any(|class| [elf::Data::Little, elf::Data::Big].iter().any(|data| possible(*class, *data)))
}

/// Programs that the machine runs by itself.
fn native(rule: &Rule, at: Range<usize>, setting: &Setting<'_>, findings: &mut Findings) {
    let host = &setting.host.name;
    let may_run = |row: &&dispatch_table::Architecture| {
        row.native_on.contains(host) && row.name != *host && rule.accepts(&row.probe_elf())
    };
    if rule.mask().iter().all(|mask| *mask == 0) {
        findings.at(Check::Native, at, "the mask compares nothing: every program of the machine would be taken");
    } else if rule.accepts(&setting.host.probe_elf()) {
        let message = format!("accepts the programs that {host} hosts run natively: none of them would start any more");
        findings.at(Check::Native, at, message);
    } else if rule.accepts(b"#!/bin/sh\n") {
        findings.at(Check::Native, at, "accepts scripts, which the kernel runs by itself: none of them would start");
    } else if setting.own.meets(rule) {
        let message = format!("accepts some of the programs that {host} hosts run natively");
        findings.at_level(Check::Native, Level::Warning, at, message);
    } else if let Some(row) = setting.table.architectures().iter().find(may_run) {
        let message = format!("accepts programs of {}, which {host} hosts may run by themselves", row.name);
        findings.at_level(Check::Native, Level::Warning, at, message);
    }
}
