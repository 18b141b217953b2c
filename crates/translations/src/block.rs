//! A record: the code of one block, and what it was made from.

use dispatch_core::record::Field;

use crate::layout::{ALIGN, OPERAND, RecordHeader, checksum};
use crate::origin::Origin;

/// Offset of an exit that the code does not have: `TB_JMP_OFFSET_INVALID`.
const NO_EXIT: u16 = 0xffff;

/// What a record is found by, besides the guest's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Hash of the other fields and of the guest's first bytes.
    pub hash: u32,
    /// Address of the block; for code without addresses, its offset in the page.
    pub pc: u64,
    /// Part of the CPU's state.
    pub cs_base: u64,
    /// Part of the CPU's state.
    pub flags: u32,
    /// How the block was translated.
    pub cflags: u32,
    /// Whether the guest's addresses are moved.
    pub based: u16,
}

/// A sound record within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    header: RecordHeader,
    bytes: &'a [u8],
}

/// Appends a number in LEB128.
fn number(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// What is at the place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A record that QEMU would use.
    Sound(Block<'a>),
    /// A record of this length, in bytes, that is damaged or can never be used.
    Damaged(usize),
    /// No record.
    Nothing,
}

impl<'a> Block<'a> {
    /// What is at the start of `bytes`, for a file of this origin.
    pub(crate) fn at(bytes: &'a [u8], origin: &Origin) -> Found<'a> {
        let Some(header) = RecordHeader::read(bytes) else { return Found::Nothing };
        let length = header.length as usize;
        match bytes.get(..length) {
            Some(bytes) if length >= RecordHeader::SIZE && length % ALIGN == 0 => {
                let block = Self { header, bytes };
                if block.is_sound(origin) { Found::Sound(block) } else { Found::Damaged(length) }
            }
            _ => Found::Nothing,
        }
    }

    /// A record that [`Block::at`] has found sound before.
    pub(crate) fn again(bytes: &'a [u8]) -> Option<Self> {
        let header = RecordHeader::read(bytes)?;
        Some(Self { header, bytes: bytes.get(..header.length as usize)? })
    }

    /// Whether all parts are within the record, QEMU can come to use it, and it is as it was
    /// written: `sound` and `matching` in QEMU.
    fn is_sound(&self, origin: &Origin) -> bool {
        let RecordHeader { pc, size, code_size, search_size, .. } = self.header;
        let room = self.bytes.len().checked_sub(self.code_at());
        // A block never extends beyond the page that it begins in.
        let page = u64::from(origin.page);
        if usize::from(code_size) < OPERAND
            || room.is_none_or(|room| usize::from(code_size) + usize::from(search_size) > room)
            || size == 0
            || pc % page + u64::from(size) > page
        {
            return false;
        }
        let last = code_size - OPERAND as u16;
        let resets = [self.header.jmp_reset_offset_0, self.header.jmp_reset_offset_1];
        let operands = [self.header.jmp_insn_offset_0, self.header.jmp_insn_offset_1];
        self.references().all(|offset| offset <= last)
            && resets.iter().all(|offset| *offset == NO_EXIT || *offset <= code_size)
            && operands.iter().all(|offset| *offset == NO_EXIT || *offset <= last)
            && self.header.checksum == checksum(&self.bytes[u64::SIZE..])
    }

    /// The record's fields.
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// All bytes of the record.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it is found by, besides the guest's bytes.
    pub fn key(&self) -> Key {
        let RecordHeader { hash, pc, cs_base, flags, cflags, based, .. } = self.header;
        Key { hash, pc, cs_base, flags, cflags, based }
    }

    /// The guest's bytes that it is the translation of.
    pub fn guest(&self) -> &'a [u8] {
        let end = RecordHeader::SIZE + usize::from(self.header.size);
        self.bytes.get(RecordHeader::SIZE..end).unwrap_or_default()
    }

    /// The code, with references that are distances.
    pub fn code(&self) -> &'a [u8] {
        let start = self.code_at();
        self.bytes.get(start..start + usize::from(self.header.code_size)).unwrap_or_default()
    }

    /// The code, the unwind information, and the numbers that belong to them, as a packed record has
    /// them.
    pub fn body(&self) -> Vec<u8> {
        let RecordHeader { code_size, search_size, icount, nrefs, .. } = self.header;
        let start = self.code_at();
        let end = start + usize::from(code_size) + usize::from(search_size);
        let mut body = self.bytes.get(start..end).unwrap_or_default().to_vec();
        number(&mut body, icount.into());
        let back = |offset: u16| u32::from(code_size) - u32::from(offset);
        for (reset, operand) in [
            (self.header.jmp_reset_offset_0, self.header.jmp_insn_offset_0),
            (self.header.jmp_reset_offset_1, self.header.jmp_insn_offset_1),
        ] {
            number(&mut body, if reset == NO_EXIT { 0 } else { back(reset) + 1 });
            number(&mut body, if operand == NO_EXIT { 0 } else { back(operand) });
        }
        let mut references: Vec<(u16, bool)> =
            self.references().enumerate().map(|(place, offset)| (offset, place >= usize::from(nrefs))).collect();
        references.sort_unstable_by(|a, b| b.cmp(a));
        number(&mut body, references.len() as u32);
        let mut behind = code_size;
        for (offset, leaves) in references {
            number(&mut body, u32::from(behind - offset) << 1 | u32::from(leaves));
            behind = offset;
        }
        body
    }

    /// About the length of [`Block::body`], in bytes.
    pub(crate) fn body_length(&self) -> usize {
        usize::from(self.header.code_size) + usize::from(self.header.search_size)
    }

    /// Offsets in the code of what refers to QEMU (4 bytes), then of what refers to its
    /// prologue and epilogue.
    pub fn references(&self) -> impl Iterator<Item = u16> {
        let list = self.bytes.get(self.references_at()..).unwrap_or_default();
        list.chunks_exact(u16::SIZE).filter_map(u16::read).take(self.references_count())
    }

    fn references_count(&self) -> usize {
        usize::from(self.header.nrefs) + usize::from(self.header.nexits)
    }

    fn references_at(&self) -> usize {
        RecordHeader::SIZE + usize::from(self.header.size).next_multiple_of(u16::SIZE)
    }

    fn code_at(&self) -> usize {
        (self.references_at() + self.references_count() * u16::SIZE).next_multiple_of(ALIGN)
    }
}
