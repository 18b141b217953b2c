//! Reads the parts of an ELF file beyond its header: dynamic linker, notes. They are read from
//! where the header says they are, which may be anywhere in a patched file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use dispatch_core::Guest;
use dispatch_core::elf::{Class, Data, ET_DYN, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, ProgramHeader};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::note::NoteDataIterator;

use crate::output::json::Bytes;
use crate::platform::files;

/// `p_type` of the dynamic section.
const PT_DYNAMIC: u32 = 2;
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
    /// Whether it is a shared library that is no program too.
    pub library: bool,
    /// Names of the libraries that it needs.
    pub needed: Vec<Bytes>,
    /// Whether it names directories with libraries itself.
    pub paths: bool,
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
    let (mut contents, mut dynamic) = (Contents::default(), None);
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
            (PT_DYNAMIC, Some(range)) => dynamic = piece(file, range)?,
            (PT_GNU_PROPERTY, Some(range)) => contents.properties = piece(file, range)?.unwrap_or_default(),
            (PT_NOTE, Some(range)) => {
                let notes = piece(file, range)?.unwrap_or_default();
                contents.system = contents.system.or_else(|| system(guest, &segment, &notes));
            }
            _ => {}
        }
    }
    if let Some(dynamic) = dynamic {
        let dynamic = Dynamic::read(guest, &dynamic);
        // Linkers give a library no entry point, unless it is a program too, like the C library.
        let program = guest.header.entry != 0 && (!dynamic.named || contents.linker.is_some());
        contents.library = guest.header.kind == ET_DYN && contents.linker.is_none() && !dynamic.pie && !program;
        contents.paths = dynamic.paths;
        contents.needed = dynamic.names(guest, &table, file)?;
    }
    Ok(contents)
}

/// The entries of the dynamic section that matter here (gABI chapter 5).
#[derive(Default)]
struct Dynamic {
    /// Whether it has a name as a library, `DT_SONAME`, that is not the dynamic linker's.
    named: bool,
    /// Whether it says that it is a program, `DF_1_PIE`.
    pie: bool,
    /// Whether it names directories, `DT_RPATH` or `DT_RUNPATH`.
    paths: bool,
    /// Address of the string table.
    strings: u64,
    /// Offsets of the names of libraries in the string table.
    needed: Vec<u64>,
}

const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
/// Most libraries that are looked at, and most bytes of a name.
const MOST: usize = 256;

impl Dynamic {
    fn read(guest: &Guest, bytes: &[u8]) -> Self {
        let mut found = Dynamic::default();
        let wide = guest.header.class == Class::Elf64;
        let word = |bytes: &[u8]| {
            let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
            match guest.header.data {
                Data::Little => bytes.iter().rev().fold(0, fold),
                Data::Big => bytes.iter().fold(0, fold),
            }
        };
        let size = if wide { 16 } else { 8 };
        for entry in bytes.chunks_exact(size) {
            let (tag, value) = entry.split_at(size / 2);
            match (word(tag), word(value)) {
                (0, _) => break,
                (DT_NEEDED, offset) if found.needed.len() < MOST => found.needed.push(offset),
                (DT_STRTAB, address) => found.strings = address,
                (DT_SONAME, _) => found.named = true,
                (DT_RPATH | DT_RUNPATH, _) => found.paths = true,
                (DT_FLAGS_1, flags) => found.pie = flags & DF_1_PIE != 0,
                _ => {}
            }
        }
        found
    }

    /// The names of the libraries.
    fn names(&self, guest: &Guest, table: &[u8], file: &File) -> io::Result<Vec<Bytes>> {
        let mut names = Vec::new();
        for offset in &self.needed {
            let address = self.strings.saturating_add(*offset);
            let holds = |segment: &ProgramHeader| {
                segment.kind == PT_LOAD
                    && address.checked_sub(segment.vaddr).is_some_and(|within| within < segment.filesz)
            };
            let Some(segment) = guest.header.program_headers(table).find(holds) else { continue };
            let at = segment.offset.saturating_add(address - segment.vaddr);
            let mut name = [0; MOST];
            let len = files::read_full(file, &mut name, at).or_else(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Ok(0),
                _ => Err(error),
            })?;
            let name = name[..len].split(|byte| *byte == 0).next().unwrap_or_default();
            if !name.is_empty() {
                names.push(Bytes::of(name));
            }
        }
        Ok(names)
    }
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
