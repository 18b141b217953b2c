//! Gives the reader of images input that no writer produces. The reader refuses it, or returns only
//! what docs/image-format.md allows. It never panics.

// Tests may panic: that is how they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::type_complexity
)]

use dispatch_core::elf::{Machine, PF_R, PF_W, PF_X};
use dispatch_core::emulator_file::MAX_SPAN;
use dispatch_core::image::{
    COMMAND, Embedded, IMAGE_MAGIC, IMAGE_VERSION, Image, ImageFault, ImageHeader, OriginRecord, ProgramRecord,
    SegmentRecord, WordRecord, checksum,
};
use dispatch_core::record::{Extent, Field};
use dispatch_core::table::{RowLists, RowRecord, TABLE_MAGIC, TableHeader};
use proptest::prelude::*;

const HOST: Machine = Machine(62);
const PAGE: u64 = 0x1000;
/// Offset of the body in the payload.
const BODY: u64 = 0x1000;
const BODY_LEN: u64 = 0x3000;
const LEN: u64 = BODY + BODY_LEN;
/// Lowest address of the program.
const LOW: u64 = 0x40_0000;

/// The contents of the table's one row, of the one program, and of its records.
#[derive(Clone, Copy, Debug)]
struct Parts {
    program: ProgramRecord,
    segments: [SegmentRecord; 3],
    word: WordRecord,
}

impl Parts {
    /// Text, data and a gap between them.
    fn good() -> Self {
        let empty = Extent { offset: 0, len: 0 };
        let segment =
            |page: u64, flags: u32| SegmentRecord { address: LOW + page * PAGE, len: PAGE, flags: flags.into() };
        Parts {
            program: ProgramRecord {
                name: empty,
                relocatable: 1,
                low: LOW,
                high: LOW + 0x10_0000,
                align: PAGE,
                base: 0x2000_0000_0000,
                entry: LOW + 0x100,
                phdr: LOW + 64,
                phnum: 3,
                body: Extent { offset: BODY, len: BODY_LEN },
                segments: empty,
                words: empty,
            },
            segments: [segment(0, PF_R | PF_X), segment(1, 0), segment(2, PF_R | PF_W)],
            word: WordRecord { address: LOW + 2 * PAGE + 8, value: 4711 },
        }
    }

    /// The payload up to the body. Empty extents of the program are filled in.
    fn payload(&self) -> Vec<u8> {
        let mut bytes = vec![0; ImageHeader::SIZE];
        let mut add = |part: &[u8]| {
            let extent = Extent { offset: bytes.len() as u64, len: part.len() as u64 };
            bytes.extend(part);
            extent
        };
        let table = add(&table());
        let json = add(b"{}");
        let name = add(b"emulator\0");
        let segments = add(&self.segments.iter().flat_map(encode).collect::<Vec<u8>>());
        let words = add(&encode(&self.word));
        let or = |said: Extent, known: Extent| if said == (Extent { offset: 0, len: 0 }) { known } else { said };
        let program = ProgramRecord {
            name: or(self.program.name, name),
            segments: or(self.program.segments, segments),
            words: or(self.program.words, words),
            ..self.program
        };
        // The command and the emulator are the same program here.
        let programs = add(&[encode(&program), encode(&program)].concat());
        let origin = OriginRecord { path: name, version: name, digest: [0; 32], size: 1 };
        let origins = add(&[encode(&origin), encode(&origin)].concat());
        let header = ImageHeader {
            magic: IMAGE_MAGIC,
            version: IMAGE_VERSION,
            host: HOST.0,
            reserved: 0,
            page: PAGE,
            len: LEN,
            table,
            programs,
            origins,
            json,
            seed: 0,
            identity: [7; 32],
            checksum: 0,
        };
        seal(&mut bytes, &header);
        assert!(bytes.len() as u64 <= BODY, "everything but the body is in front of it");
        bytes
    }
}

