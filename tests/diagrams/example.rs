//! The image for the diagrams, with two emulators that report how they were started.

use dispatch_core::elf::PT_LOAD;
use dispatch_core::image::{Image, ImageHeader, ProgramRecord};
use dispatch_core::record::{Extent, Field};

use crate::support::{Elf, Kind, Scratch, build, tool};

/// Page size of `x86_64`, in bytes.
const PAGE: u64 = 4096;
/// Offsets of the words of a program header: `p_offset`, `p_filesz`, in bytes.
const OFFSET: usize = 8;
const FILESZ: usize = 32;

/// An image that has just been written.
pub struct Example {
    /// Its directory, with all related files.
    pub scratch: Scratch,
    /// Its bytes.
    pub file: Elf,
    /// The offset of the payload, in bytes.
    pub payload: u64,
    /// The payload's header.
    pub header: ImageHeader,
    /// The programs: their file names and records.
    pub programs: Vec<(String, ProgramRecord)>,
}

impl Example {
    /// Writes it.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let emulator = build(Kind::Pie);
        scratch.write("qemu-aarch64", &emulator);
        // This is another file, because one file would be stored as one program for both.
        scratch.write("qemu-s390x", [&emulator[..], b"\n"].concat());
        let from = |name: &str| format!("{name}={}", scratch.at(&format!("qemu-{name}")));
        let sources = [from("aarch64"), from("s390x")];
        let options = ["image", "--no-site", "--seed", "0", "--from", &sources[0], "--from", &sources[1]];
        tool(&[&options[..], &["-o", &scratch.at("image"), "aarch64", "s390x"]].concat());

        let file = Elf(std::fs::read(scratch.at("image")).unwrap());
        let last = *file.program_headers(PT_LOAD).last().unwrap();
        let (payload, len) = (file.word(last + OFFSET), file.word(last + FILESZ));
        let bytes = &file.0[payload as usize..(payload + len) as usize];
        let header = ImageHeader::read(bytes).unwrap();
        let image = Image::of(&header, bytes, len, PAGE).unwrap();
        let programs = image.programs().map(|program| {
            let program = program.unwrap();
            (program.name().to_str().unwrap().to_owned(), *program.record())
        });
        let programs = programs.collect();
        Example { scratch, file, payload, header, programs }
    }

    /// The bytes of a part of the payload.
    pub fn part(&self, part: Extent) -> &[u8] {
        let start = (self.payload + part.offset) as usize;
        &self.file.0[start..start + part.len as usize]
    }

    /// The name of a program in the drawings.
    pub fn name(&self, number: usize) -> String {
        if number == 0 { "the command".to_owned() } else { self.programs[number].0.clone() }
    }

    /// The number of the program whose body has the byte at `offset` in the file.
    pub fn program_at(&self, offset: u64) -> Option<usize> {
        let offset = offset.checked_sub(self.payload)?;
        self.programs.iter().position(|(_, record)| (record.body.offset..record.body.end()).contains(&offset))
    }
}
