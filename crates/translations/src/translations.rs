//! The records of one or more files, and the file that is made of them.

use std::collections::HashSet;

use crate::block::{Block, Key};
use crate::fault::Fault;
use crate::file::{File, header, index_end};
use crate::index::Index;
use crate::layout::{ALIGN, PAGE};
use crate::origin::Origin;

/// Sound records of one origin, each only once. All of them can be found with the index of the file
/// that they are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translations {
    origin: Origin,
    /// The records, one behind the other.
    bytes: Vec<u8>,
    /// Where each record begins in `bytes`.
    starts: Vec<usize>,
    /// The slots of [`Index`].
    slots: Vec<u32>,
    left_out: usize,
}

impl Translations {
    /// Reads all records of a file. Damaged ones are left out, and so is all that follows a place
    /// where no record can be. Of records with equal keys and equal bytes of the guest, the first
    /// one is kept.
    ///
    /// Time and memory are proportional to the length of the file, whatever it contains.
    ///
    /// # Errors
    /// If the file cannot be used at all.
    pub fn read(file: &[u8]) -> Result<Self, Fault> {
        let file = File::open(file)?;
        let left_out = file.blocks().filter(Result::is_err).count();
        Ok(Self::collect(file.origin().clone(), file.blocks().flatten(), left_out))
    }

    /// Adds the records of `other` behind these.
    ///
    /// # Errors
    /// [`Fault::Other`] if the origins differ.
    pub fn merge(self, other: &Self) -> Result<Self, Fault> {
        if self.origin != other.origin {
            return Err(Fault::Other);
        }
        let all = self.blocks().chain(other.blocks());
        Ok(Self::collect(self.origin.clone(), all, self.left_out + other.left_out))
    }

    fn collect<'a>(origin: Origin, blocks: impl Iterator<Item = Block<'a>>, left_out: usize) -> Self {
        let mut known: HashSet<(Key, &[u8])> = HashSet::new();
        let mut blocks: Vec<Block<'_>> = blocks.filter(|block| known.insert((block.key(), block.guest()))).collect();
        let mut left_out = left_out;
        let slots = loop {
            let hashes: Vec<u32> = blocks.iter().map(|block| block.header().hash).collect();
            let Index { slots, homeless } = Index::of(&hashes);
            if homeless.is_empty() {
                break slots;
            }
            // The others may now get a smaller index. It is at most half as large each time, so
            // this ends soon.
            left_out += homeless.len();
            let mut numbers = 0..;
            blocks.retain(|_| numbers.next().is_some_and(|number| homeless.binary_search(&number).is_err()));
        };
        let mut all = Self { origin, bytes: Vec::new(), starts: Vec::new(), slots, left_out };
        for block in blocks {
            all.starts.push(all.bytes.len());
            all.bytes.extend_from_slice(block.bytes());
        }
        all
    }

    /// The finished file: header, index, records in their order, and zeros up to a multiple of
    /// [`PAGE`] bytes. The same records in the same order give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = index_end(self.slots.len());
        let end = start + self.bytes.len();
        let mut bytes = header(&self.origin, self.slots.len(), end, self.count());
        for number in &self.slots {
            let place = (*number as usize).checked_sub(1).and_then(|number| self.starts.get(number));
            bytes.extend_from_slice(&place.and_then(|place| self.slot(start, *place)).unwrap_or(0).to_le_bytes());
        }
        bytes.extend_from_slice(&self.bytes);
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        bytes
    }

    /// The slot of the record at `place`, if the records begin at `start` in the file. There is none
    /// for a record beyond 64 GiB, where no slot can point to.
    fn slot(&self, start: usize, place: usize) -> Option<u64> {
        let sixteenths = u32::try_from((start + place) / ALIGN).ok()?;
        Some(u64::from(self.block(place)?.header().hash) << 32 | u64::from(sixteenths))
    }

    /// What the code depends on.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The records, in their order.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        self.starts.iter().filter_map(|start| self.block(*start))
    }

    fn block(&self, start: usize) -> Option<Block<'_>> {
        self.bytes.get(start..).and_then(Block::again)
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Length of their code, in bytes.
    pub fn code_bytes(&self) -> u64 {
        self.blocks().map(|block| u64::from(block.header().code_size)).sum()
    }

    /// How many records were left out: damaged ones, and those for which the index has no room,
    /// because very many records have the same hash. A double does not count.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}
