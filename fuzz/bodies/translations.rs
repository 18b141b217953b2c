//! Any bytes as a file of translated code: the reader refuses it or has its sound records, and what
//! is written of them has an index that finds all of them. As a finished file: what is read is
//! within it.

use dispatch_core::record::Field;
use dispatch_translations::{
    CHUNK, FileHeader, Key, MAGIC, PACKED_MAGIC, PACKED_VERSION, PAGE, Packed, PackedHeader, RecordHeader, StateRecord,
    Translations, VERSION, checksum, chunk_checksum,
};

/// Length of the header, in bytes.
const HEADER: usize = 256;
/// Its bytes before its checksum.
const SUMMED: usize = 144;
/// The offset of the checksum of a finished file's tables.
const TABLES: usize = 160;
/// The offset of the size of the guest's pages, and such a size.
const GUEST_PAGE: (usize, [u8; 4]) = (56, 4096_u32.to_le_bytes());

/// A key that no record has by its hash.
const KEY: Key = Key { hash: 0, pc: 0, cs_base: 0, flags: 0, cflags: 0, based: 0 };

/// Returns whether it is a file of translated code, after its checksums have been corrected.
pub fn run(bytes: &[u8]) -> bool {
    read(bytes);
    read_packed(bytes);
    // Few inputs have the right checksums by chance. With them, the rest of the reader is reached.
    let mut bytes = bytes.to_vec();
    if bytes.len() < HEADER {
        return false;
    }
    let mut packed = bytes.clone();
    seal_packed(&mut packed);
    read_packed(&packed);
    let (page, size) = GUEST_PAGE;
    for (at, right) in [(0, &MAGIC[..]), (MAGIC.len(), &VERSION.to_le_bytes()), (page, &size)] {
        bytes[at..at + right.len()].copy_from_slice(right);
    }
    seal(&mut bytes[..SUMMED + u64::SIZE], SUMMED, 0);
    let slots = FileHeader::read(&bytes).map_or(0, |header| header.slots as usize);
    let mut rest = bytes.get_mut(slots.saturating_mul(8).saturating_add(HEADER)..).unwrap_or_default();
    while let Some(record) = RecordHeader::read(rest) {
        let length = record.length as usize;
        let is_there = (RecordHeader::SIZE..=rest.len()).contains(&length) && length % 16 == 0;
        let (record, behind) = rest.split_at_mut(if is_there { length } else { 16 });
        if is_there {
            seal(record, 0, u64::SIZE);
        }
        rest = behind;
    }
    read(&bytes)
}

/// Writes the checksum of the bytes from `from` on, or of those before `at`, to `at`.
fn seal(bytes: &mut [u8], at: usize, from: usize) {
    let end = if at < from { bytes.len() } else { at };
    let sum = checksum(&bytes[from..end]).to_le_bytes();
    bytes[at..at + sum.len()].copy_from_slice(&sum);
}

/// Corrects what is fixed in the header of a finished file, and its checksums, as far as it has what
/// they are of.
fn seal_packed(bytes: &mut [u8]) {
    let (page, size) = GUEST_PAGE;
    for (at, right) in [(0, &PACKED_MAGIC[..]), (PACKED_MAGIC.len(), &PACKED_VERSION.to_le_bytes()), (page, &size)] {
        bytes[at..at + right.len()].copy_from_slice(right);
    }
    let Some(header) = PackedHeader::read(bytes) else { return };
    let [states, dictionary, slots, chunks] =
        [header.states, header.dictionary, header.slots, header.chunks].map(|count| count as usize);
    let index = PackedHeader::SIZE + states * StateRecord::SIZE + dictionary;
    let sums = index + slots * 4;
    let start = (sums + chunks * 4).next_multiple_of(CHUNK);
    if let Some(tables) = bytes.get(PackedHeader::SIZE..index) {
        let sum = checksum(tables).to_le_bytes();
        bytes[TABLES..TABLES + sum.len()].copy_from_slice(&sum);
    }
    let found: Vec<u32> = bytes.get(start..).unwrap_or_default().chunks_exact(CHUNK).map(chunk_checksum).collect();
    for (place, sum) in found.iter().take(chunks).enumerate() {
        bytes[sums + place * 4..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    seal(&mut bytes[..PackedHeader::SIZE], PackedHeader::SIZE - u64::SIZE, 0);
}

fn read(bytes: &[u8]) -> bool {
    let translations = match Translations::read(bytes) {
        Ok(translations) => translations,
        Err(fault) => {
            assert!(!fault.to_string().contains(char::is_control), "{fault}");
            return false;
        }
    };
    for (block, _) in translations.blocks() {
        let (guest, code) = (block.guest(), block.code());
        assert!(!guest.is_empty() && code.len() >= 4 && guest.len() + code.len() < block.bytes().len());
        assert_eq!(block.header().length as usize, block.bytes().len());
    }
    // Each record has 80 bytes at least, and at most 16 slots.
    let written = translations.packed(usize::MAX);
    assert!(written.len() <= 3 * bytes.len() + 2 * PAGE && written.len() % PAGE == 0);
    let file = Packed::open(&written).expect("it was written");
    let found = translations.blocks().filter(|(block, _)| file.find(&block.key(), block.guest()).is_some());
    assert_eq!(found.count(), file.count());
    let mut twice = Translations::read(bytes).expect("it was read");
    twice.merge(&translations).expect("the origin is the same");
    assert_eq!(twice.count(), translations.count());
    assert!(twice.packed(usize::MAX) == written);
    true
}

fn read_packed(bytes: &[u8]) {
    if let Ok(file) = Packed::open(bytes) {
        for block in file.blocks() {
            assert!(block.guest().len() + block.packed().len() < bytes.len());
        }
        // The index may lead anywhere.
        for hash in (0..64).map(|bits| bits << 26 | bits) {
            let found = file.find(&Key { hash, ..KEY }, b"a");
            assert!(found.is_none_or(|block| block.guest() == b"a"));
        }
    }
}
