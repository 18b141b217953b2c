//! The registered file: the interpreter with a payload as its last segment (docs/image-format.md).

pub mod layout;
mod open;
pub mod source;
mod writer;

use std::fs;
use std::sync::LazyLock;

use dispatch_core::elf::{Header, PF_R, PF_X, PT_LOAD, ProgramHeader};
use dispatch_table::{ArchTable, Architecture};

use crate::failure::Failure;

pub use open::{Carried, Effective, OpenImage, own, own_path};
pub use writer::{Command, Content, write};

/// The interpreter, as build.rs built it.
const LINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));

/// Alignment of the payload in the file and in memory, in bytes: a multiple of every page size.
const ALIGN: u64 = 0x1_0000;

/// `p_type` of the program header whose place the payload's takes.
const PT_NOTE: u32 = 4;

/// The ELF header fields that describe sections: `e_shoff`, and from `e_shentsize` to the header's end.
const SECTIONS: [std::ops::Range<usize>; 2] = [40..48, 58..64];

/// The interpreter without the sections, which no loader looks at.
fn interpreter() -> &'static [u8] {
    static CUT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let header = Header::parse(LINKED).expect("the interpreter is an ELF file");
        let end = segments(&header, LINKED).iter().map(|segment| segment.offset + segment.filesz).max();
        let mut file = LINKED[..end.map_or(0, |end| end as usize)].to_vec();
        SECTIONS.into_iter().for_each(|field| file[field].fill(0));
        file
    });
    &CUT
}

fn segments(header: &Header, file: &[u8]) -> Vec<ProgramHeader> {
    let table = &file[header.phoff as usize..(header.phoff + header.program_headers_size()) as usize];
    header.program_headers(table).collect()
}

/// The interpreter with a program header for a payload of `len` bytes after it: readable and executable, above all other
/// segments. It takes the place of PT_NOTE and moves to the end, because loadable segments are sorted by address (gABI,
/// chapter 5).
fn attached(len: u64) -> Vec<u8> {
    let mut file = interpreter().to_vec();
    let header = Header::parse(&file).expect("the interpreter is an ELF file");
    let mut headers = segments(&header, &file);
    let note =
        headers.iter().position(|segment| segment.kind == PT_NOTE).expect("the interpreter is linked with a note");
    headers.remove(note);
    let end = headers.iter().filter(|segment| segment.kind == PT_LOAD).map(|s| s.vaddr + s.memsz).max().unwrap_or(0);
    let offset = payload_offset();
    let vaddr = end.next_multiple_of(ALIGN);
    headers.push(ProgramHeader {
        kind: PT_LOAD,
        flags: PF_R | PF_X,
        offset,
        vaddr,
        filesz: len,
        memsz: len,
        align: ALIGN,
    });
    let encoded: Vec<u8> = headers.iter().flat_map(ProgramHeader::to_elf64_le).collect();
    let start = header.phoff as usize;
    file[start..start + encoded.len()].copy_from_slice(&encoded);
    file
}

/// Where a payload begins in the file, in bytes.
fn payload_offset() -> u64 {
    (interpreter().len() as u64).next_multiple_of(ALIGN)
}

/// The command of this process, for the next image.
///
/// # Errors
/// [`Failure::Io`]: its file is not there.
pub fn this_command() -> Result<Command, Failure> {
    let path = &open::own_file();
    let name = fs::read_link(path).unwrap_or_else(|_| path.to_owned());
    let bytes = match own() {
        Some(image) => image.program_elf(dispatch_core::image::COMMAND)?,
        None => fs::read(path).map_err(|error| Failure::io("read", path, error))?,
    };
    Ok(Command { bytes, path: name.to_string_lossy().into_owned() })
}

/// An image of `table` without emulators, for an image that nobody keeps, and that is for `rows`.
///
/// # Errors
/// As [`write`].
pub fn bare<'c>(table: &'c ArchTable, rows: Vec<&'c Architecture>) -> Result<Content<'c>, Failure> {
    Ok(Content { table, command: this_command()?, emulators: &[], outside: rows, prelink: None, seed: 0 })
}
