//! ELF files that are made or damaged for the tests: 64-bit, little-endian (System V gABI, chapters
//! 4 and 5).

use dispatch_core::elf::{PF_R, PF_X, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, ProgramHeader};

/// Size of the header, in bytes.
const HEADER: usize = 64;
/// Size of a program header, in bytes.
const PROGRAM_HEADER: usize = 56;

/// A file whose headers can be changed.
#[derive(Clone, Debug)]
pub struct Elf(pub Vec<u8>);

impl Elf {
    /// The same file with `bytes` at `offset`.
    pub fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The offsets of the program headers of type `kind`.
    pub fn program_headers(&self, kind: u32) -> Vec<usize> {
        let number = |at: usize| usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]));
        let table = usize::try_from(self.word(32)).unwrap();
        let all = (0..number(56)).map(|index| table + index * PROGRAM_HEADER);
        all.filter(|&at| self.0[at..at + 4] == kind.to_le_bytes()).collect()
    }

    /// Changes the `nth` `PT_LOAD`: the word at `field` bytes into its program header.
    pub fn with_load(self, nth: usize, field: usize, change: impl FnOnce(u64) -> u64) -> Self {
        let at = self.program_headers(PT_LOAD)[nth] + field;
        let value = change(self.word(at));
        self.with(at, &value.to_le_bytes())
    }

    /// The eight bytes at `offset`, as a number.
    pub fn word(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.0[offset..offset + 8].try_into().unwrap())
    }
}

/// The probe of a 64-bit little-endian row, with a segment for the dynamic linker `linker` in front
/// of its code's segment.
pub fn dynamic_guest(probe: Vec<u8>, linker: &str) -> Vec<u8> {
    guest_with(probe, PT_INTERP, &[linker.as_bytes(), b"\0"].concat())
}

/// The same with a note of one GNU property, a word.
pub fn guest_with_property(probe: Vec<u8>, kind: u32, value: u32) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    guest_with(probe, PT_GNU_PROPERTY, &[words(&[4, 16, 5]), b"GNU\0".to_vec(), words(&[kind, 4, value, 0])].concat())
}

/// The program header of a segment of type `kind`, of `len` bytes at `offset`.
pub fn segment(kind: u32, offset: usize, len: usize) -> ProgramHeader {
    ProgramHeader {
        kind,
        flags: PF_R | PF_X,
        offset: offset as u64,
        vaddr: 0x1_0000 + offset as u64,
        filesz: len as u64,
        memsz: len as u64,
        align: 1,
    }
}

/// The probe with a segment of type `kind` and these contents in front of its code's segment.
fn guest_with(probe: Vec<u8>, kind: u32, content: &[u8]) -> Vec<u8> {
    let start = HEADER + 2 * PROGRAM_HEADER;
    let code = (start + content.len()).next_multiple_of(8);
    let end = code + probe.len() - HEADER - PROGRAM_HEADER;
    let mut file = probe[..HEADER].to_vec();
    file[56] = 2; // e_phnum
    file.extend(segment(kind, start, content.len()).to_elf64_le());
    file.extend(ProgramHeader { align: 0x1_0000, ..segment(PT_LOAD, 0, end) }.to_elf64_le());
    file.extend(content);
    file.resize(code, 0);
    file.extend(&probe[HEADER + PROGRAM_HEADER..]);
    file[24..32].copy_from_slice(&(0x1_0000 + code as u64).to_le_bytes()); // e_entry
    file
}

/// The probe of a 64-bit little-endian row with `code`, at the start of a page, in place of its own.
pub fn guest_with_code(probe: Vec<u8>, code: &[u8]) -> Vec<u8> {
    const PAGE: usize = 0x1000;
    let segment = ProgramHeader { align: PAGE as u64, ..segment(PT_LOAD, PAGE, code.len()) };
    let mut file = probe[..HEADER].to_vec();
    file[24..32].copy_from_slice(&segment.vaddr.to_le_bytes()); // e_entry
    file.extend(segment.to_elf64_le());
    file.resize(PAGE, 0);
    file.extend(code);
    file
}
