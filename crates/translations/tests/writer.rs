//! Finished files: they have every sound record once, and QEMU finds all of them.

mod qemu;
mod unpack;

use dispatch_core::record::Field;
use dispatch_translations::{
    CF_PCREL, CHUNK, Fault, PAGE, Packed, PackedHeader, RecordHeader, SLOTS, Translations, checksum,
};
use proptest::prelude::*;
use qemu::{Draft, GUEST_PAGE, draft, drafts, file, seal_header, write};
use unpack::unpack;

/// Records that QEMU 10.0 made on `x86_64` of Debian 13's `true` for arm64.
const REAL: &[u8] = include_bytes!("../../../fuzz/corpus/translations/real");
/// The same on `aarch64`, of `true` for amd64.
const REAL_AARCH64: &[u8] = include_bytes!("../../../fuzz/corpus/translations/real-aarch64");
/// Length of the header's fields before its checksum, in bytes.
const SUMMED: usize = 168;

/// Asserts what is true for every finished file that has room for everything, and returns it.
fn finished(translations: &Translations) -> Vec<u8> {
    let bytes = translations.packed(usize::MAX);
    assert_eq!(bytes.len() % PAGE, 0);
    let file = Packed::open(&bytes).unwrap();
    let header = PackedHeader::read(&bytes).unwrap();
    assert!(header.slots as usize >= SLOTS.max(2 * file.count()));
    assert_eq!((file.origin(), file.blocks().count()), (translations.origin(), file.count()));
    let mut found = 0;
    for (block, _) in translations.blocks() {
        let Some(packed) = file.find(&block.key(), block.guest()) else { continue };
        found += 1;
        assert_eq!((packed.guest(), packed.pc() % 4096), (block.guest(), block.key().pc % 4096));
        assert_eq!(packed.record().code_size, block.header().code_size);
        assert_eq!(packed.record().search_size, block.header().search_size);
        assert_eq!(unpack(packed.packed(), file.dictionary()).unwrap(), block.body());
        assert_eq!(file.find(&block.key(), &[block.guest(), b"x"].concat()), None);
    }
    assert_eq!(found, file.count(), "all are found");
    bytes
}

fn read(drafts: &[Draft]) -> Translations {
    let records: Vec<Vec<u8>> = drafts.iter().map(Draft::bytes).collect();
    Translations::read(&file(&records, 64)).unwrap()
}

fn merged(all: &[&[Draft]]) -> Translations {
    let mut all = all.iter().map(|drafts| read(drafts));
    let mut first = all.next().unwrap();
    all.for_each(|next| first.merge(&next).unwrap());
    first
}

/// The guest's bytes of each record of a file.
fn guests(file: &[u8]) -> Vec<&[u8]> {
    Packed::open(file).unwrap().blocks().map(|block| block.guest()).collect()
}

#[test]
fn no_records_are_a_file() {
    let file = finished(&read(&[]));
    assert_eq!((file.len(), guests(&file).len()), (PAGE, 0));
}

#[test]
fn records_of_real_emulators_are_read_and_packed() {
    for (machine, bytes) in [(62, REAL), (183, REAL_AARCH64)] {
        let real = Translations::read(bytes).unwrap();
        let code: usize = real.blocks().map(|(block, _)| block.code().len()).sum();
        assert!(real.count() > 3 && real.left_out() == 0 && code > 100);
        let origin = real.origin();
        assert!(origin.machine == machine && origin.page == GUEST_PAGE && !origin.model.is_empty());
        assert!(origin.is_of(&origin.build[..20]) && origin.is_of(&origin.build));
        assert!(!origin.is_of(&origin.build[..19]) && !origin.is_of(&[1; 20]) && !origin.is_of(&[0; 33]));
        let packed = finished(&real);
        assert_eq!(guests(&packed).len(), real.count());
        assert_eq!(packed, finished(&Translations::read(bytes).unwrap()), "the same records give the same bytes");
    }
}

/// On `aarch64` a reference is an instruction, whose lower 26 bits are a distance that is not negative.
#[test]
fn references_on_aarch64_are_instructions() {
    let real = Translations::read(REAL_AARCH64).unwrap();
    let mut exits = 0;
    for (block, _) in real.blocks() {
        let (code, RecordHeader { nrefs, nexits, .. }) = (block.code(), *block.header());
        for (number, offset) in block.references().enumerate() {
            let instruction = u32::read(&code[usize::from(offset)..]).unwrap();
            let distance = instruction << 6 >> 4;
            let limit = if number < nrefs.into() { 32 << 20 } else { 4096 };
            assert!(offset % 4 == 0 && instruction >> 26 & 31 == 5 && distance < limit, "{instruction:#x}");
        }
        exits += nexits;
    }
    assert!(exits > 0);
}

/// The body of a record ends in numbers, whose order QEMU knows.
#[test]
fn a_body_has_the_code_the_unwind_information_and_the_numbers() {
    let mut one = draft(1, b"abcd");
    one.code = (0..200).collect();
    // A reference to QEMU, and one to the prologue.
    one.references = vec![190, 20];
    one.header.icount = 300;
    let all = read(&[one.clone()]);
    let body = all.blocks().next().unwrap().0.body();
    let numbers = [0xac, 2, 0xc5, 1, 0xc8, 1, 0, 0, 2, 20, 0xd5, 2];
    assert_eq!(body, [&one.code[..], &one.unwind, &numbers].concat());
}

