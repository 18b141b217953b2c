//! Lays a program out as in memory, and applies its relocations for one address.

use dispatch_core::elf::{PF_R, PF_W, PF_X};
use dispatch_core::emulator_file::{EmulatorFile, HEAD, Host, Mapping};
use dispatch_core::image::{SegmentRecord, WordRecord};
use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_RELA, DT_RELACOUNT, DT_RELASZ, DT_TEXTREL};
use goblin::elf::program_header::{PT_DYNAMIC, PT_LOAD};

use super::destination::relative;
use super::translations::Keeper;
use crate::failure::ProgramFault;

/// Most bytes by which a program in memory may exceed its file: holes between segments, and bss in
/// front of other segments.
const MAX_HOLES: u64 = 64 << 20;
/// Most segments that a program may have, gaps between them included.
pub const MAX_SEGMENTS: usize = 32;
/// `d_tag` of relocations in the compact form. They add to the values in place, so they cannot be
/// applied twice.
const DT_RELR: u64 = 36;
/// Size of `Elf64_Dyn` and of `Elf64_Rela`, in bytes.
const DYN: usize = 16;
const RELA: usize = 24;

/// A program as it lies in memory. All addresses are those of its file.
#[derive(Debug)]
pub struct LaidOut {
    /// Whether it can be at any address.
    pub relocatable: bool,
    /// Lowest address.
    pub low: u64,
    /// One past the highest address.
    pub high: u64,
    /// Alignment, in bytes.
    pub align: u64,
    /// Entry point.
    pub entry: u64,
    /// Address of the program headers.
    pub phdr: u64,
    /// Number of program headers.
    pub phnum: u64,
    /// Memory from `low` on, in whole pages.
    pub body: Vec<u8>,
    /// Segments with their permissions, within the body and behind it.
    pub segments: Vec<SegmentRecord>,
    /// Words to restore if the program is not at the address that it is prelinked for; empty before
    /// [`LaidOut::prelink`].
    pub words: Vec<WordRecord>,
    dynamic: Option<u64>,
    /// The type of its relative relocations, if it is known.
    relative: Option<u32>,
}

