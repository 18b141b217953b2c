//! The interpreter embedded in this command, and how a payload becomes its last segment.

use std::sync::LazyLock;

use dispatch_core::elf::{Header, PF_R, PF_X, PT_LOAD, ProgramHeader};

/// The interpreter that build.rs built.
const LINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));

/// Alignment of the payload in the file and in memory, in bytes: a multiple of every page size.
pub(super) const ALIGN: u64 = 0x1_0000;

/// `p_type` of the program header that the payload's header replaces.
const PT_NOTE: u32 = 4;

/// The ELF header fields that describe sections: `e_shoff`, and from `e_shentsize` to the header's
/// end.
pub(super) const SECTIONS: [std::ops::Range<usize>; 2] = [40..48, 58..64];

/// The interpreter without its sections, which no loader reads.
pub(super) fn interpreter() -> &'static [u8] {
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

/// The interpreter with a program header for a payload of `len` bytes after it: readable and
/// executable, above all other segments. It takes the place of `PT_NOTE` and moves to the end,
/// because loadable segments are sorted by address (gABI, chapter 5).
pub(super) fn attached(len: u64) -> Vec<u8> {
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

/// Offset of a payload in the file, in bytes.
pub(super) fn payload_offset() -> u64 {
    (interpreter().len() as u64).next_multiple_of(ALIGN)
}
