//! A file in memory, read as QEMU reads it.

use std::iter;

use dispatch_core::record::Field;

use crate::block::{Block, Found, Key};
use crate::fault::Fault;
use crate::layout::{ALIGN, FileHeader, HEADER, MAGIC, MAX_PROBES, SLOT, SLOTS, VERSION, checksum};
use crate::origin::Origin;

/// A file whose header is sound. Its records are checked when they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<'a> {
    bytes: &'a [u8],
    origin: Origin,
    /// Number of slots, a power of two.
    slots: usize,
    /// Where the records end, within the file.
    end: usize,
}

impl<'a> File<'a> {
    /// Checks the header. The checks of QEMU come first (`header_fault`), then those that QEMU makes
    /// before it appends to the file (`save_fresh`).
    ///
    /// # Errors
    /// If QEMU would ignore the file, or would begin it anew.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let header = FileHeader::read(bytes).filter(|header| bytes.len() >= HEADER && header.magic == MAGIC);
        let header = header.ok_or(Fault::Magic)?;
        if header.version != VERSION {
            return Err(Fault::Version(header.version));
        }
        if header.checksum != checksum(&bytes[..SUMMED]) {
            return Err(Fault::Checksum);
        }
        let slots = header.slots as usize;
        if !slots.is_power_of_two() || slots < SLOTS || index_end(slots) > bytes.len() {
            return Err(Fault::Index);
        }
        let origin = Origin::of_record(&header.origin).ok_or(Fault::Origin)?;
        let end = usize::try_from(header.end).ok().filter(|end| (index_end(slots)..=bytes.len()).contains(end));
        let end = end.filter(|end| end % ALIGN == 0).ok_or(Fault::End)?;
        Ok(Self { bytes, origin, slots, end })
    }

    /// What the code in the file depends on.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The record that the index names for this key and these bytes of the guest: `find` in QEMU.
    pub fn find(&self, key: &Key, guest: &[u8]) -> Option<Block<'a>> {
        for probe in 0..MAX_PROBES {
            let at = HEADER + ((key.hash as usize).wrapping_add(probe) & (self.slots - 1)) * SLOT;
            let slot = self.bytes.get(at..).and_then(u64::read).filter(|slot| *slot != 0)?;
            if slot >> 32 != u64::from(key.hash) {
                continue;
            }
            let offset = usize::try_from((slot & u64::from(u32::MAX)) * ALIGN as u64).ok();
            let found = offset.and_then(|offset| self.bytes.get(offset..)).map(|rest| Block::at(rest, &self.origin));
            match found {
                Some(Found::Sound(block)) if block.key() == *key && block.guest() == guest => return Some(block),
                _ => {}
            }
        }
        None
    }

    /// All records in their order; an `Err` for each one that is damaged. A place where no record
    /// can be counts as one damaged record and is the last item.
    pub fn blocks(&self) -> impl Iterator<Item = Result<Block<'a>, ()>> {
        let mut rest = self.bytes.get(index_end(self.slots)..self.end).unwrap_or_default();
        iter::from_fn(move || {
            // A writer that is killed leaves zeros.
            let zeros = rest.iter().position(|byte| *byte != 0)?;
            rest = &rest[zeros - zeros % ALIGN..];
            let (length, item) = match Block::at(rest, &self.origin) {
                Found::Sound(block) => (block.bytes().len(), Ok(block)),
                Found::Damaged(length) => (length, Err(())),
                Found::Nothing => (rest.len(), Err(())),
            };
            rest = &rest[length..];
            Some(item)
        })
    }
}

/// Length of the header's fields before its checksum, in bytes.
const SUMMED: usize = FileHeader::SIZE - 3 * u64::SIZE;

/// Where the index ends and the records begin, in bytes from the start of the file.
pub(crate) fn index_end(slots: usize) -> usize {
    HEADER + slots * SLOT
}

/// The header of a file with these slots and records.
pub(crate) fn header(origin: &Origin, slots: usize, end: usize, count: usize) -> Vec<u8> {
    let mut header = FileHeader {
        magic: MAGIC,
        version: VERSION,
        slots: slots as u32,
        origin: origin.record(),
        checksum: 0,
        end: end as u64,
        count: count as u64,
    };
    let mut bytes = Vec::with_capacity(HEADER);
    crate::layout::append(&mut bytes, &header);
    header.checksum = checksum(&bytes[..SUMMED]);
    bytes.clear();
    crate::layout::append(&mut bytes, &header);
    bytes.resize(HEADER, 0);
    bytes
}