impl LaidOut {
    /// Lays the ELF file `file` out for `host`, with pages of `page` bytes.
    ///
    /// # Errors
    /// [`ProgramFault`].
    pub fn of(file: &[u8], host: Host, page: u64) -> Result<Self, ProgramFault> {
        let head = &file[..file.len().min(HEAD)];
        let program = EmulatorFile::examine(head, file.len() as u64, host, page)?;
        let mappings: Vec<Mapping> = program.mappings().collect();
        let mut body_end = program.low();
        for (index, mapping) in mappings.iter().enumerate() {
            let last = index + 1 == mappings.len();
            let file_end = mapping.address + mapping.file_len;
            // Memory behind the body is readable and writable, so only such memory can be left out
            // of the body.
            let left_out = last && mapping.flags == PF_R | PF_W;
            if last && !left_out && mapping.fresh_len != 0 {
                return Err(ProgramFault::Bss);
            }
            body_end = if left_out { file_end } else { file_end + mapping.fresh_len };
        }
        let len = body_end - program.low();
        if len > file.len() as u64 + MAX_HOLES {
            return Err(ProgramFault::Sparse);
        }

        let elf = Elf::parse(file).map_err(|error| ProgramFault::Unreadable(error.to_string()))?;
        let mut body = vec![0; usize::try_from(len).map_err(|_| ProgramFault::Sparse)?];
        for segment in elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz != 0) {
            // EmulatorFile::examine has found every segment inside the file and between low and
            // high.
            let to = (segment.p_vaddr - program.low()) as usize;
            let from = segment.p_offset as usize;
            let count = segment.p_filesz as usize;
            body[to..to + count].copy_from_slice(&file[from..from + count]);
        }
        let dynamic = elf.program_headers.iter().find(|segment| segment.p_type == PT_DYNAMIC);
        let segments = permissions(&mappings);
        if segments.len() > MAX_SEGMENTS {
            return Err(ProgramFault::Segments(MAX_SEGMENTS));
        }
        Ok(LaidOut {
            relocatable: program.relocatable(),
            low: program.low(),
            high: program.high(),
            align: program.align(),
            entry: program.entry(),
            phdr: program.phdr(),
            phnum: program.phnum().into(),
            body,
            segments,
            words: Vec::new(),
            dynamic: dynamic.map(|segment| segment.p_vaddr),
            relative: relative(elf.header.e_machine),
        })
    }

    /// Applies the relative relocations for the address `base`, in place of [`LaidOut::low`], and
    /// removes them from the list that the program applies when it starts. Returns their number; 0
    /// if that was not possible, and nothing has changed.
    ///
    /// In a static position-independent file they are the first `DT_RELACOUNT` relocations. The
    /// rest (IRELATIVE) depends on the CPU that runs the program.
    pub fn prelink(&mut self, base: u64) -> usize {
        let Some(plan) = self.relocations() else { return 0 };
        let count = plan.relative.len();
        let shift = base.wrapping_sub(self.low);
        for (address, addend) in plan.relative {
            self.write(address, addend.wrapping_add(shift));
        }
        for (word, value) in plan.changed {
            self.write(word.address, value);
            self.words.push(word);
        }
        count
    }

    /// Puts `translations`, for which `keeper` has the words, behind the program, and fills them up
    /// to whole pages. They are found only where the program is prelinked: elsewhere the words are
    /// restored. Returns whether that was possible.
    pub fn attach(&mut self, translations: &[u8], keeper: &Keeper, page: u64) -> bool {
        let start = self.high;
        let len = (start - self.low) as usize;
        if self.words.is_empty() || !self.is_writable(keeper.words, 16) {
            return false;
        }
        let values = [start.wrapping_sub(keeper.words), translations.len() as u64];
        for (address, value) in [keeper.words, keeper.words + 8].into_iter().zip(values) {
            let at = (address - self.low) as usize;
            let [linked] = words(&self.body[at..]);
            self.words.push(WordRecord { address, value: linked });
            self.write(address, value);
        }
        // The bss becomes a part of the body.
        self.body.resize(len, 0);
        self.body.extend(translations);
        let end = (self.body.len() as u64).next_multiple_of(page);
        self.body.resize(end as usize, 0);
        self.segments.push(SegmentRecord { address: start, len: end - len as u64, flags: PF_R.into() });
        self.high = self.low + end;
        true
    }

    /// The changes that prelinking makes; `None` if the program cannot be prelinked.
    fn relocations(&self) -> Option<Relocations> {
        if !self.relocatable {
            return None;
        }
        let entries = self.dynamic_entries()?;
        let value = |tag| entries.iter().find(|entry| entry.tag == tag).map(|entry| entry.value);
        if value(DT_RELR).is_some() || value(DT_TEXTREL).is_some() {
            return None;
        }
        let (table, size, count) = (value(DT_RELA)?, value(DT_RELASZ)?, value(DT_RELACOUNT)?);
        let taken = count.checked_mul(RELA as u64).filter(|taken| *taken != 0 && *taken <= size)?;
        let start = self.offset(table, taken)?;
        let mut relative = Vec::new();
        for entry in self.body[start..start + taken as usize].chunks_exact(RELA) {
            let [address, info, addend] = words(entry);
            if Some(info) != self.relative.map(u64::from) || !self.is_writable(address, 8) {
                return None;
            }
            relative.push((address, addend));
        }
        let changes = [(DT_RELA, table + taken), (DT_RELASZ, size - taken), (DT_RELACOUNT, 0)];
        let changed = changes.map(|(tag, value)| {
            let entry = entries.iter().find(|entry| entry.tag == tag).expect("its value was found above");
            (WordRecord { address: entry.address + 8, value: entry.value }, value)
        });
        let writable = changed.iter().all(|(word, _)| self.is_writable(word.address, 8));
        writable.then(|| Relocations { relative, changed: changed.to_vec() })
    }

    fn dynamic_entries(&self) -> Option<Vec<Dynamic>> {
        let start = self.dynamic?;
        let from = self.offset(start, 0)?;
        let entries = self.body[from..].chunks_exact(DYN).zip((start..).step_by(DYN));
        let entries = entries.map(|(entry, address)| {
            let [tag, value] = words(entry);
            Dynamic { address, tag, value }
        });
        Some(entries.take_while(|entry| entry.tag != 0).collect())
    }

    /// The range in the body of `len` bytes at `address`.
    fn offset(&self, address: u64, len: u64) -> Option<usize> {
        let offset = address.checked_sub(self.low)?;
        (offset.checked_add(len)? <= self.body.len() as u64).then_some(offset as usize)
    }

    fn is_writable(&self, address: u64, len: u64) -> bool {
        let within = |segment: &&SegmentRecord| {
            segment.address <= address
                && address.checked_add(len).is_some_and(|end| end <= segment.address + segment.len)
        };
        // The last segment continues behind the body.
        let writable = self.segments.iter().find(within).is_some_and(|segment| segment.flags & u64::from(PF_W) != 0);
        writable && self.offset(address, len).is_some()
    }

    fn write(&mut self, address: u64, value: u64) {
        // Called only for addresses that is_writable has found in the body.
        let offset = (address - self.low) as usize;
        self.body[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

struct Relocations {
    /// Address and value before the shift.
    relative: Vec<(u64, u64)>,
    /// Words before and after the change.
    changed: Vec<(WordRecord, u64)>,
}

struct Dynamic {
    address: u64,
    tag: u64,
    value: u64,
}

/// Little-endian words.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    std::array::from_fn(|index| dispatch_core::bytes::array(bytes, index * 8).map_or(0, u64::from_le_bytes))
}

/// The segments, and the gaps between them.
fn permissions(mappings: &[Mapping]) -> Vec<SegmentRecord> {
    let mut segments = Vec::new();
    let mut reached = mappings.first().map_or(0, |mapping| mapping.address);
    for mapping in mappings {
        if mapping.address > reached {
            segments.push(SegmentRecord { address: reached, len: mapping.address - reached, flags: 0 });
        }
        let segment_end = mapping.address + mapping.file_len + mapping.fresh_len;
        if segment_end > mapping.address {
            let flags = (mapping.flags & (PF_R | PF_W | PF_X)).into();
            segments.push(SegmentRecord { address: mapping.address, len: segment_end - mapping.address, flags });
        }
        reached = segment_end;
    }
    segments
}