/// A table with one row, whose emulator is program 1.
fn table() -> Vec<u8> {
    let strings = (TableHeader::SIZE + RowRecord::SIZE) as u64;
    let empty = Extent { offset: strings, len: 0 };
    let lists = RowLists {
        name: Extent { offset: strings, len: 8 },
        machines: Extent { offset: strings + 8, len: 2 },
        osabi: Extent { offset: strings + 10, len: 1 },
        paths: empty,
        cpus: empty,
        options: empty,
        environment: empty,
        sysroots: empty,
        asked: empty,
        below: empty,
    };
    let row = RowRecord { class: 2, data: 1, program: 1, lists, ..RowRecord::default() };
    [encode(&TableHeader { magic: TABLE_MAGIC, rows: 1 }), encode(&row), b"aarch64\0\xb7\x00\x00".to_vec()].concat()
}

fn encode(record: &impl Field) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut |part| bytes.extend_from_slice(part));
    bytes
}

/// Puts `header` in front, with a correct checksum.
fn seal(payload: &mut [u8], header: &ImageHeader) {
    let without = encode(header);
    let checksum = checksum(&without[..ImageHeader::SIZE - 8]);
    payload[..ImageHeader::SIZE].copy_from_slice(&encode(&ImageHeader { checksum, ..*header }));
}

/// Reads everything in the image, and asserts that it is as documented.
fn read_all(payload: &[u8], len: u64) -> Result<usize, ImageFault> {
    let image = Image::read(payload, len, HOST, PAGE)?;
    let mut found = 0;
    for program in image.programs() {
        holds(&image, &program?);
        found += 1;
    }
    for row in image.table.rows() {
        if let Some(program) = image.emulator(&row?)? {
            holds(&image, &program);
        }
    }
    Ok(found)
}

/// The interpreter relies on this: no sum overflows, and every range lies where it must.
fn holds(image: &Image<'_>, program: &Embedded<'_>) {
    let ProgramRecord { low, high, align, base, body, entry, phdr, phnum, relocatable, .. } = *program.record();
    let page = image.page;
    assert!(page == PAGE && align.is_power_of_two() && align <= MAX_SPAN);
    assert!([low, high, base, body.offset, body.len].iter().all(|number| number % page == 0));
    assert!(body.offset.checked_add(body.len).unwrap() <= image.len);
    let end = low.checked_add(body.len).unwrap();
    assert!(low < high && end <= high && high - low <= MAX_SPAN);
    assert!((low..end).contains(&entry) && (low..end).contains(&phdr) && phnum <= 0xffff);
    assert!(relocatable == 1 || (relocatable == 0 && base == 0));
    let mut reached = low;
    for SegmentRecord { address, len, flags } in program.segments() {
        assert!(address >= reached && address % page == 0 && len % page == 0);
        reached = address.checked_add(len).unwrap();
        assert!(reached <= high && flags <= 7 && flags & 3 != 3);
    }
    for word in program.words() {
        let inside = |s: &SegmentRecord| s.address <= word.address && word.address + 8 <= s.address + s.len;
        let segment = program.segments().find(inside).expect("a word is in a segment");
        assert!(word.address % 8 == 0 && segment.flags & u64::from(PF_W) != 0);
    }
}

#[test]
fn what_was_written_is_read() {
    let parts = Parts::good();
    let payload = parts.payload();
    assert_eq!(read_all(&payload, LEN), Ok(2));
    let image = Image::read(&payload, LEN, HOST, PAGE).unwrap();
    let row = image.table.rows().next().unwrap().unwrap();
    let program = image.emulator(&row).unwrap().unwrap();
    assert_eq!((row.name(), program.name()), (c"aarch64", c"emulator"));
    assert!(program.segments().eq(parts.segments) && program.words().eq([parts.word]));
    assert_eq!(program.record().base, parts.program.base);
    assert_eq!(image.program(COMMAND).map(|command| *command.record()), Ok(*program.record()));
    assert_eq!(image.program(2).map(|_| ()), Err(ImageFault::Corrupt));
    assert_eq!(image.program(u32::MAX).map(|_| ()), Err(ImageFault::Corrupt));
    assert_eq!(image.identity(), [7; 32]);
    assert_eq!(Image::without_programs(image.table).identity(), [0; 0]);
}

#[test]
fn every_changed_byte_of_the_header_is_noticed() {
    let good = Parts::good().payload();
    for at in 0..ImageHeader::SIZE {
        for change in 1..=u8::MAX {
            let mut bad = good.clone();
            bad[at] ^= change;
            assert!(Image::read(&bad, LEN, HOST, PAGE).is_err(), "byte {at} xor {change}");
        }
    }
}

