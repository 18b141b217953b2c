//! The parts of a process's memory, from its /proc/PID/maps.

use crate::example::Example;

/// The kind of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Interpreter,
    /// The payload up to the first program.
    Meta,
    /// A program of the image, by its number.
    Program(usize),
    /// Reserved addresses.
    Reserved,
    Stack,
}

/// A part, from its first address up to but not including `end`.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub what: What,
    pub start: u64,
    pub end: u64,
}

/// The parts in ascending order. Mappings by the kernel and the emulator's C library are left out.
pub fn parts(example: &Example, maps: &str) -> Vec<Part> {
    let image = example.scratch.at("image");
    let mut parts: Vec<Part> = Vec::new();
    for line in maps.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hex = |word: &str| u64::from_str_radix(word, 16).unwrap_or_else(|_| panic!("{line}"));
        let (start, end) = words[0].split_once('-').unwrap();
        let (start, end) = (hex(start), hex(end));
        let path = words.get(5).copied().unwrap_or_default();
        let before = parts.last().copied().filter(|part| part.end == start);
        match (path, words[1]) {
            ("[stack]", _) => add(&mut parts, What::Stack, start, end),
            (path, _) if path == image => of_image(&mut parts, example, (start, end), hex(words[2])),
            ("", "---p") => add(&mut parts, What::Reserved, start, end),
            // Bss.
            ("", _) => before.iter().for_each(|before| add(&mut parts, before.what, start, end)),
            _ => {}
        }
    }
    parts
}

/// Adds a mapping of the image from `offset` on, which may contain several parts.
fn of_image(parts: &mut Vec<Part>, example: &Example, (start, end): (u64, u64), offset: u64) {
    for address in (start..end).step_by(example.header.page as usize) {
        let offset = offset + (address - start);
        let what = match example.program_at(offset) {
            Some(number) => What::Program(number),
            None if offset < example.payload => What::Interpreter,
            None => What::Meta,
        };
        add(parts, what, address, address + example.header.page);
    }
}

/// Adds a part, or extends the last one if it is of the same kind.
fn add(parts: &mut Vec<Part>, what: What, start: u64, end: u64) {
    match parts.last_mut() {
        Some(last) if last.what == what && last.end == start => last.end = end,
        _ => parts.push(Part { what, start, end }),
    }
}
