//! Whether a file is the one that an embedded emulator was read from, by its contents.
//!
//! Its size mostly tells. If that is the same, the build ID tells, which a linker derives from all
//! that it writes (ld(1), `--build-id`): it is read from a few pages of either file. A file without
//! one is read as a whole, and its digest compared.

use std::fs::File;
use std::path::Path;

use dispatch_core::bytes::{array, slice};
use dispatch_core::elf::{Header, ProgramHeader};
use sha2::{Digest, Sha256};

use super::reader::{OpenImage, ProgramInfo};
use crate::platform::files;

/// A segment with notes (gabi, "Program Header").
const PT_NOTE: u32 = 4;
/// The type of the note with the build ID, and its owner (the kernel's `uapi/linux/elf.h`).
const NT_GNU_BUILD_ID: u32 = 3;
const GNU: &[u8] = b"GNU\0";
/// The sizes of a note's name and content, and its type.
const NOTE: usize = 12;
/// How much of a program is read for its program headers, in bytes.
const HEAD: u64 = 4096;
/// Most bytes of notes that are read; an emulator has less than a hundred.
const LONGEST: u64 = 4096;

impl OpenImage {
    /// Whether the file at `path` is the one that `program` was read from; `None` if it cannot be
    /// read.
    pub fn was_read_from(&self, program: &ProgramInfo, path: &Path) -> Option<bool> {
        let file = files::open(path).ok()?;
        if file.metadata().ok()?.len() != program.size {
            return Some(false);
        }
        let of_file = |offset, len| read(&file, offset, len);
        let of_body = |offset, len| self.program_memory(program.number, offset, len);
        let low = self.lowest(program.number)?;
        let ids = build_id(of_file, |segment| segment.offset)
            .zip(build_id(of_body, |segment| segment.vaddr.wrapping_sub(low)));
        match ids {
            Some((one, other)) => Some(one == other),
            None => digest(&file).map(|digest| digest == program.digest),
        }
    }
}

/// The build ID of an ELF file. `at` is the place of a segment in what `read` reads.
fn build_id(read: impl Fn(u64, u64) -> Option<Vec<u8>>, at: impl Fn(&ProgramHeader) -> u64) -> Option<Vec<u8>> {
    let head = read(0, HEAD)?;
    let header = Header::parse(&head).ok()?;
    let table = slice(&head, header.phoff, header.program_headers_size())?;
    let mut segments = header.program_headers(table).filter(|segment| segment.kind == PT_NOTE);
    segments.find_map(|segment| {
        let notes = read(at(&segment), segment.filesz.min(LONGEST))?;
        // Notes are aligned to 4 bytes, or, like their segment, to 8.
        find(&notes, if segment.align == 8 { 8 } else { 4 })
    })
}

/// The build ID among notes in the byte order of this host.
fn find(mut notes: &[u8], align: usize) -> Option<Vec<u8>> {
    loop {
        let word = |offset| Some(u32::from_ne_bytes(array(notes, offset)?));
        let (name, content, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let start = NOTE.checked_add(name)?.checked_next_multiple_of(align)?;
        let end = start.checked_add(content)?;
        if kind == NT_GNU_BUILD_ID && notes.get(NOTE..NOTE + name) == Some(GNU) {
            return notes.get(start..end).map(<[u8]>::to_vec);
        }
        notes = notes.get(end.checked_next_multiple_of(align)?..)?;
    }
}

fn digest(mut file: &File) -> Option<[u8; 32]> {
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest).ok()?;
    Some(digest.finalize().into())
}

/// The bytes at `offset`, fewer than `len` at the end of the file.
fn read(file: &File, offset: u64, len: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    let filled = files::read_full(file, &mut bytes, offset).ok()?;
    bytes.truncate(filled);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A note with this owner, type and content.
    fn note(owner: &[u8], kind: u32, content: &[u8], align: usize) -> Vec<u8> {
        let sizes = [owner.len() as u32, content.len() as u32, kind];
        let mut note: Vec<u8> = sizes.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for part in [owner, content] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(align), 0);
        }
        note
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        for align in [4, 8] {
            let others = [note(b"GNU\0", 5, b"x86", align), note(b"Go\0", 3, b"other", align)].concat();
            let notes = [&others[..], &note(b"GNU\0", 3, b"0123456789", align)].concat();
            assert_eq!(find(&notes, align), Some(b"0123456789".to_vec()));
            assert_eq!(find(&others, align), None);
            for end in 0..notes.len() - 16 {
                assert_eq!(find(&notes[..end], align), None);
            }
        }
        assert_eq!(find(&[0xff; 100], 4), None);
    }

    #[test]
    fn files_without_segments_have_none() {
        let none = |bytes: Vec<u8>| build_id(move |offset, len| slice(&bytes, offset, len).map(<[u8]>::to_vec), |_| 0);
        assert_eq!(none(Vec::new()), None);
        assert_eq!(none(vec![0; 5000]), None);
    }
}