#[test]
fn fields_of_the_header_are_checked_for_themselves() {
    // With a matching checksum, as a faulty writer would produce.
    let good = Parts::good().payload();
    let header = ImageHeader::read(&good).unwrap();
    let many = [1, 7, 8, PAGE - 1, LEN, LEN + 1, 1 << 32, 1 << 63, u64::MAX - 7, u64::MAX];
    let mut refused = 0;
    let mut attempt = |header: ImageHeader| {
        let mut bad = good.clone();
        seal(&mut bad, &header);
        refused += usize::from(read_all(&bad, LEN).is_err());
    };
    for number in many {
        attempt(ImageHeader { page: number, ..header });
        attempt(ImageHeader { len: number, ..header });
        for len in many {
            let extent = Extent { offset: number, len };
            attempt(ImageHeader { table: extent, ..header });
            attempt(ImageHeader { programs: extent, ..header });
        }
    }
    assert!(refused >= 100, "{refused}");
    let header_with = |change: &dyn Fn(&mut ImageHeader)| {
        let (mut bad, mut header) = (good.clone(), header);
        change(&mut header);
        seal(&mut bad, &header);
        read_all(&bad, LEN)
    };
    assert_eq!(header_with(&|header| header.version = 1), Err(ImageFault::Version(1)));
    assert_eq!(header_with(&|header| header.host = 183), Err(ImageFault::Host(Machine(183))));
    assert_eq!(header_with(&|header| header.magic = [0; 8]), Err(ImageFault::NoPayload));
    assert_eq!(header_with(&|header| header.len = LEN + PAGE), Err(ImageFault::CutShort));
    assert_eq!(header_with(&|header| header.page = PAGE / 2), Err(ImageFault::Page));
    assert_eq!(header_with(&|header| header.page = 4 * PAGE), Ok(2));
}

#[test]
fn the_pages_of_this_host_decide() {
    let good = Parts::good().payload();
    let found = |page| Image::read(&good, LEN, HOST, page).and_then(|image| image.program(1)).map(|_| ());
    // An image for larger pages works with smaller ones.
    assert_eq!([PAGE, PAGE / 2].map(found), [Ok(()), Ok(())]);
    assert_eq!([4 * PAGE, 16 * PAGE].map(found), [Err(ImageFault::Page); 2]);
}

#[test]
fn a_payload_that_ends_anywhere_is_refused() {
    let good = Parts::good().payload();
    let header = ImageHeader::read(&good).unwrap();
    // Origins come last, and the interpreter does not read them.
    let needed = usize::try_from(header.programs.offset + header.programs.len).unwrap();
    for len in 0..needed {
        assert!(read_all(&good[..len], LEN).is_err(), "{len} of {needed} bytes");
    }
    for len in [0, 1, LEN - 1, LEN + 1, u64::MAX] {
        assert_eq!(read_all(&good, len), Err(ImageFault::CutShort), "{len}");
    }
}

/// Numbers around every limit.
const EXTREMES: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    PAGE - 1,
    PAGE,
    PAGE + 1,
    BODY_LEN,
    LEN - PAGE,
    LEN,
    LEN + PAGE,
    LOW - PAGE,
    LOW,
    LOW + 1,
    LOW + BODY_LEN,
    LOW + 0x10_0000,
    MAX_SPAN,
    MAX_SPAN + PAGE,
    1 << 63,
    u64::MAX - PAGE + 1,
    u64::MAX - 7,
    u64::MAX,
];

