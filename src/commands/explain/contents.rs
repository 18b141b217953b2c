//! Reads the parts of an ELF file beyond its header: dynamic linker, notes. They are read from
//! where the header says they are, which may be anywhere in a patched file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use dispatch_core::Guest;
use dispatch_core::elf::{Class, Data, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, ProgramHeader};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::note::NoteDataIterator;

use crate::output::json::Bytes;

/// `p_type` of notes.
const PT_NOTE: u32 = 4;
/// Largest piece that is read, in bytes: more than any program's headers or relevant notes.
const LARGEST: u64 = 1 << 22;
/// Systems that put their name into a note, and System V into the header.
const SYSTEMS: [&str; 4] = ["NetBSD", "OpenBSD", "FreeBSD", "DragonFly"];

/// The findings.
#[derive(Debug, Default)]
pub struct Contents {
    /// The dynamic linker; none for a static program.
    pub linker: Option<Bytes>,
    /// The note with its GNU properties; empty if it has none.
    pub properties: Vec<u8>,
    /// The operating system that its note names, if it is not Linux.
    pub system: Option<&'static str>,
    /// Damage that prevents any loader from running it.
    pub damage: Option<String>,
}

/// Reads the contents of `file`, whose header is `guest`.
///
/// # Errors
/// It cannot be read.
pub fn examine(guest: &Guest, file: &File) -> io::Result<Contents> {
    let len = file.metadata()?.len();
    let damaged = |damage: String| Ok(Contents { damage: Some(damage), ..Contents::default() });
    if guest.header.phnum == 0 {
        return damaged("it has no program headers".to_owned());
    }
    let range = guest.program_headers();
    let Some(table) = piece(file, range.clone())?.filter(|_| !range.is_empty()) else {
        return damaged(format!("its {} program headers are not inside the file", guest.header.phnum));
    };
    let mut contents = Contents::default();
    for segment in guest.header.program_headers(&table) {
        let end = segment.offset.checked_add(segment.filesz);
        let inside = end.filter(|end| *end <= len).map(|end| segment.offset..end);
        match (segment.kind, inside) {
            (PT_INTERP, Some(range)) if contents.linker.is_none() => {
                let name = piece(file, range)?.unwrap_or_default();
                match name.split_last() {
                    Some((0, name)) if !name.is_empty() => contents.linker = Some(Bytes::of(name)),
                    _ => contents.damage = Some("the name of its dynamic linker has no end".to_owned()),
                }
            }
            (PT_INTERP, None) => {
                contents.damage = Some("the name of its dynamic linker is not inside the file".to_owned());
            }
            (PT_LOAD, None) => {
                let need = end.map_or("more than any file".to_owned(), |end| end.to_string());
                return damaged(format!("the file is cut short: it has {len} bytes and needs {need}"));
            }
            (PT_GNU_PROPERTY, Some(range)) => contents.properties = piece(file, range)?.unwrap_or_default(),
            (PT_NOTE, Some(range)) => {
                let notes = piece(file, range)?.unwrap_or_default();
                contents.system = contents.system.or_else(|| system(guest, &segment, &notes));
            }
            _ => {}
        }
    }
    Ok(contents)
}

/// The bytes of `file` in `range`, if it has them all and they are not absurdly many.
fn piece(file: &File, range: Range<u64>) -> io::Result<Option<Vec<u8>>> {
    let Some(len) = range.end.checked_sub(range.start).filter(|len| *len <= LARGEST) else { return Ok(None) };
    let mut bytes = vec![0; len as usize];
    match file.read_exact_at(&mut bytes, range.start) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        // No file has such an offset.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

fn system(guest: &Guest, segment: &ProgramHeader, notes: &[u8]) -> Option<&'static str> {
    let container = if guest.header.class == Class::Elf32 { Container::Little } else { Container::Big };
    let endian = if guest.header.data == Data::Little { Endian::Little } else { Endian::Big };
    let alignment = if segment.align == 8 { 8 } else { 4 };
    let ctx = (alignment, Ctx::new(container, endian));
    let mut notes = NoteDataIterator { data: notes, size: notes.len(), offset: 0, ctx }.map_while(Result::ok);
    notes.find_map(|note| SYSTEMS.into_iter().find(|system| *system == note.name.trim_end_matches('\0')))
}
