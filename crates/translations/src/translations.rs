//! The records of one or more files, and the file that is made of them.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::block::{Block, Key};
use crate::fault::Fault;
use crate::file::File;
use crate::origin::Origin;
use crate::packed;

/// Sound records of one origin, each only once. All of them can be found with the index of the file
/// that they are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translations {
    origin: Origin,
    /// The records, one behind the other.
    bytes: Vec<u8>,
    /// Where each record begins in `bytes`, and how many files had it.
    records: Vec<(usize, u32)>,
    /// Which record has a key and these bytes of the guest.
    places: HashMap<(Key, Vec<u8>), usize>,
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
        let origin = file.origin().clone();
        let mut all = Self { origin, bytes: Vec::new(), records: Vec::new(), places: HashMap::new(), left_out: 0 };
        for block in file.blocks() {
            match block {
                Ok(block) => all.add(&block, 0),
                Err(()) => all.left_out += 1,
            }
        }
        all.records.iter_mut().for_each(|(_, files)| *files = 1);
        Ok(all)
    }

    /// Adds the records of `other` behind these. Both have been read from one file or more, and how
    /// many of them had a record is added up.
    ///
    /// # Errors
    /// [`Fault::Other`] if the origins differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), Fault> {
        if self.origin != other.origin {
            return Err(Fault::Other);
        }
        other.blocks().for_each(|(block, files)| self.add(&block, files));
        self.left_out += other.left_out;
        Ok(())
    }

    fn add(&mut self, block: &Block<'_>, files: u32) {
        let next = self.records.len();
        let place = *self.places.entry((block.key(), block.guest().to_vec())).or_insert(next);
        if place == next {
            self.records.push((self.bytes.len(), 0));
            self.bytes.extend_from_slice(block.bytes());
        }
        self.records[place].1 += files;
    }

    /// The finished file. The records that most files had come first, otherwise their order is kept.
    /// It has as many of them as `room` bytes have room for, besides the header and the index. Of
    /// these, the ones for which the index has no room are left out, because very many have the same
    /// hash.
    ///
    /// The same records in the same order give the same bytes. Their number is a multiple of
    /// [`PAGE`](crate::PAGE).
    pub fn packed(&self, room: usize) -> Vec<u8> {
        let mut blocks: Vec<(Block<'_>, u32)> = self.blocks().collect();
        blocks.sort_by_key(|(_, files)| Reverse(*files));
        let blocks: Vec<Block<'_>> = blocks.into_iter().map(|(block, _)| block).collect();
        packed::write(&self.origin, &blocks, room)
    }

    /// What the code depends on.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The records, in their order, and how many files had each of them.
    pub fn blocks(&self) -> impl Iterator<Item = (Block<'_>, u32)> {
        self.records.iter().filter_map(|(start, files)| Some((block(&self.bytes, *start)?, *files)))
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// How many records were left out because they are damaged. A double does not count.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

fn block(bytes: &[u8], start: usize) -> Option<Block<'_>> {
    bytes.get(start..).and_then(Block::again)
}
