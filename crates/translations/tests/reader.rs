//! Files that are damaged, cut short or hostile: no panic, and no record that was not written.

mod qemu;

use dispatch_core::record::Field;
use dispatch_translations::{Fault, Packed, RecordHeader, Translations};
use proptest::prelude::*;
use qemu::{Draft, HEADER, draft, drafts, file, seal, seal_header};

/// Offsets in the header.
const END: usize = 152;
const RESERVED: usize = 168;
const SLOTS: usize = 32;
/// Where the records of a file with [`SLOTS`] begin.
const FIRST: usize = HEADER + 8 * SLOTS;

fn bytes(drafts: &[Draft]) -> Vec<Vec<u8>> {
    drafts.iter().map(Draft::bytes).collect()
}

/// Three records that differ.
fn three() -> Vec<Vec<u8>> {
    bytes(&[draft(1, b"abcd"), draft(1, b"efghij"), draft(0xffff_ffff, b"k")])
}

/// Asserts that no record was made up.
fn check(damaged: &[u8], good: &[Vec<u8>]) -> Option<Translations> {
    let read = Translations::read(damaged).ok()?;
    assert!(read.blocks().all(|(block, _)| good.iter().any(|good| good == block.bytes())));
    Some(read)
}

/// A file with these records, and space for more behind them.
fn spacious(records: &[Vec<u8>]) -> Vec<u8> {
    let mut file = file(records, SLOTS);
    file.resize(4096, 0);
    file
}

#[test]
fn every_changed_bit_is_noticed_or_does_not_matter() {
    let records = three();
    let good = spacious(&records);
    let whole = Translations::read(&good).unwrap();
    let end = FIRST + records.iter().map(Vec::len).sum::<usize>();
    assert_eq!((whole.count(), good.len()), (3, 4096));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            let read = check(&damaged, &records);
            match at {
                // Up to the checksum.
                0..END => assert_eq!(read, None, "{at}"),
                // Fewer records, or the zeros behind them too.
                END..160 => assert!(read.is_none_or(|read| read.count() <= 3), "{at}"),
                // The number of records, the reserved part, the index.
                160..FIRST => assert_eq!(read.as_ref(), Some(&whole), "{at}"),
                _ if at < end => {
                    let read = read.unwrap();
                    assert!(read.count() < 3 && read.left_out() > 0, "{at}");
                }
                _ => assert_eq!(read.as_ref(), Some(&whole), "{at}"),
            }
        }
    }
}

#[test]
fn a_file_is_ignored_if_it_is_cut_anywhere_before_the_end_of_its_records() {
    let records = three();
    let good = spacious(&records);
    let end = FIRST + records.iter().map(Vec::len).sum::<usize>();
    for length in 0..=good.len() {
        let expected = match length {
            0..HEADER => Err(Fault::Magic),
            HEADER..FIRST => Err(Fault::Index),
            _ if length < end => Err(Fault::End),
            _ => Ok(3),
        };
        assert_eq!(Translations::read(&good[..length]).map(|read| read.count()), expected, "{length}");
    }
}

#[test]
fn headers_that_qemu_would_refuse_are_refused() {
    let good = file(&three(), SLOTS);
    let fault = |at: usize, new: &[u8]| {
        let mut file = good.clone();
        file[at..at + new.len()].copy_from_slice(new);
        seal_header(&mut file);
        Translations::read(&file).map(|read| read.count())
    };
    assert_eq!(fault(0, b"tb-rect"), Err(Fault::Magic));
    assert_eq!(fault(8, &[2]), Err(Fault::Version(2)));
    for slots in [0, 1, 16, 31, 33, 48, 1 << 10, 1 << 31, u32::MAX] {
        assert_eq!(fault(12, &slots.to_le_bytes()), Err(Fault::Index), "{slots}");
    }
    // No page, an odd one, a model without an end, something behind it, an odd character, no UTF-8.
    for (at, new) in
        [(56, vec![0; 4]), (56, vec![9]), (64, vec![b'x'; 80]), (143, vec![1]), (65, vec![7]), (64, vec![255])]
    {
        assert_eq!(fault(at, &new), Err(Fault::Origin), "{at}");
    }
    for end in [0, 1, FIRST as u64 - 16, FIRST as u64 + 8, good.len() as u64 + 16, 1 << 63, u64::MAX - 15] {
        assert_eq!(fault(END, &end.to_le_bytes()), Err(Fault::End), "{end}");
    }
    assert_eq!(fault(END, &(FIRST as u64).to_le_bytes()), Ok(0));
    assert_eq!(fault(160, &[255; 8]), Ok(3), "the number of records is for writers");
    assert_eq!(fault(RESERVED, &[255; 88]), Ok(3));
}

