//! Files that are made to do harm, or to confuse: `explain` answers at once.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};

use dispatch_core::elf::{PT_INTERP, ProgramHeader};

use crate::support::{Namespace, Observation, Scratch, need, probe, segment};

/// `p_type` of the dynamic section and of notes (gABI chapter 5).
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
/// Largest number of program headers.
const MOST: usize = 0xffff;

/// Writes the file `p`: the probe of aarch64 with other program headers, and `len` bytes in all,
/// most of them a hole.
fn with_headers(scratch: &Scratch, headers: &[ProgramHeader], len: u64) {
    let mut bytes = probe("aarch64")[..64].to_vec();
    bytes[56..58].copy_from_slice(&u16::try_from(headers.len()).unwrap().to_le_bytes());
    bytes.extend(headers.iter().flat_map(ProgramHeader::to_elf64_le));
    let path = scratch.write("p", &bytes);
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Explains `p`, with ten seconds of CPU time: it takes milliseconds, and all that the files name
/// takes minutes to read.
#[track_caller]
fn explained(scratch: &Scratch) -> Observation {
    let run = scratch.shell("ulimit -t 10; exec $TOOL explain --no-probe ./p");
    assert!(run.stderr.is_empty() && run.code() <= 1, "{run}");
    run
}

#[test]
fn sparse_files() {
    let scratch = Scratch::new();
    scratch.write("p", "");
    let file = File::options().write(true).open(scratch.path().join("p")).unwrap();
    file.set_len(10 << 30).unwrap();
    explained(&scratch)
        .verdict("it does not run: the file begins with zeros alone: it was not written completely", "get it again");
    file.write_all_at(&probe("aarch64"), 0).unwrap();
    explained(&scratch).has("program     ELF 64-bit little-endian executable, static, for Linux");
    // Notes and the rest may be as large as the file.
    for kind in [PT_NOTE, PT_DYNAMIC, PT_INTERP] {
        with_headers(&scratch, &[segment(kind, 4096, (10 << 30) - 4096)], 10 << 30);
        explained(&scratch).has("machine     aarch64: EM_AARCH64 = 183, also called arm64, arm64/v8");
    }
}

#[test]
fn program_headers_that_all_name_the_same_piece() {
    let scratch = Scratch::new();
    for kind in [PT_NOTE, PT_DYNAMIC, PT_INTERP] {
        with_headers(&scratch, &vec![segment(kind, 0, 4_000_000); MOST], 4_000_000);
        explained(&scratch).has("machine     aarch64: EM_AARCH64 = 183, also called arm64, arm64/v8");
    }
}

#[test]
fn notes_that_have_no_end() {
    let scratch = Scratch::new();
    let word = |value: u32| value.to_le_bytes();
    for note in [
        [word(u32::MAX), word(u32::MAX), word(u32::MAX)].concat(),
        [word(0), word(0), word(0)].concat(),
        [word(4), word(u32::MAX), word(5), *b"GNU\0"].concat(),
        vec![0xff; 3],
    ] {
        with_headers(&scratch, &[segment(PT_NOTE, 256, note.len()), segment(0x6474_e553, 256, note.len())], 256);
        let path = scratch.path().join("p");
        File::options().write(true).open(path).unwrap().write_all_at(&note, 256).unwrap();
        explained(&scratch).has("machine     aarch64: EM_AARCH64 = 183, also called arm64, arm64/v8");
    }
}

#[test]
fn links_name_their_targets() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("d")).unwrap();
    for (target, link) in [("d/second", "first"), ("../gone\x1b", "d/second"), ("b", "a"), ("a", "b")] {
        symlink(target, scratch.path().join(link)).unwrap();
    }
    for (name, code, problem) in [
        ("./first", 127, r"it leads to ./d/../gone\x1b: no such file or directory"),
        ("d/second", 127, r"it leads to d/../gone\x1b: no such file or directory"),
        ("./a", 126, "it leads to ./b: too many symbolic links encountered"),
    ] {
        let line = format!("{name}: cannot be opened: {problem}");
        scratch.tool(["explain", name]).refused(1, &line);
        scratch.tool(["run", name]).refused(code, &line);
    }
}

#[test]
fn json_is_printed_for_every_failure() {
    let scratch = Scratch::new();
    scratch.write("bad", "{");
    for table in ["absent", "bad"] {
        let seen = scratch.tool(["explain", "--json", "--table", table, "./a", "./b"]);
        let json = seen.exited(2).json();
        let reason = |index: usize| json[index]["verdict"]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(json.as_array().unwrap().len() == 2 && reason(0) == reason(1) && !reason(0).is_empty(), "{seen}");
        assert_eq!(json[1]["file"], "./b");
        assert!(seen.err().starts_with(&format!("binfmt-dispatch: {table}")), "{seen}");
    }
    for arguments in [&["explain", "--json"][..], &["explain", "--json", "--bogus", "a"], &["--json", "--explain"]] {
        let seen = scratch.tool(arguments);
        assert_eq!(seen.exited(2).json(), serde_json::json!([]), "{seen}");
        assert!(seen.err().starts_with("error: "), "{seen}");
    }
}

#[test]
fn many_files_of_which_some_cannot_be_opened() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.write("text", "hello\n");
    let arguments = ["explain", "--json", "--no-probe", "./text", "./absent", "/dev/zero", "./"];
    let run = Namespace::empty().tool(&scratch, arguments);
    let reasons: Vec<String> =
        run.exited(1).json().as_array().unwrap().iter().map(|answer| answer["verdict"]["reason"].to_string()).collect();
    let expected = [
        "a text without #! in its first line",
        "cannot be opened: no such file or directory",
        "cannot be opened: not a regular file",
        "cannot be opened: is a directory",
    ];
    assert_eq!(reasons, expected.map(|reason| format!("{reason:?}")), "{run}");
    assert!(run.stderr.is_empty(), "{run}");
}