#[test]
fn the_first_of_two_equal_records_is_kept() {
    let first = draft(5, b"abcd");
    let mut other = first.clone();
    other.code = vec![0xcc; 8];
    let mut page = first.clone();
    page.header.pc += 8;
    let longer = draft(5, b"abcde");
    let all = read(&[first.clone(), other.clone(), page.clone(), longer.clone(), first.clone()]);
    let kept: Vec<Vec<u8>> = all.blocks().map(|(block, _)| block.bytes().to_vec()).collect();
    assert_eq!(kept, [first, page, longer].map(|draft| draft.bytes()));
    assert!(all.left_out() == 0 && all.blocks().all(|(_, files)| files == 1));
    finished(&all);
}

#[test]
fn records_that_more_files_had_come_first_and_the_last_ones_have_no_room() {
    let (a, b, c, d) = (draft(5, b"a"), draft(6, b"b"), draft(5, b"c"), draft(9, b"d"));
    let all = merged(&[&[a.clone(), b.clone()], &[c.clone(), b.clone(), d.clone()], &[d.clone(), b.clone()]]);
    let files: Vec<(&[u8], u32)> = all.blocks().map(|(block, files)| (block.guest(), files)).collect();
    assert_eq!(files, [(&b"a"[..], 1), (b"b", 3), (b"c", 1), (b"d", 2)]);
    assert_eq!(guests(&finished(&all)), [b"b", b"d", b"a", b"c"]);
    let lengths: Vec<usize> = Packed::open(&finished(&all))
        .unwrap()
        .blocks()
        .map(|block| usize::from(block.record().length).next_multiple_of(2))
        .collect();
    assert_eq!(guests(&all.packed(lengths.iter().sum())).len(), 4);
    assert_eq!(guests(&all.packed(lengths.iter().sum::<usize>() - 1)), [b"b", b"d", b"a"]);
    assert_eq!(guests(&all.packed(lengths[0])), [b"b"]);
    assert_eq!(guests(&all.packed(0)).len(), 0);
}

#[test]
fn files_of_different_origins_are_not_merged() {
    let mut other = file(&[], 64);
    other[48] ^= 1;
    seal_header(&mut other);
    assert_eq!(read(&[]).merge(&Translations::read(&other).unwrap()), Err(Fault::Other));
}

/// Only code that depends on its address needs more of it than the place in the page.
#[test]
fn an_address_is_kept_if_the_code_depends_on_it() {
    let mut fixed = draft(1, b"abcd");
    fixed.header.pc = 0x1234_5678_9abc;
    let mut elsewhere = fixed.clone();
    elsewhere.header.pc += 4096;
    let mut relative = draft(1, b"abcd");
    (relative.header.pc, relative.header.cflags) = (0x123, CF_PCREL);
    let all = read(&[fixed, elsewhere, relative]);
    let bytes = finished(&all);
    let pcs: Vec<u64> = Packed::open(&bytes).unwrap().blocks().map(|block| block.pc()).collect();
    assert_eq!(pcs, [0x1234_5678_9abc, 0x1234_5678_aabc, 0x123]);
}

/// QEMU looks at 32 slots for a hash, so it can find no more records with one hash.
#[test]
fn more_records_with_one_hash_than_can_be_found_are_left_out() {
    let drafts: Vec<Draft> = (0..100_u8).map(|number| draft(u32::from(number == 50), &[number])).collect();
    let file = finished(&read(&drafts));
    let kept = guests(&file).concat();
    assert_eq!(kept, (0..32).chain([50]).collect::<Vec<u8>>(), "the other hash has a slot behind them");
}

/// If records have no room, the index is smaller, and not all others that had a slot have one now.
#[test]
fn more_records_with_one_place_than_a_smaller_index_can_hold_are_left_out() {
    // Half of them have one place in 1024 slots, and all but the last one in 512.
    let hashes = (0..64).map(|number| number * 512).chain([256]);
    let drafts: Vec<Draft> = hashes.zip(0..).map(|(hash, number)| draft(hash, &[number])).collect();
    let all = read(&drafts);
    let whole = finished(&all);
    let file = Packed::open(&whole).unwrap();
    assert_eq!(file.count(), 65);
    let lengths = file.blocks().map(|block| usize::from(block.record().length).next_multiple_of(2));
    let room = lengths.take(40).sum();
    let cut = all.packed(room);
    assert_eq!(guests(&cut).concat(), (0..32).collect::<Vec<u8>>());
    let file = Packed::open(&cut).unwrap();
    let found = all.blocks().filter(|(block, _)| file.find(&block.key(), block.guest()).is_some());
    assert_eq!(found.count(), 32);
}

