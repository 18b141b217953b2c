//! A file in memory, read as QEMU reads it.

use std::iter;

use dispatch_core::record::Field;

use crate::block::{Block, Found};
use crate::fault::Fault;
use crate::layout::{ALIGN, FileHeader, HEADER, MAGIC, SLOT, SLOTS, VERSION, checksum};
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
fn index_end(slots: usize) -> usize {
    HEADER + slots * SLOT
}
