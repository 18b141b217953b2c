//! Reads the parts of an ELF file beyond its header: dynamic linker, notes. They are read from
//! where the header says they are, which may be anywhere in a patched file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use dispatch_core::Guest;
use dispatch_core::elf::{Class, Data, ET_DYN, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, ProgramHeader};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::dynamic::{DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRTAB, Dyn};
use goblin::elf::note::NoteDataIterator;
use goblin::elf::program_header::PT_DYNAMIC;

use crate::output::json::Bytes;
use crate::platform::files;

/// `p_type` of notes.
const PT_NOTE: u32 = 4;
/// Most bytes that are read of a file: more than any program's headers and relevant notes. Headers
/// made for it could name the same large piece 65,535 times.
const MOST_BYTES: u64 = 1 << 23;
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
    let mut pieces = Pieces { file, left: MOST_BYTES };
    let range = guest.program_headers();
    let Some(table) = pieces.read(range.clone())?.filter(|_| !range.is_empty()) else {
        return damaged(format!("its {} program headers are not inside the file", guest.header.phnum));
    };
    let (mut contents, mut dynamic) = (Contents::default(), None);
    for segment in guest.header.program_headers(&table) {
        let end = segment.offset.checked_add(segment.filesz);
        let inside = end.filter(|end| *end <= len).map(|end| segment.offset..end);
        match (segment.kind, inside) {
            (PT_INTERP, Some(range)) if contents.linker.is_none() => {
                let name = pieces.read(range)?.unwrap_or_default();
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
            (PT_DYNAMIC, Some(range)) => dynamic = pieces.read(range)?,
            (PT_GNU_PROPERTY, Some(range)) => contents.properties = pieces.read(range)?.unwrap_or_default(),
            (PT_NOTE, Some(range)) => {
                let notes = pieces.read(range)?.unwrap_or_default();
                contents.system = contents.system.or_else(|| system(guest, &segment, &notes));
            }
            _ => {}
        }
    }
    if let Some(dynamic) = dynamic {
        let dynamic = Dynamic { guest, table: &table, file, entries: entries(guest, &dynamic) };
        // Linkers give a library no entry point; older ones did. C libraries and dynamic linkers,
        // which are the same file with musl, are programs too.
        let name = dynamic.strings(DT_SONAME)?.into_iter().next();
        let is_program =
            name.is_none_or(|name| [&b"ld"[..], b"libc."].iter().any(|begin| name.as_bytes().starts_with(begin)));
        let pie = dynamic.values(DT_FLAGS_1).any(|flags| flags & DF_1_PIE != 0);
        contents.library = guest.header.kind == ET_DYN
            && contents.linker.is_none()
            && !pie
            && (guest.header.entry == 0 || !is_program);
        contents.paths = dynamic.values(DT_RPATH).chain(dynamic.values(DT_RUNPATH)).next().is_some();
        contents.needed = dynamic.strings(DT_NEEDED)?;
    }
    Ok(contents)
}

/// The type of the AppImage that begins with `start`; `None` for other files (its specification,
/// "Image format").
pub fn appimage(start: &[u8]) -> Option<u8> {
    start.get(8..11)?.strip_prefix(b"AI").map(|number| number[0]).filter(|number| (1..=2).contains(number))
}

/// Most libraries that are looked at, and most bytes of a name.
const MOST: usize = 256;

/// The dynamic section of a program (gABI chapter 5).
struct Dynamic<'f> {
    guest: &'f Guest,
    /// The program headers.
    table: &'f [u8],
    file: &'f File,
    entries: Vec<Dyn>,
}

/// The entries in the bytes of a dynamic section; none if they make no sense.
fn entries(guest: &Guest, bytes: &[u8]) -> Vec<Dyn> {
    let here = goblin::elf::ProgramHeader { p_type: PT_DYNAMIC, p_filesz: bytes.len() as u64, ..Default::default() };
    let parsed = goblin::elf::Dynamic::parse(bytes, &[here], context(guest));
    parsed.ok().flatten().map_or_else(Vec::new, |dynamic| dynamic.dyns)
}

impl Dynamic<'_> {
    /// The values of the entries with this tag.
    fn values(&self, tag: u64) -> impl Iterator<Item = u64> {
        self.entries.iter().filter(move |entry| entry.d_tag == tag).map(|entry| entry.d_val)
    }

    /// The strings that these entries name.
    fn strings(&self, tag: u64) -> io::Result<Vec<Bytes>> {
        let strings = self.values(DT_STRTAB).last().unwrap_or(0);
        let mut found = Vec::new();
        for offset in self.values(tag).take(MOST) {
            let address = strings.saturating_add(offset);
            let holds = |segment: &ProgramHeader| {
                segment.kind == PT_LOAD
                    && address.checked_sub(segment.vaddr).is_some_and(|within| within < segment.filesz)
            };
            let Some(segment) = self.guest.header.program_headers(self.table).find(holds) else { continue };
            let at = segment.offset.saturating_add(address - segment.vaddr);
            let mut name = [0; MOST];
            let len = files::read_full(self.file, &mut name, at).or_else(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Ok(0),
                _ => Err(error),
            })?;
            let name = name[..len].split(|byte| *byte == 0).next().unwrap_or_default();
            if !name.is_empty() {
                found.push(Bytes::of(name));
            }
        }
        Ok(found)
    }
}

/// Reads pieces of a file.
struct Pieces<'f> {
    file: &'f File,
    /// How many bytes may still be read.
    left: u64,
}

impl Pieces<'_> {
    /// The bytes in `range`, if the file has them all and they are not absurdly many.
    fn read(&mut self, range: Range<u64>) -> io::Result<Option<Vec<u8>>> {
        let Some(len) = range.end.checked_sub(range.start).filter(|len| *len <= self.left) else { return Ok(None) };
        self.left -= len;
        let mut bytes = vec![0; len as usize];
        match self.file.read_exact_at(&mut bytes, range.start) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            // No file has such an offset.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How goblin reads the file.
fn context(guest: &Guest) -> Ctx {
    let container = if guest.header.class == Class::Elf32 { Container::Little } else { Container::Big };
    let endian = if guest.header.data == Data::Little { Endian::Little } else { Endian::Big };
    Ctx::new(container, endian)
}

fn system(guest: &Guest, segment: &ProgramHeader, notes: &[u8]) -> Option<&'static str> {
    let alignment = if segment.align == 8 { 8 } else { 4 };
    let ctx = (alignment, context(guest));
    let mut notes = NoteDataIterator { data: notes, size: notes.len(), offset: 0, ctx }.map_while(Result::ok);
    notes.find_map(|note| SYSTEMS.into_iter().find(|system| *system == note.name.trim_end_matches('\0')))
}