#[test]
fn extremes_in_a_record_are_refused_or_within_bounds() {
    let changes: [&dyn Fn(&mut Parts, u64); 21] = [
        &|parts, number| parts.program.relocatable = number,
        &|parts, number| parts.program.low = number,
        &|parts, number| parts.program.high = number,
        &|parts, number| parts.program.align = number,
        &|parts, number| parts.program.base = number,
        &|parts, number| parts.program.entry = number,
        &|parts, number| parts.program.phdr = number,
        &|parts, number| parts.program.phnum = number,
        &|parts, number| parts.program.body.offset = number,
        &|parts, number| parts.program.body.len = number,
        &|parts, number| parts.program.name = Extent { offset: number, len: 9 },
        &|parts, number| parts.program.name = Extent { offset: 300, len: number },
        &|parts, number| parts.program.segments = Extent { offset: number, len: 24 },
        &|parts, number| parts.program.segments = Extent { offset: 300, len: number },
        &|parts, number| parts.program.words = Extent { offset: number, len: 16 },
        &|parts, number| parts.program.words = Extent { offset: 300, len: number },
        &|parts, number| parts.segments[1].address = number,
        &|parts, number| parts.segments[1].len = number,
        &|parts, number| parts.segments[2].flags = number,
        &|parts, number| parts.word.address = number,
        &|parts, number| parts.word.value = number,
    ];
    let mut refused = 0;
    for (index, first) in changes.iter().enumerate() {
        for number in EXTREMES {
            let mut parts = Parts::good();
            first(&mut parts, number);
            refused += usize::from(read_all(&parts.payload(), LEN).is_err());
            // And with a second change that may hide the first.
            for second in &changes[index + 1..] {
                for number in EXTREMES {
                    let mut parts = parts;
                    second(&mut parts, number);
                    let _ = read_all(&parts.payload(), LEN);
                }
            }
        }
    }
    assert!(refused > 300, "{refused} were refused");
}

#[test]
fn what_would_harm_the_process_is_refused() {
    let cases: [(&str, &dyn Fn(&mut Parts)); 9] = [
        ("a body where the table is", &|parts| parts.program.body.offset = 0),
        ("a word to restore in the code", &|parts| parts.word.address = LOW + 8),
        ("a word to restore in a gap", &|parts| parts.word.address = LOW + PAGE),
        ("a word across the end", &|parts| parts.word.address = LOW + 3 * PAGE - 4),
        ("writable code", &|parts| parts.segments[2].flags = 7),
        ("unknown flags", &|parts| parts.segments[2].flags = 1 << 32 | 6),
        ("segments that overlap", &|parts| parts.segments[1].len = 2 * PAGE),
        ("a fixed program with a base", &|parts| parts.program.relocatable = 0),
        ("more program headers than can be", &|parts| parts.program.phnum = 0x1_0000),
    ];
    for (what, change) in cases {
        let mut parts = Parts::good();
        change(&mut parts);
        assert_eq!(read_all(&parts.payload(), LEN), Err(ImageFault::Corrupt), "{what}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_no_image(bytes in proptest::collection::vec(any::<u8>(), 0..400), len in any::<u64>()) {
        prop_assert!(read_all(&bytes, len).is_err());
    }

    #[test]
    fn random_bytes_behind_a_good_header_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 1000)) {
        let mut payload = Parts::good().payload();
        let count = payload.len().min(ImageHeader::SIZE + bytes.len());
        payload[ImageHeader::SIZE..count].copy_from_slice(&bytes[..count - ImageHeader::SIZE]);
        prop_assert!(read_all(&payload, LEN).is_err());
    }

    #[test]
    fn random_changes_do_no_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut payload = Parts::good().payload();
        for (index, value) in changes {
            // Behind the header: its checksum detects every change in it.
            let at = ImageHeader::SIZE + index.index(payload.len() - ImageHeader::SIZE);
            payload[at] = value;
        }
        let _ = read_all(&payload, LEN);
    }

    #[test]
    fn random_records_are_refused_or_within_bounds(
        numbers in proptest::collection::vec(prop_oneof![any::<u64>(), prop::sample::select(&EXTREMES[..])], 12),
    ) {
        let mut parts = Parts::good();
        parts.program = ProgramRecord {
            relocatable: numbers[0] & 1,
            low: numbers[1],
            high: numbers[2],
            align: numbers[3],
            base: numbers[4],
            entry: numbers[5],
            phdr: numbers[6],
            phnum: numbers[7],
            body: Extent { offset: numbers[8], len: numbers[9] },
            ..parts.program
        };
        parts.word.address = numbers[10];
        parts.segments[0].address = numbers[11];
        let _ = read_all(&parts.payload(), LEN);
    }
}
