//! A finished file, whose records are packed.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use dispatch_core::record::Field;

use crate::block::{Block, Key};
use crate::fault::Fault;
use crate::index::Index;
use crate::layout::{
    CF_PCREL, CHUNK, MAX_PROBES, PACKED_ALIGN, PACKED_MAGIC, PACKED_VERSION, PAGE, PLACE_BITS, PackedHeader,
    PackedRecord, SLOTS, StateRecord, append, checksum, chunk_checksum,
};
use crate::origin::Origin;
use crate::pack::Dictionary;

/// Length of a slot, in bytes: `sizeof(PackedSlot)`.
const SLOT: usize = 4;
/// Largest dictionary, in bytes. Offsets have two bytes, and some are left for distances.
const DICTIONARY: usize = 60 << 10;
/// Length of the header's fields before its checksum, in bytes.
const SUMMED: usize = PackedHeader::SIZE - u64::SIZE;
/// Most bytes of records, and most records. The largest index of so many, after all doublings, has
/// 32 MiB, so that no place has more than [`PLACE_BITS`].
const LARGEST: usize = 64 << 20;
const MOST: usize = 1 << 20;
/// How many records are packed by one thread at a time.
const PORTION: usize = 4096;

/// A finished file whose header and tables are sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    origin: Origin,
    states: Vec<StateRecord>,
    dictionary: &'a [u8],
    index: &'a [u8],
    checksums: &'a [u8],
    /// Where the chunks with the records begin and end.
    chunks: Range<usize>,
    count: usize,
}

/// A packed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlock<'a> {
    record: PackedRecord,
    state: StateRecord,
    address: Option<u64>,
    guest: &'a [u8],
    packed: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Checks the header and the tables as QEMU does (`packed_fault`).
    ///
    /// # Errors
    /// If QEMU would ignore the file.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let header = PackedHeader::read(bytes).filter(|header| header.magic == PACKED_MAGIC).ok_or(Fault::Magic)?;
        if header.version != PACKED_VERSION {
            return Err(Fault::Version(header.version));
        }
        if header.checksum != checksum(&bytes[..SUMMED]) {
            return Err(Fault::Checksum);
        }
        let mut rest = &bytes[PackedHeader::SIZE..];
        let mut table = |count: u32, size: usize| {
            let (table, behind) = rest.split_at_checked((count as usize).checked_mul(size)?)?;
            rest = behind;
            Some(table)
        };
        let [Some(states), Some(dictionary), Some(index), Some(checksums)] = [
            table(header.states, StateRecord::SIZE),
            table(header.dictionary, 1),
            table(header.slots, SLOT),
            table(header.chunks, u32::SIZE),
        ] else {
            return Err(Fault::Index);
        };
        let start = (bytes.len() - rest.len()).next_multiple_of(CHUNK);
        let end = (header.chunks as usize).checked_mul(CHUNK).and_then(|length| length.checked_add(start));
        let slots = header.slots as usize;
        if !slots.is_power_of_two() || slots < SLOTS || dictionary.len() % u64::SIZE != 0 {
            return Err(Fault::Index);
        }
        let chunks = start..end.filter(|end| *end <= bytes.len()).ok_or(Fault::End)?;
        if header.tables != checksum(&bytes[PackedHeader::SIZE..][..states.len() + dictionary.len()]) {
            return Err(Fault::Checksum);
        }
        let origin = Origin::of_record(&header.origin).ok_or(Fault::Origin)?;
        let states = states.chunks_exact(StateRecord::SIZE).filter_map(StateRecord::read).collect();
        Ok(Self { bytes, origin, states, dictionary, index, checksums, chunks, count: header.count as usize })
    }

    /// What the code in the file depends on.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What the blocks of LZ4 refer to.
    pub fn dictionary(&self) -> &'a [u8] {
        self.dictionary
    }

    /// The records in their order, up to the first one that is damaged.
    pub fn blocks(&self) -> impl Iterator<Item = PackedBlock<'a>> {
        let (mut at, mut sound) = (self.chunks.start, None);
        (0..self.count).map_while(move |_| {
            let block = self.block(at, &mut sound)?;
            at += usize::from(block.record.length).next_multiple_of(PACKED_ALIGN);
            Some(block)
        })
    }

    /// The record that the index names for this key and these bytes of the guest: `find_packed`.
    pub fn find(&self, key: &Key, guest: &[u8]) -> Option<PackedBlock<'a>> {
        let slots = self.index.len() / SLOT;
        for probe in 0..MAX_PROBES {
            let at = ((key.hash as usize).wrapping_add(probe) & (slots - 1)) * SLOT;
            let slot = self.index.get(at..).and_then(u32::read).filter(|slot| *slot != 0)?;
            if slot >> PLACE_BITS != key.hash >> PLACE_BITS {
                continue;
            }
            let place = (slot & ((1 << PLACE_BITS) - 1)) as usize * PACKED_ALIGN;
            let found =
                self.block(place, &mut None).filter(|block| block.is_of(key, self.origin.page) && block.guest == guest);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The sound record at this place of the file. `sound` is the chunk that was checked last.
    fn block(&self, at: usize, sound: &mut Option<usize>) -> Option<PackedBlock<'a>> {
        let bytes = self.bytes.get(..self.chunks.end)?.get(at..)?;
        let record = PackedRecord::read(bytes)?;
        let bytes = bytes.get(..usize::from(record.length)).filter(|bytes| self.is_sound(at, bytes.len(), sound))?;
        let state = *self.states.get(usize::from(record.state))?;
        let mut rest = bytes.get(PackedRecord::SIZE..)?;
        let mut address = None;
        if state.cflags & CF_PCREL == 0 {
            address = Some(u64::read(rest)?);
            rest = rest.get(u64::SIZE..)?;
        }
        let (guest, packed) = rest.split_at_checked(usize::from(record.size))?;
        Some(PackedBlock { record, state, address, guest, packed })
    }

    /// Whether the chunks that these bytes of the file lie in are as they were written.
    fn is_sound(&self, at: usize, length: usize, sound: &mut Option<usize>) -> bool {
        let Some(start) = at.checked_sub(self.chunks.start) else { return false };
        (start / CHUNK..(start + length).div_ceil(CHUNK)).all(|chunk| {
            let at = self.chunks.start + chunk * CHUNK;
            let sum = self.checksums.get(chunk * u32::SIZE..).and_then(u32::read);
            let is_sound = *sound == Some(chunk) || self.bytes.get(at..at + CHUNK).map(chunk_checksum) == sum;
            *sound = is_sound.then_some(chunk);
            is_sound
        })
    }
}