#[test]
fn records_with_parts_outside_themselves_are_left_out() {
    let records = three();
    let sealed = |at: usize, new: &[u8]| {
        let mut records = records.clone();
        records[1][at..at + new.len()].copy_from_slice(new);
        seal(&mut records[1]);
        let read = Translations::read(&file(&records, SLOTS)).unwrap();
        (read.count(), read.left_out())
    };
    // An impossible length: nobody knows where the next record is.
    for length in [0, 16, 48, 63, 65, 72, 1 << 31, u32::MAX - 15, u32::MAX] {
        assert_eq!(sealed(8, &length.to_le_bytes()), (1, 1), "length {length}");
    }
    let length = records[1].len() as u16;
    // Guest's bytes, references, code, unwind information.
    for (at, values) in [
        (40, vec![0, length, 0x8000, 0xffff]),
        (54, vec![length / 2, 0x8000, 0xffff]),
        (56, vec![length / 2, 0x8000, 0xffff]),
        (58, vec![0, 1, 3, length, 0x8000, 0xffff]),
        (60, vec![length, 0x8000, 0xffff]),
        // The exits: 8 bytes of code.
        (44, vec![9, 0xfffe]),
        (46, vec![9, 0xfffe]),
        (48, vec![5, 9, 0xfffe]),
        (50, vec![5, 9, 0xfffe]),
        // The first reference, behind 6 bytes of the guest.
        (70, vec![5, 0xfffe, 0xffff]),
    ] {
        for value in values {
            assert_eq!(sealed(at, &value.to_le_bytes()), (2, 1), "{value} at {at}");
        }
    }
    // The guest's bytes go on in the next page: QEMU never looks for such a record.
    assert_eq!(sealed(16, &4091_u64.to_le_bytes()), (2, 1));
    // Everything that is still within.
    for (at, value) in [(44, 8), (46, 8), (48, 4), (50, 4), (70, 4), (16, 4090), (60, 8)] {
        assert_eq!(sealed(at, &u16::to_le_bytes(value)), (3, 0), "{value} at {at}");
    }
}

#[test]
fn zeros_between_records_are_passed_over_and_other_bytes_end_them() {
    let mut records = three();
    records.insert(1, vec![0; 160]);
    records.push(vec![0; 16]);
    let read = |records: &[Vec<u8>]| {
        let read = Translations::read(&file(records, SLOTS)).unwrap();
        (read.count(), read.left_out())
    };
    assert_eq!(read(&records), (3, 0));
    records[1][88] = 1;
    assert_eq!(read(&records), (1, 1));
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let faults =
        [Fault::Magic, Fault::Version(7), Fault::Checksum, Fault::Index, Fault::End, Fault::Origin, Fault::Other];
    let told = faults.map(|fault| fault.to_string());
    let expected = [
        "not a file of translated code",
        "translated code in another version of its format: 7",
        "the header or a table of the translated code is damaged",
        "a table of the translated code is outside the file",
        "the translated code is cut short",
        "the origin of the translated code is damaged",
        "translated code for another emulator, host or CPU model",
    ];
    assert_eq!(told, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damage_never_makes_a_record(
        drafts in drafts(12),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..20),
        pages in proptest::collection::vec((any::<prop::sample::Index>(), 1..600_usize, any::<u8>()), 0..3),
        behind in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let records = bytes(&drafts);
        let mut damaged = file(&records, SLOTS);
        let start = if behind { HEADER } else { 0 };
        for (at, bits) in flips {
            let at = start + at.index(damaged.len() - start);
            damaged[at] ^= bits;
        }
        for (at, length, byte) in pages {
            let at = start + at.index(damaged.len() - start);
            damaged[at..].iter_mut().take(length).for_each(|it| *it = byte);
        }
        check(&damaged, &records);
        damaged.truncate(cut.index(damaged.len() + 1));
        check(&damaged, &records);
    }

    /// A file made by someone hostile has right checksums.
    #[test]
    fn sealed_nonsense_is_read_within_bounds(
        drafts in drafts(6),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 8..96_usize, any::<u16>()), 0..12),
    ) {
        let mut records = bytes(&drafts);
        for (record, at, value) in changes {
            if records.is_empty() {
                break;
            }
            let record = record.index(records.len());
            let record = &mut records[record];
            let at = at.min(record.len() - 2);
            record[at..at + 2].copy_from_slice(&value.to_le_bytes());
            seal(record);
        }
        let hostile = file(&records, SLOTS);
        let read = Translations::read(&hostile).unwrap();
        for (block, _) in read.blocks() {
            let RecordHeader { size, code_size, .. } = *block.header();
            assert_eq!((block.guest().len(), block.code().len()), (size.into(), code_size.into()));
            assert!(block.bytes().len() >= RecordHeader::SIZE);
        }
        let packed = read.packed(usize::MAX);
        assert_eq!(Packed::open(&packed).unwrap().blocks().count(), Packed::open(&packed).unwrap().count());
    }
}
