//! The kernel's side of the choice: magic and mask for `binfmt_misc`, derived from a row of the
//! table.
//!
//! The kernel compares the first 256 bytes of a file, with zeros after its end: `(byte ^ magic) &
//! mask == 0` for all of them (`fs/binfmt_misc.c`, `search_binfmt_handler`). Once started, an
//! interpreter cannot hand the file back. A rule therefore accepts exactly the headers for which
//! [`crate::Table::choose`] finds its row; a test covers all headers.

use core::fmt;

use crate::elf::{self, Machine, ident};
use crate::table::Row;

/// `BINPRM_BUF_SIZE`: how many bytes of a file the kernel looks at.
pub const WINDOW: usize = 256;

/// Magic and mask from the start of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    len: usize,
    magic: [u8; WINDOW],
    mask: [u8; WINDOW],
}

/// `EI_OSABI` values that one magic and mask cover: those that equal `value` in the bits of `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsabiBlock {
    /// The smallest value.
    pub value: u8,
    /// The bits that are compared.
    pub mask: u8,
}

/// A rule, and what distinguishes it from the other rules of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRule {
    /// Magic and mask.
    pub rule: Rule,
    /// The one machine number that the rule accepts.
    pub machine: Machine,
    /// The `EI_OSABI` values that the rule accepts.
    pub osabi: OsabiBlock,
}

impl Rule {
    /// Builds a rule from its parts, as an entry of `binfmt_misc` has them: `offset` is in bytes,
    /// and an empty `mask` compares everything. `None` if the kernel would not accept them.
    pub fn new(offset: usize, magic: &[u8], mask: &[u8]) -> Option<Self> {
        let len = offset.checked_add(magic.len())?;
        if magic.is_empty() || !mask.is_empty() && mask.len() != magic.len() {
            return None;
        }
        let mut rule = Rule { len, magic: [0; WINDOW], mask: [0; WINDOW] };
        rule.magic.get_mut(offset..len)?.copy_from_slice(magic);
        let to = rule.mask.get_mut(offset..len)?;
        if mask.is_empty() {
            to.fill(0xff);
        } else {
            to.copy_from_slice(mask);
        }
        Some(rule)
    }

    /// The rules of a row: one for each machine number and each block of `EI_OSABI` values.
    ///
    /// They compare `e_ident` up to `EI_OSABI`, `e_type`, `e_machine`, and the bits of `e_flags`
    /// that the row looks at. Bytes 8 to 15 are not compared: AppImage writes there, and ABI
    /// versions differ.
    pub fn of_row<'a>(row: &Row<'a>) -> impl Iterator<Item = RowRule> + use<'a> {
        let row = *row;
        row.machines().flat_map(move |machine| {
            OsabiBlock::cover(row.osabi()).map(move |osabi| RowRule {
                rule: Rule::derive(&row, machine, osabi),
                machine,
                osabi,
            })
        })
    }

    fn derive(row: &Row<'_>, machine: Machine, osabi: OsabiBlock) -> Self {
        let mut rule = Rule { len: 0, magic: [0; WINDOW], mask: [0; WINDOW] };
        rule.compare(0, &elf::MAGIC, &[0xff; 4]);
        rule.compare(ident::CLASS, &[row.class().ident()], &[0xff]);
        rule.compare(ident::DATA, &[row.data().ident()], &[0xff]);
        rule.compare(ident::VERSION, &[elf::EV_CURRENT], &[0xff]);
        rule.compare(ident::OSABI, &[osabi.value], &[osabi.mask]);
        // ET_EXEC is 2 and ET_DYN is 3, so the lowest bit is not compared.
        rule.compare(elf::TYPE, &row.data().u16_bytes(elf::ET_EXEC), &row.data().u16_bytes(!1));
        rule.compare(elf::MACHINE, &row.data().u16_bytes(machine.0), &[0xff; 2]);
        if row.flags_mask() != 0 {
            let offset = row.class().flags_offset();
            rule.compare(offset, &row.data().u32_bytes(row.flags_value()), &row.data().u32_bytes(row.flags_mask()));
        }
        rule
    }

    /// Adds a comparison; every offset used lies in the window.
    fn compare(&mut self, offset: usize, magic: &[u8], mask: &[u8]) {
        let end = offset.saturating_add(magic.len());
        if let (Some(to_magic), Some(to_mask)) = (self.magic.get_mut(offset..end), self.mask.get_mut(offset..end)) {
            to_magic.copy_from_slice(magic);
            to_mask.copy_from_slice(mask);
            self.len = self.len.max(end);
        }
    }

    /// The bytes to compare with, masked; as long as [`Rule::mask`].
    pub fn magic(&self) -> &[u8] {
        self.magic.get(..self.len).unwrap_or_default()
    }

    /// The bits to compare.
    pub fn mask(&self) -> &[u8] {
        self.mask.get(..self.len).unwrap_or_default()
    }

    /// Whether the kernel would match a file that begins with `file`.
    pub fn accepts(&self, file: &[u8]) -> bool {
        let padded = file.iter().copied().chain(core::iter::repeat(0));
        self.magic().iter().zip(self.mask()).zip(padded).all(|((magic, mask), byte)| (byte ^ magic) & mask == 0)
    }

    /// Whether some file matches both rules.
    pub fn overlaps(&self, other: &Rule) -> bool {
        let ours = self.magic.iter().zip(&self.mask);
        let theirs = other.magic.iter().zip(&other.mask);
        ours.zip(theirs).all(|((a, a_mask), (b, b_mask))| (a ^ b) & a_mask & b_mask == 0)
    }

    /// Whether every file that matches `other` matches this rule.
    pub fn covers(&self, other: &Rule) -> bool {
        let ours = self.magic.iter().zip(&self.mask);
        let theirs = other.magic.iter().zip(&other.mask);
        ours.zip(theirs).all(|((a, a_mask), (b, b_mask))| a_mask & !b_mask == 0 && (a ^ b) & a_mask == 0)
    }
}

