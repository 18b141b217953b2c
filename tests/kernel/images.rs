//! Registered files that the command did not write. The interpreter says that binfmt-dispatch is
//! broken, and runs nothing.

use dispatch_core::image::{ImageHeader, ProgramRecord, checksum};
use dispatch_core::record::Field;

use crate::support::{Elf, FOREIGN, Namespace, Scratch, need, page, tool};

/// The interpreter without a payload.
const INTERPRETER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));
/// `p_type` of a segment to map.
const PT_LOAD: u32 = 1;
/// Offsets in the payload: `ImageHeader`, followed by `TableHeader` and the first `RowRecord` of
/// dispatch-core.
const LEN: usize = 24;

/// A good image, and the offset of its payload.
fn image(scratch: &Scratch) -> (Elf, usize) {
    let path = scratch.at("image");
    tool(&["image", "--no-emulators", "--seed", "0", "-o", &path]);
    let image = Elf(std::fs::read(path).unwrap());
    let last = *image.program_headers(PT_LOAD).last().unwrap();
    let payload = usize::try_from(image.word(last + 8)).unwrap();
    (image, payload)
}

#[track_caller]
fn refused(scratch: &Scratch, file: impl AsRef<[u8]>, problem: &str) {
    scratch.write("damaged", file);
    let line = format!("./guest: the image {problem}: write it again with binfmt-dispatch image");
    namespace(scratch, "damaged").run(scratch, "./guest").not_started(125, &line);
}

fn namespace(scratch: &Scratch, image: &str) -> Namespace {
    let entry = tool(&["generate", "--format", "register", "--interpreter", &scratch.at(image), FOREIGN]);
    Namespace::with_lines("with a damaged image", String::from_utf8(entry).unwrap())
}

/// The offset of the bodies in the file.
fn meta(image: &Elf, payload: usize) -> usize {
    let header = ImageHeader::read(&image.0[payload..]).unwrap();
    let first = ProgramRecord::read(&image.0[payload + usize::try_from(header.programs.offset).unwrap()..]).unwrap();
    payload + usize::try_from(first.body.offset).unwrap()
}

/// A good image with a changed header and the checksum that fits it.
fn with_header(good: &Elf, payload: usize, change: impl FnOnce(&mut ImageHeader)) -> Vec<u8> {
    let mut header = ImageHeader::read(&good.0[payload..]).unwrap();
    change(&mut header);
    let encode = |header: &ImageHeader| {
        let mut bytes = Vec::new();
        header.write(&mut |part| bytes.extend_from_slice(part));
        bytes
    };
    header.checksum = checksum(&encode(&header)[..ImageHeader::SIZE - 8]);
    good.clone().with(payload, &encode(&header)).0
}

#[test]
fn damaged_payloads() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let (good, payload) = image(&scratch);
    type Change<'c> = (&'c dyn Fn(&mut ImageHeader), &'c str);
    let changes: [Change<'_>; 9] = [
        (&|header| header.magic[0] = 0, "has no architecture table"),
        (&|header| header.version = 1, "has layout version 1, not 2"),
        (&|header| header.host = 22, "is for hosts of ELF machine 22"),
        (&|header| header.len += 1, "is cut short"),
        (&|header| header.len = 0, "is cut short"),
        (&|header| header.table.offset = u64::MAX, "is damaged"),
        (&|header| header.table.offset = 0, "is damaged"),
        (&|header| header.table.len = 0, "is damaged"),
        (&|header| header.programs.len = u64::MAX, "is damaged"),
    ];
    for (change, problem) in changes {
        refused(&scratch, with_header(&good, payload, change), problem);
    }
    let table = payload + usize::try_from(ImageHeader::read(&good.0[payload..]).unwrap().table.offset).unwrap();
    // Its magic, the number of its rows, and the place of the first one's name.
    for (offset, bytes) in [(0, &[0; 1][..]), (8, &[0xff; 4]), (12, &[0xff; 8])] {
        refused(&scratch, good.clone().with(table + offset, bytes).0, "is damaged");
    }
}

#[test]
fn payloads_that_are_not_all_there() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let (good, _) = image(&scratch);
    let last = good.program_headers(PT_LOAD).len() - 1;
    refused(&scratch, INTERPRETER, "has no architecture table");
    refused(&scratch, good.clone().with_load(last, 0, |word| word & !0xffff_ffff).0, "has no architecture table");
    // p_filesz and p_memsz.
    let shortened = |len| good.clone().with_load(last, 32, |_| len).with_load(last, 40, |_| len).0;
    refused(&scratch, shortened(0), "has no architecture table");
    refused(&scratch, shortened(20), "has no architecture table");
    refused(&scratch, shortened(0x1_0000), "is cut short");
}

#[test]
fn a_file_that_was_cut_off_anywhere() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let (good, payload) = image(&scratch);
    let meta = meta(&good, payload);
    let page = page();
    let pages = (payload..=meta + 2 * page).step_by(page);
    let about = [payload + 1, payload + 4, payload + 100, meta - 1, meta + 1, good.0.len() / 2, good.0.len() / 3];
    for len in pages.chain(about).chain([good.0.len() - page - 1, good.0.len() - page]) {
        refused(&scratch, &good.0[..len], "is cut short");
    }
}

#[test]
fn every_field_of_the_header_is_looked_at() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let (good, payload) = image(&scratch);
    // Every word is changed once. Tests of the reader change every byte.
    for at in (0..ImageHeader::SIZE).step_by(8) {
        let mut bad = good.clone();
        bad.0[payload + at] ^= 0x10;
        scratch.write("damaged", bad.0);
        let seen = namespace(&scratch, "damaged").run(&scratch, "./guest");
        let one_line =
            seen.err().lines().count() == 1 && seen.err().starts_with("binfmt-dispatch: ./guest: the image ");
        assert!(seen.code() == 125 && one_line && seen.stdout.is_empty(), "byte {at}: {seen}");
    }
}

#[test]
fn an_image_started_by_hand_is_the_command() {
    let scratch = Scratch::new();
    image(&scratch);
    let version = scratch.tool(["--version"]);
    scratch.run(scratch.at("image"), ["--version"]).printed(version.out());
}

#[test]
fn a_damaged_image_started_by_hand_says_so() {
    let scratch = Scratch::new();
    let (good, payload) = image(&scratch);
    for (file, problem) in [
        (&good.0[..payload + page()], "is cut short"),
        (&good.clone().with(payload, &[0]).0, "has no architecture table"),
        (&good.clone().with(payload + LEN, &[1]).0, "is damaged"),
        (INTERPRETER, "has no architecture table"),
    ] {
        scratch.write("damaged", file);
        let line = format!("the image {problem}: write it again with binfmt-dispatch image");
        scratch.run(scratch.at("damaged"), ["--version"]).refused(125, &line);
    }
}
