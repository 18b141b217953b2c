//! Finished files: they have every sound record once, and QEMU finds all of them.

mod qemu;

use dispatch_core::record::Field;
use dispatch_translations::{Fault, File, FileHeader, PAGE, SLOTS, Translations};
use proptest::prelude::*;
use qemu::{Draft, GUEST_PAGE, HEADER, draft, drafts, file, seal_header};

/// Records that QEMU 10.0 made on `x86_64` of Debian 13's `true` for arm64.
const REAL: &[u8] = include_bytes!("../../../fuzz/corpus/translations/real");

/// Asserts what is true for every finished file, and returns it.
fn finished(translations: &Translations) -> Vec<u8> {
    let bytes = translations.to_bytes();
    assert_eq!(bytes.len() % PAGE, 0);
    let header = FileHeader::read(&bytes).unwrap();
    let end =
        HEADER + 8 * header.slots as usize + translations.blocks().map(|block| block.bytes().len()).sum::<usize>();
    assert_eq!((header.count, header.end), (translations.count() as u64, end as u64));
    assert!(header.slots as usize >= SLOTS.max(2 * translations.count()) && bytes[end..].iter().all(|byte| *byte == 0));
    let file = File::open(&bytes).unwrap();
    assert_eq!(file.blocks().map(Result::unwrap).collect::<Vec<_>>(), translations.blocks().collect::<Vec<_>>());
    for block in translations.blocks() {
        assert_eq!(file.find(&block.key(), block.guest()), Some(block));
        assert_eq!(file.find(&block.key(), &[block.guest(), b"x"].concat()), None);
    }
    let again = Translations::read(&bytes).unwrap();
    assert_eq!((again.left_out(), again.origin()), (0, translations.origin()));
    assert!(again.to_bytes() == bytes, "it is written as it was");
    bytes
}

fn read(drafts: &[Draft]) -> Translations {
    let records: Vec<Vec<u8>> = drafts.iter().map(Draft::bytes).collect();
    Translations::read(&file(&records, 64)).unwrap()
}

#[test]
fn no_records_are_a_file() {
    assert_eq!(finished(&read(&[])).len(), PAGE);
}

#[test]
fn records_of_a_real_emulator_are_read() {
    let real = Translations::read(REAL).unwrap();
    assert!(real.count() > 3 && real.left_out() == 0 && real.code_bytes() > 100);
    let origin = real.origin();
    assert!(origin.machine == 62 && origin.page == GUEST_PAGE && !origin.model.is_empty());
    assert!(origin.is_of(&origin.build[..20]) && origin.is_of(&origin.build));
    assert!(!origin.is_of(&origin.build[..19]) && !origin.is_of(&[1; 20]) && !origin.is_of(&[0; 33]));
    assert!(finished(&real) == REAL, "it is written as it was");
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
    let kept: Vec<Vec<u8>> = all.blocks().map(|block| block.bytes().to_vec()).collect();
    assert_eq!(kept, [first, page, longer].map(|draft| draft.bytes()));
    assert_eq!(all.left_out(), 0);
    finished(&all);
}

#[test]
fn files_of_one_origin_are_merged_in_order() {
    let (a, b, c) = (draft(5, b"a"), draft(6, b"b"), draft(5, b"c"));
    let merged = read(&[a.clone(), b.clone()]).merge(&read(&[b.clone(), c.clone(), a.clone()])).unwrap();
    assert_eq!(merged, read(&[a, b, c]));
    let mut other = merged.to_bytes();
    other[48] ^= 1;
    seal_header(&mut other);
    assert_eq!(merged.merge(&Translations::read(&other).unwrap()), Err(Fault::Other));
}

/// QEMU looks at 32 slots for a hash, so it can find no more records with one hash.
#[test]
fn more_records_with_one_hash_than_can_be_found_are_left_out() {
    let drafts: Vec<Draft> = (0..100_u8).map(|number| draft(u32::from(number == 50), &[number])).collect();
    let all = read(&drafts);
    assert_eq!((all.count(), all.left_out()), (33, 67), "the other hash has a slot behind them");
    let kept = all.blocks().map(|block| block.guest()[0]).collect::<Vec<_>>();
    assert_eq!(kept, (0..32).chain([50]).collect::<Vec<u8>>());
    finished(&all);
}

#[test]
fn an_index_grows_until_every_record_is_near_its_place() {
    let slots = |step: u32| {
        let drafts: Vec<Draft> = (0..60).map(|number| draft(number * step, b"abcd")).collect();
        let all = read(&drafts);
        assert_eq!(all.left_out(), 0);
        FileHeader::read(&finished(&all)).unwrap().slots
    };
    // Different places; 15 records for each of 4 places; all for one place until there are 256 slots,
    // or 512.
    assert_eq!([1, 32, 128, 256].map(slots), [128, 128, 256, 512]);
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
        let both = read(&first).merge(&read(&second)).unwrap();
        let came: Vec<Vec<u8>> = both.blocks().map(|block| block.bytes().to_vec()).collect();
        prop_assert_eq!(both.left_out() + came.len(), kept.len());
        if both.left_out() == 0 {
            prop_assert_eq!(came, kept);
        }
        finished(&both);
    }
}
