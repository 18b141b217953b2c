//! The interpreter embedded in a command, and how a payload becomes its last segment.

use std::sync::LazyLock;

use dispatch_core::bytes::{array, slice};
use dispatch_core::elf::{Header, MAGIC, PF_R, PF_X, PT_LOAD, ProgramHeader};
use dispatch_core::image::IMAGE_VERSION;
use dispatch_core::table::TABLE_MAGIC;

/// The interpreter that build.rs built.
const LINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));

/// Marks the interpreter in a command's file, where a command for another host finds it.
const MARK: [u8; 16] = *b"bd-interpreter\0\n";
/// Offsets behind the mark: the versions of the records that the interpreter reads, its length, and
/// itself.
const IMAGE_VERSION_AT: usize = MARK.len();
const TABLE_MAGIC_AT: usize = IMAGE_VERSION_AT + 4;
const LEN_AT: usize = TABLE_MAGIC_AT + TABLE_MAGIC.len();
const FILE_AT: usize = LEN_AT + 4;

/// The mark and the interpreter.
#[used]
static MARKED: [u8; FILE_AT + LINKED.len()] = {
    let marked = put([0; FILE_AT + LINKED.len()], 0, &MARK);
    let marked = put(marked, IMAGE_VERSION_AT, &IMAGE_VERSION.to_le_bytes());
    let marked = put(marked, TABLE_MAGIC_AT, &TABLE_MAGIC);
    let marked = put(marked, LEN_AT, &(LINKED.len() as u32).to_le_bytes());
    put(marked, FILE_AT, LINKED)
};

const fn put<const N: usize>(mut to: [u8; N], at: usize, from: &[u8]) -> [u8; N] {
    let mut index = 0;
    while index < from.len() {
        to[at + index] = from[index];
        index += 1;
    }
    to
}

/// Alignment of the payload in the file and in memory, in bytes: a multiple of every page size.
pub(super) const ALIGN: u64 = 0x1_0000;

/// `p_type` of the program header that the payload's header replaces.
const PT_NOTE: u32 = 4;

/// The ELF header fields that describe sections: `e_shoff`, and from `e_shentsize` to the header's
/// end.
pub(super) const SECTIONS: [std::ops::Range<usize>; 2] = [40..48, 58..64];

/// An interpreter, without its sections, which no loader reads.
#[derive(Clone, Debug)]
pub struct Interpreter(Vec<u8>);

/// Why there is no interpreter in the file of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterpreterFault {
    /// It has none.
    Missing,
    /// It reads other records than this command writes.
    Version,
}

impl Interpreter {
    /// The one embedded in this command.
    pub fn own() -> &'static Self {
        static OWN: LazyLock<Interpreter> = LazyLock::new(|| Interpreter::of(&MARKED[FILE_AT..]));
        &OWN
    }

    /// The one embedded in the command whose file has these bytes.
    ///
    /// # Errors
    /// [`InterpreterFault`].
    pub fn of_command(command: &[u8]) -> Result<Self, InterpreterFault> {
        let is_marked = |at: &usize| command[*at..].starts_with(&MARK) && command[at + FILE_AT..].starts_with(&MAGIC);
        let places = 0..command.len().saturating_sub(FILE_AT);
        let at = places.into_iter().find(is_marked).ok_or(InterpreterFault::Missing)?;
        let number = |offset| array(command, at + offset).map(u32::from_le_bytes);
        if number(IMAGE_VERSION_AT) != Some(IMAGE_VERSION) || array(command, at + TABLE_MAGIC_AT) != Some(TABLE_MAGIC) {
            return Err(InterpreterFault::Version);
        }
        let len = number(LEN_AT).unwrap_or_default();
        let file = slice(command, (at + FILE_AT) as u64, len.into()).ok_or(InterpreterFault::Missing)?;
        Ok(Self::of(file))
    }

    fn of(linked: &[u8]) -> Self {
        let header = Header::parse(linked).expect("the interpreter is an ELF file");
        let end = segments(&header, linked).iter().map(|segment| segment.offset + segment.filesz).max();
        let mut file = linked[..end.map_or(0, |end| end as usize)].to_vec();
        SECTIONS.into_iter().for_each(|field| file[field].fill(0));
        Interpreter(file)
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The interpreter with a program header for a payload of `len` bytes after it: readable and
    /// executable, above all other segments. It takes the place of `PT_NOTE` and moves to the end,
    /// because loadable segments are sorted by address (gABI, chapter 5).
    pub(super) fn attached(&self, len: u64) -> Vec<u8> {
        let mut file = self.0.clone();
        let header = Header::parse(&file).expect("the interpreter is an ELF file");
        let mut headers = segments(&header, &file);
        let note =
            headers.iter().position(|segment| segment.kind == PT_NOTE).expect("the interpreter is linked with a note");
        headers.remove(note);
        let loaded = headers.iter().filter(|segment| segment.kind == PT_LOAD);
        let end = loaded.map(|segment| segment.vaddr + segment.memsz).max().unwrap_or(0);
        headers.push(ProgramHeader {
            kind: PT_LOAD,
            flags: PF_R | PF_X,
            offset: self.payload_offset(),
            vaddr: end.next_multiple_of(ALIGN),
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
    pub(super) fn payload_offset(&self) -> u64 {
        (self.0.len() as u64).next_multiple_of(ALIGN)
    }
}

fn segments(header: &Header, file: &[u8]) -> Vec<ProgramHeader> {
    let table = &file[header.phoff as usize..(header.phoff + header.program_headers_size()) as usize];
    header.program_headers(table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_found_in_a_command() {
        let command =
            |marked: &[u8]| [b"\x7fELF, then the needle of a search: ", &MARK[..], b"...", marked, b"..."].concat();
        let found = Interpreter::of_command(&command(&MARKED)).unwrap();
        assert_eq!(found.bytes(), Interpreter::own().bytes());
        assert_eq!(Interpreter::of_command(&command(&MARKED[..FILE_AT])).unwrap_err(), InterpreterFault::Missing);
        assert_eq!(Interpreter::of_command(b"").unwrap_err(), InterpreterFault::Missing);
        for at in [IMAGE_VERSION_AT, TABLE_MAGIC_AT + 7] {
            let mut other = MARKED;
            other[at] += 1;
            assert_eq!(Interpreter::of_command(&command(&other)).unwrap_err(), InterpreterFault::Version);
        }
    }
}
