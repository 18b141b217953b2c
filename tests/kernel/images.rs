//! Registered files that are not what the tool writes: "we are broken", and nothing is run.

use crate::support::{Elf, Namespace, Need, Scratch, have, tool};

/// The interpreter without a payload.
const INTERPRETER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));
/// `p_type` of a segment to map.
const PT_LOAD: u32 = 1;
/// Offsets in the payload: `ImageHeader`, and behind it `TableHeader` and the first `RowRecord` of dispatch-core.
const VERSION: usize = 8;
const HOST: usize = 12;
const LEN: usize = 16;
const TABLE: usize = 24;
const TABLE_LEN: usize = 32;
const TABLE_MAGIC: usize = 40;
const ROWS: usize = 48;
const ROW_NAME: usize = 52;

/// A good image, and the offset of its payload.
fn image(scratch: &Scratch) -> (Elf, usize) {
    let path = scratch.at("image");
    tool(&["image", "-o", &path]);
    let image = Elf(std::fs::read(path).unwrap());
    let last = *image.program_headers(PT_LOAD).last().unwrap();
    let payload = usize::try_from(image.word(last + 8)).unwrap();
    (image, payload)
}

#[track_caller]
fn refused(scratch: &Scratch, file: impl AsRef<[u8]>, problem: &str) {
    scratch.write("damaged", file);
    let line = format!("./guest: the registered file {problem}: write it again with binfmt-dispatch image");
    namespace(scratch, "damaged").run(scratch, "./guest").refused(125, &line);
}

fn namespace(scratch: &Scratch, image: &str) -> Namespace {
    let entry = tool(&["generate", "--format", "register", "--interpreter", &scratch.at(image), "aarch64"]);
    Namespace::with_lines("with a damaged image", String::from_utf8(entry).unwrap())
}

#[test]
fn damaged_payloads() {
    if !have(&[Need::Namespace]) {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let (good, payload) = image(&scratch);
    let many = [0xff; 8];
    for (offset, bytes, problem) in [
        (0, &[0; 8][..], "carries no architecture table"),
        (VERSION, &[2], "has layout version 2, not 1"),
        (HOST, &[183], "is for hosts of ELF machine 183"),
        (LEN, &many, "is damaged"),
        (LEN, &[0; 8], "is damaged"),
        (TABLE, &many, "is damaged"),
        (TABLE, &[0; 8], "is damaged"),
        (TABLE_LEN, &many, "is damaged"),
        (TABLE_LEN, &[0; 8], "is damaged"),
        (TABLE_MAGIC, &[0], "is damaged"),
        (ROWS, &many[..4], "is damaged"),
        (ROW_NAME, &many, "is damaged"),
    ] {
        refused(&scratch, good.clone().with(payload + offset, bytes).0, problem);
    }
}

#[test]
fn payloads_that_are_not_all_there() {
    if !have(&[Need::Namespace]) {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let (good, _) = image(&scratch);
    let last = good.program_headers(PT_LOAD).len() - 1;
    refused(&scratch, INTERPRETER, "carries no architecture table");
    refused(&scratch, good.clone().with_load(last, 0, |word| word & !0xffff_ffff).0, "carries no architecture table");
    // p_filesz and p_memsz.
    let shortened = |len| good.clone().with_load(last, 32, |_| len).with_load(last, 40, |_| len).0;
    refused(&scratch, shortened(20), "carries no architecture table");
    refused(&scratch, shortened(100), "is damaged");
}

#[test]
fn a_file_that_was_cut_off() {
    if !have(&[Need::Namespace]) {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let (good, payload) = image(&scratch);
    // Inside the payload's header: the rest of the file's last page reads as zeros.
    refused(&scratch, &good.0[..payload + 4], "carries no architecture table");
}

#[test]
fn a_file_that_was_cut_off_by_pages_dies_as_any_program() {
    if !have(&[Need::Namespace]) {
        return;
    }
    // The kernel maps what is not there, and sends SIGBUS to who reads it; `register` does not let it come to that.
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let (good, payload) = image(&scratch);
    for len in [payload, payload + 4096] {
        scratch.write("damaged", &good.0[..len]);
        let seen = namespace(&scratch, "damaged").run(&scratch, "./guest");
        assert_eq!(seen.code(), 128 + 7, "{seen}");
    }
}

#[test]
fn an_image_started_by_hand_says_what_it_is() {
    let scratch = Scratch::new();
    image(&scratch);
    let output = std::process::Command::new(scratch.at("image")).arg("argument").output().unwrap();
    let said = "binfmt-dispatch: this file is for the kernel to start: use the command binfmt-dispatch, or register it with flag O\n";
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.as_slice()), (Some(2), 0, said.as_bytes()));
}