impl OsabiBlock {
    /// The fewest aligned blocks that hold exactly `values`. The size of each is a power of two.
    /// They are in the order of their first values in `values`.
    pub fn cover(values: &[u8]) -> impl Iterator<Item = OsabiBlock> + Clone + use<'_> {
        let holds = |block: OsabiBlock| (0..=u8::MAX).filter(|v| block.accepts(*v)).all(|v| values.contains(&v));
        // For each value, take the largest block that contains it. Aligned blocks nest or are
        // disjoint, so the largest ones together cover all values.
        let largest = move |value: u8| {
            let masks = (0..=8u32).rev().map(|bits| u8::MAX.checked_shl(bits).unwrap_or(0));
            let mut blocks = masks.map(|mask| OsabiBlock { value: value & mask, mask });
            blocks.find(|block| holds(*block)).unwrap_or(OsabiBlock { value, mask: u8::MAX })
        };
        let firsts = values.iter().enumerate().filter(move |(index, value)| {
            let block = largest(**value);
            !values.iter().take(*index).any(|earlier| block.accepts(*earlier))
        });
        firsts.map(move |(_, value)| largest(*value))
    }

    /// Whether the block holds `osabi`.
    pub fn accepts(self, osabi: u8) -> bool {
        (osabi ^ self.value) & self.mask == 0
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({} & {})", Escaped(self.magic()), Escaped(self.mask()))
    }
}

/// Bytes as `register` expects them: each as `\x` and two digits, because a raw NUL would silently
/// end the string.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn cover(values: &[u8]) -> Vec<(u8, u8)> {
        OsabiBlock::cover(values).map(|block| (block.value, block.mask)).collect()
    }

    #[test]
    fn osabi_values_are_covered_exactly_and_in_order() {
        assert_eq!(cover(&[0, 1, 2, 3]), [(0, 0xfc)]);
        assert_eq!(cover(&[3, 2, 1, 0, 97]), [(0, 0xfc), (97, 0xff)]);
        assert_eq!(cover(&[97, 0, 2]), [(97, 0xff), (0, 0xff), (2, 0xff)]);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(cover(&all), [(0, 0)]);
        assert_eq!(cover(&all[..255]).len(), 8);
    }

    #[test]
    fn parts_that_the_kernel_refuses_are_refused() {
        assert!(Rule::new(0, b"", b"").is_none());
        assert!(Rule::new(0, b"ab", b"a").is_none());
        assert!(Rule::new(255, b"ab", b"").is_none());
        assert!(Rule::new(usize::MAX, b"a", b"").is_none());
        assert!(Rule::new(254, b"ab", b"").is_some());
    }

    #[test]
    fn a_short_file_is_compared_as_if_zeros_followed() {
        let rule = Rule::new(1, b"b\0", b"").unwrap();
        assert!(rule.accepts(b"ab"));
        assert!(!rule.accepts(b"abc"));
        assert!(!rule.accepts(b""));
    }

    #[test]
    fn rules_overlap_where_no_compared_bit_differs() {
        let rule = |offset, magic: &[u8]| Rule::new(offset, magic, b"").unwrap();
        assert!(rule(0, b"a").overlaps(&rule(1, b"b")));
        assert!(rule(0, b"a").overlaps(&rule(0, b"ab")));
        assert!(!rule(0, b"ab").overlaps(&rule(1, b"c")));
    }

    #[test]
    fn rules_cover_those_that_compare_more() {
        let rule = |offset, magic: &[u8], mask: &[u8]| Rule::new(offset, magic, mask).unwrap();
        let (wide, narrow) = (rule(0, b"a", b""), rule(0, b"ab", b""));
        assert!(wide.covers(&narrow) && !narrow.covers(&wide) && wide.covers(&wide));
        // What is not compared may differ.
        assert!(rule(0, b"a\xff", b"\xff\x00").covers(&narrow));
        assert!(rule(0, b"\x02", b"\xfe").covers(&rule(0, b"\x03", b"")));
        assert!(!rule(0, b"\x02", b"").covers(&rule(0, b"\x02", b"\xfe")));
        assert!(!rule(0, b"b", b"").covers(&narrow) && !rule(1, b"b", b"").covers(&wide));
    }
}