impl<'a> PackedBlock<'a> {
    /// The record's fields.
    pub fn record(&self) -> &PackedRecord {
        &self.record
    }

    /// Address of the block; for code without addresses, its offset in the page.
    pub fn pc(&self) -> u64 {
        self.address.unwrap_or(u64::from(self.record.pc))
    }

    /// The guest's bytes that it is the translation of.
    pub fn guest(&self) -> &'a [u8] {
        self.guest
    }

    /// The block of LZ4: the code, the unwind information, and numbers.
    pub fn packed(&self) -> &'a [u8] {
        self.packed
    }

    fn is_of(&self, key: &Key, page: u32) -> bool {
        state(key) == self.state
            && page_offset(key.pc, page) == self.record.pc
            && self.address.is_none_or(|address| address == key.pc)
    }
}

fn state(key: &Key) -> StateRecord {
    let Key { cs_base, flags, cflags, based, .. } = *key;
    StateRecord { cs_base, flags, cflags, based: u32::from(based), reserved: 0 }
}

/// The offset in a page as a packed record has it.
fn page_offset(pc: u64, page: u32) -> u16 {
    (pc % u64::from(page)) as u16
}

/// The file with these records in their order: header, tables, index, checksums, and as many records
/// as `room` bytes have room for, but for those that the index has no room for. The same records give
/// the same bytes. The length is a multiple of [`PAGE`].
pub(crate) fn write(origin: &Origin, blocks: &[Block<'_>], room: usize) -> Vec<u8> {
    let dictionary = Dictionary::new(sample(blocks));
    let (states, blocks) = with_states(blocks);
    let mut records = fitting(&blocks, origin.page, &dictionary, room.min(LARGEST));
    let slots = indexed(&mut records);
    let mut chunks: Vec<u8> = records.iter().flat_map(|(_, record)| record).copied().collect();
    chunks.resize(chunks.len().next_multiple_of(CHUNK), 0);
    let mut tables = Vec::new();
    states.iter().for_each(|state| append(&mut tables, state));
    tables.extend_from_slice(dictionary.bytes());
    let header = PackedHeader {
        magic: PACKED_MAGIC,
        version: PACKED_VERSION,
        slots: slots.len() as u32,
        origin: origin.record(),
        states: states.len() as u32,
        dictionary: dictionary.bytes().len() as u32,
        count: records.len() as u32,
        chunks: (chunks.len() / CHUNK) as u32,
        tables: checksum(&tables),
        checksum: 0,
    };
    let mut bytes = Vec::new();
    append(&mut bytes, &header);
    let sum = checksum(&bytes[..SUMMED]);
    bytes[SUMMED..].copy_from_slice(&sum.to_le_bytes());
    bytes.extend(tables);
    let end = bytes.len() + slots.len() * SLOT + header.chunks as usize * u32::SIZE;
    let mut place = end.next_multiple_of(CHUNK);
    let named = records.iter().map(|(hash, record)| {
        let slot = hash >> PLACE_BITS << PLACE_BITS | (place / PACKED_ALIGN) as u32;
        place += record.len();
        slot
    });
    // A slot of no record is 0.
    let named: Vec<u32> = iter::once(0).chain(named).collect();
    slots.iter().for_each(|number| bytes.extend_from_slice(&named[*number as usize].to_le_bytes()));
    chunks.chunks(CHUNK).for_each(|chunk| bytes.extend_from_slice(&chunk_checksum(chunk).to_le_bytes()));
    bytes.resize(bytes.len().next_multiple_of(CHUNK), 0);
    bytes.extend(chunks);
    bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    bytes
}

/// The states of blocks, and each block with the number of its state.
fn with_states<'b>(blocks: &'b [Block<'_>]) -> (Vec<StateRecord>, Vec<(&'b Block<'b>, usize)>) {
    let (mut states, mut known) = (Vec::new(), HashMap::new());
    let numbered = |block: &'b Block<'_>| {
        let state = state(&block.key());
        let number = *known.entry((state.cs_base, state.flags, state.cflags, state.based)).or_insert_with(|| {
            states.push(state);
            states.len() - 1
        });
        (block, number)
    };
    let blocks = blocks.iter().map(numbered).collect();
    (states, blocks)
}

/// The packed records, each with its hash, up to the first one that `room` bytes have no room for,
/// and [`MOST`] of them at most.
fn fitting(blocks: &[(&Block<'_>, usize)], page: u32, dictionary: &Dictionary, room: usize) -> Vec<(u32, Vec<u8>)> {
    let (mut records, mut length) = (Vec::new(), 0);
    for part in blocks.chunks(PORTION * threads()) {
        let packed: Vec<Vec<Option<Vec<u8>>>> = thread::scope(|scope| {
            let portions = part.chunks(part.len().div_ceil(threads()));
            let pack = |portion: &[(&Block<'_>, usize)]| {
                portion.iter().map(|(block, number)| packed(block, page, *number, dictionary)).collect()
            };
            let running: Vec<_> = portions.map(|portion| scope.spawn(move || pack(portion))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        for (record, (block, _)) in packed.into_iter().flatten().zip(part) {
            let Some(record) = record else { continue };
            length += record.len();
            if length > room || records.len() == MOST {
                return records;
            }
            records.push((block.header().hash, record));
        }
    }
    records
}

/// The slots of these records, each with its hash. Those for which the index has no room are left
/// out: they would never be found.
fn indexed(records: &mut Vec<(u32, Vec<u8>)>) -> Vec<u32> {
    loop {
        let hashes: Vec<u32> = records.iter().map(|(hash, _)| *hash).collect();
        let Index { slots, homeless } = Index::of(&hashes);
        if homeless.is_empty() {
            return slots;
        }
        // The others may now get a smaller index. It is at most half as large each time, so this
        // ends soon.
        let mut numbers = 0..;
        records.retain(|_| numbers.next().is_some_and(|number| homeless.binary_search(&number).is_err()));
    }
}

/// How many threads pack. The bytes do not depend on it.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What blocks have in common: the bodies of some of them, evenly distributed.
fn sample(blocks: &[Block<'_>]) -> Vec<u8> {
    let all: usize = blocks.iter().map(Block::body_length).sum();
    let step = all.div_ceil(DICTIONARY).max(1);
    let mut bytes: Vec<u8> = blocks.iter().step_by(step).flat_map(Block::body).collect();
    bytes.truncate(DICTIONARY.min(bytes.len() / u64::SIZE * u64::SIZE));
    bytes
}

/// The packed record; `None` if it would be too long.
fn packed(block: &Block<'_>, page: u32, state: usize, dictionary: &Dictionary) -> Option<Vec<u8>> {
    let key = block.key();
    let mut behind = Vec::new();
    if key.cflags & CF_PCREL == 0 {
        behind.extend_from_slice(&key.pc.to_le_bytes());
    }
    behind.extend_from_slice(block.guest());
    behind.extend(dictionary.pack(&block.body()));
    let record = PackedRecord {
        length: u16::try_from(PackedRecord::SIZE + behind.len()).ok()?,
        pc: page_offset(key.pc, page),
        state: u16::try_from(state).ok()?,
        size: block.header().size,
        code_size: block.header().code_size,
        search_size: block.header().search_size,
    };
    let mut bytes = Vec::new();
    append(&mut bytes, &record);
    bytes.extend(behind);
    bytes.resize(bytes.len().next_multiple_of(PACKED_ALIGN), 0);
    Some(bytes)
}