#[test]
fn an_index_grows_until_every_record_is_near_its_place() {
    let slots = |step: u32| {
        let drafts: Vec<Draft> = (0..60).map(|number| draft(number * step, b"abcd")).collect();
        let file = finished(&read(&drafts));
        assert_eq!(guests(&file).len(), 60);
        PackedHeader::read(&file).unwrap().slots
    };
    // Different places; 15 records for each of 4 places; all for one place until there are 256 slots,
    // or 512.
    assert_eq!([1, 32, 128, 256].map(slots), [128, 128, 256, 512]);
}

#[test]
fn every_changed_bit_of_a_finished_file_is_noticed_or_does_not_matter() {
    // The last one extends over two chunks: the guest's bytes are not packed.
    let long = [b'l'; CHUNK];
    let all = read(&[draft(1, b"abcd"), draft(1, b"efghij"), draft(0xffff_ffff, b"k"), draft(7, &long)]);
    let good = finished(&all);
    assert_eq!(PackedHeader::read(&good).unwrap().chunks, 2);
    let whole = Packed::open(&good).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            let Ok(file) = Packed::open(&damaged) else { continue };
            assert!(at >= PackedHeader::SIZE, "{at}");
            for (block, _) in all.blocks() {
                let found = file.find(&block.key(), block.guest());
                assert!(found.is_none() || found == whole.find(&block.key(), block.guest()), "{at}");
            }
            assert!(file.blocks().zip(whole.blocks()).all(|(a, b)| a == b), "{at}");
        }
    }
    for length in 0..good.len() {
        if let Ok(file) = Packed::open(&good[..length]) {
            assert!(file.blocks().zip(whole.blocks()).all(|(a, b)| a == b), "{length}");
        }
    }
}

#[test]
fn headers_of_finished_files_that_qemu_would_refuse_are_refused() {
    let good = finished(&read(&[draft(1, b"abcd")]));
    let fault = |at: usize, new: &[u8]| {
        let mut file = good.clone();
        file[at..at + new.len()].copy_from_slice(new);
        let sum = checksum(&file[..SUMMED]);
        write(&mut file, SUMMED, &sum);
        Packed::open(&file).map(|file| file.count())
    };
    assert_eq!(fault(12, &good[12..16]), Ok(1));
    assert_eq!(fault(0, b"tb-recs"), Err(Fault::Magic));
    assert_eq!(fault(8, &[1]), Err(Fault::Version(1)));
    for slots in [0, 1, 16, 31, 33, 48, 1 << 12, 1 << 31, u32::MAX] {
        assert_eq!(fault(12, &slots.to_le_bytes()), Err(Fault::Index), "{slots}");
    }
    // More states or a longer dictionary than the file has, one of another length, no page.
    assert_eq!(fault(144, &u32::MAX.to_le_bytes()), Err(Fault::Index));
    assert_eq!(fault(148, &(1_u32 << 13).to_le_bytes()), Err(Fault::Index));
    assert_eq!(fault(148, &[9]), Err(Fault::Index));
    assert_eq!(fault(144, &[2]), Err(Fault::Checksum));
    // More chunks than the file has room for.
    assert_eq!(fault(156, &[1]), Ok(1));
    assert_eq!(fault(156, &[4]), Err(Fault::End));
    assert_eq!(fault(156, &u32::MAX.to_le_bytes()), Err(Fault::Index));
    assert_eq!(fault(56, &[0; 4]), Err(Fault::Origin));
    assert_eq!(fault(152, &u32::MAX.to_le_bytes()), Ok(u32::MAX as usize), "nothing is allocated for it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_qemu_wrote_comes_back_once(first in drafts(40), second in drafts(40)) {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        let mut known: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for draft in first.iter().chain(&second) {
            let bytes = draft.bytes();
            let key = ([&bytes[12..40], &bytes[52..54]].concat(), draft.guest.clone());
            if !known.contains(&key) {
                known.push(key);
                kept.push(bytes);
            }
        }
        let both = merged(&[&first, &second]);
        let came: Vec<Vec<u8>> = both.blocks().map(|(block, _)| block.bytes().to_vec()).collect();
        prop_assert_eq!(came, kept);
        finished(&both);
    }

    #[test]
    fn damage_of_a_finished_file_never_makes_a_record(
        drafts in drafts(12),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = read(&drafts);
        let good = finished(&all);
        let whole = Packed::open(&good).unwrap();
        let mut damaged = good.clone();
        // The header, the states and the dictionary are covered by two checksums. Behind them are the
        // index, the chunks' checksums and the chunks.
        let header = PackedHeader::read(&good).unwrap();
        let start = PackedHeader::SIZE + header.states as usize * 24 + header.dictionary as usize;
        let chunks = (start + header.slots as usize * 4 + header.chunks as usize * 4).next_multiple_of(CHUNK);
        let end = chunks + header.chunks as usize * CHUNK;
        for (at, bits) in flips {
            let at = start + at.index(end - start);
            damaged[at] ^= bits;
        }
        damaged.truncate(start + cut.index(damaged.len() + 1 - start));
        if let Ok(file) = Packed::open(&damaged) {
            for (block, _) in all.blocks() {
                let found = file.find(&block.key(), block.guest());
                prop_assert!(found.is_none() || found == whole.find(&block.key(), block.guest()));
            }
        }
    }
}
