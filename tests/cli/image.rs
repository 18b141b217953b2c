//! `image`: a file is written completely or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::{Namespace, Observation, Scratch, need, probe};
use crate::table::aarch64;

/// The names in the test's directory.
fn names(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The options for an image without emulators that is the same every time.
const BARE: [&str; 4] = ["image", "--no-emulators", "--seed", "0"];

/// Writes such an image.
fn bare(scratch: &Scratch, name: &str) -> Observation {
    scratch.tool([&BARE[..], &["-o", name]].concat())
}

/// Writes an image that embeds `emulator`, under the table's usual name for it.
fn with(scratch: &Scratch, emulator: &str, options: &[&str]) -> Observation {
    let from = format!("aarch64={emulator}");
    scratch.tool([&["image", "--seed", "1", "-o", "i", "--from", &from], options].concat())
}

/// A static program of this machine, which can be embedded.
fn program() -> Vec<u8> {
    probe(std::env::consts::ARCH)
}

/// `file` with `bytes` at `offset`.
fn changed(mut file: Vec<u8>, changes: &[(usize, &[u8])]) -> Vec<u8> {
    for (offset, bytes) in changes {
        file[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    file
}

#[test]
fn an_emulator_may_fill_its_last_page() {
    let scratch = Scratch::new();
    let mut emulator = program();
    emulator.resize(0x1000, 0xff);
    let len = 0x1000u64.to_le_bytes();
    scratch.write("e", changed(emulator, &[(PHDR + P_FILESZ, &len), (PHDR + P_MEMSZ, &len)]));
    with(&scratch, "e", &[]).exited(0);
    // The image's own interpreter accepts it as complete, and starts the command.
    scratch.shell("./i --version").exited(0);
}

/// A program with a second segment, which equals the first except for some words of its program
/// header.
fn two_segments(words: &[(usize, u64)]) -> Vec<u8> {
    let mut file = program();
    // The second program header takes the place of the code, which is never run.
    let second = file[PHDR..PHDR + PHENT].to_vec();
    file.resize(0x2000, 0);
    file[PHDR + PHENT..PHDR + 2 * PHENT].copy_from_slice(&second);
    file[56] = 2; // e_phnum
    // The first segment has both headers.
    for field in [P_FILESZ, P_MEMSZ] {
        let at = PHDR + field;
        file[at..at + 8].copy_from_slice(&((PHDR + 2 * PHENT) as u64).to_le_bytes());
    }
    for (field, value) in words {
        let at = PHDR + PHENT + field;
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    file
}

/// Offset and size of program headers, and the offsets of fields in them (gABI, chapter 5).
const PHDR: usize = 64;
const PHENT: usize = 56;
const P_OFFSET: usize = 8;
const P_VADDR: usize = 16;
const P_FILESZ: usize = 32;
const P_MEMSZ: usize = 40;
const E_PHOFF: usize = 32;

#[test]
fn is_an_executable_that_is_the_command() {
    let scratch = Scratch::new();
    bare(&scratch, "i").printed("");
    assert_eq!(fs::metadata(scratch.path().join("i")).unwrap().permissions().mode() & 0o777, 0o755);
    let version = scratch.tool(["--version"]);
    let by_hand = |arguments: &[&str]| scratch.run(scratch.at("i"), arguments);
    by_hand(&["--version"]).printed(version.out());
    by_hand(&["no-such-command"]).exited(2);
    by_hand(&["list"]).exited(0);
    assert_eq!(names(&scratch), ["i"]);
}

#[test]
fn is_a_program_of_this_machine() {
    need!(Namespace);
    let scratch = Scratch::new();
    bare(&scratch, "i").succeeded();
    let run = Namespace::empty().tool(&scratch, ["explain", "./i"]);
    run.verdict("it runs by itself: it is a program of this machine", "");
    assert_eq!(names(&scratch), ["i"]);
}

#[test]
fn is_the_same_every_time_and_follows_the_table_and_the_seed() {
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        bare(&scratch, name).succeeded();
    }
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    scratch.tool([&[&option[..], &table], &BARE[..], &["-o", "c"]].concat()).succeeded();
    scratch.tool(["image", "--no-emulators", "--seed", "1", "-o", "d"]).succeeded();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| fs::read(scratch.path().join(name)).unwrap());
    assert!(a == b && a != c && a != d);
    scratch.tool(["image", "--no-emulators", "-o", "e"]).succeeded();
    scratch.tool(["image", "--no-emulators", "-o", "f"]).succeeded();
    assert!(
        fs::read(scratch.path().join("e")).unwrap() != fs::read(scratch.path().join("f")).unwrap(),
        "no two draw the same"
    );
}

#[test]
fn with_an_emulator_it_is_the_same_every_time() {
    let scratch = Scratch::new();
    scratch.write("emulator", program());
    let image = || {
        with(&scratch, "emulator", &[]).printed("");
        fs::read(scratch.path().join("i")).unwrap()
    };
    let first = image();
    assert!(first == image());
    with(&scratch, "emulator", &["--no-prelink"]).succeeded();
    assert!(first != fs::read(scratch.path().join("i")).unwrap());
}

#[test]
fn an_image_writes_the_next_one() {
    let scratch = Scratch::new();
    bare(&scratch, "first").succeeded();
    let write = |by: &str, to: &str| {
        scratch.run(scratch.at(by), [&BARE[..], &["-o", to]].concat()).printed("");
    };
    write("first", "second");
    write("second", "third");
    write("second", "fourth");
    let version = scratch.tool(["--version"]);
    for name in ["second", "third"] {
        scratch.run(scratch.at(name), ["--version"]).printed(version.out());
    }
    // No image adds anything to the one before, except the path of its origin.
    let len = |name: &str| fs::metadata(scratch.path().join(name)).unwrap().len();
    assert_eq!(len("second"), len("third"));
    assert!(fs::read(scratch.path().join("third")).unwrap() == fs::read(scratch.path().join("fourth")).unwrap());
}

#[test]
fn emulators_that_cannot_be_inside_are_refused() {
    let scratch = Scratch::new();
    scratch.write("i", "old");
    scratch.write("good", program());
    let word = u64::to_le_bytes;
    let elsewhere = u64::from_le_bytes(program()[PHDR + P_VADDR..PHDR + P_VADDR + 8].try_into().unwrap());
    let far = |distance: u64| {
        two_segments(&[(P_OFFSET, 0x1000), (P_VADDR, elsewhere + distance), (P_FILESZ, 16), (P_MEMSZ, 16)])
    };
    for (emulator, problem) in [
        (Vec::new(), "is damaged (not an ELF file)"),
        (b"#!/bin/sh\n".to_vec(), "is damaged (not an ELF file)"),
        (program()[..20].to_vec(), "is damaged (ELF header cut short at 20 of 64 bytes)"),
        (program()[..100].to_vec(), "is damaged (program headers out of reach)"),
        (program()[..program().len() - 1].to_vec(), "is damaged (a segment ends beyond the file)"),
        (changed(program(), &[(16, &[1])]), "is damaged (an object file, not a program)"),
        (changed(program(), &[(24, &[0; 8])]), "is damaged (entry point outside its code)"),
        (changed(program(), &[(E_PHOFF, &[0xff; 8])]), "is damaged (program headers out of reach)"),
        (changed(program(), &[(56, &[0, 0])]), "is damaged (no loadable segment)"),
        (changed(program(), &[(PHDR, &[3])]), "is dynamically linked and not static"),
        (changed(program(), &[(PHDR + 4, &[7])]), "has a segment that is writable and executable"),
        (changed(program(), &[(PHDR + P_MEMSZ, &[0xff; 8])]), "is damaged (a segment's size is impossible)"),
        (changed(program(), &[(PHDR + P_MEMSZ, &word(1 << 41))]), "is damaged (a segment's size is impossible)"),
        (
            changed(program(), &[(PHDR + P_MEMSZ, &[0; 8]), (PHDR + P_FILESZ, &[0; 8])]),
            "is damaged (no loadable segment)",
        ),
        (changed(program(), &[(PHDR + P_FILESZ, &[0xff; 8])]), "is damaged (a segment's size is impossible)"),
        (changed(program(), &[(PHDR + P_VADDR, &word(elsewhere + 1))]), "is not aligned to this host's pages"),
        (two_segments(&[]), "is damaged (segments overlap)"),
        (far(1 << 32), "has segments that are too far apart"),
        (far(1 << 50), "is damaged (a segment's size is impossible)"),
    ] {
        scratch.write("bad", emulator);
        let line = format!("bad: cannot be embedded, as it {problem}: leave it out, or get a static one");
        with(&scratch, "bad", &[]).refused(1, &line);
        // The same holds after a good one, when much has been written.
        with(&scratch, "good", &["--from", "arm=bad"]).refused(1, &line);
        assert_eq!(
            (names(&scratch), fs::read(scratch.path().join("i")).unwrap()),
            (vec!["bad".into(), "good".into(), "i".into()], b"old".to_vec())
        );
    }
    for (emulator, host) in [
        (changed(program(), &[(18, &[183])]), "aarch64"),
        (probe("s390x"), "s390x"),
        (changed(program(), &[(18, &[0, 99])]), "ELF machine 25344"),
    ] {
        scratch.write("bad", emulator);
        let here = std::env::consts::ARCH;
        let line = format!("bad: runs on {host} hosts, and the image is for {here}: name a file for {here} hosts");
        with(&scratch, "bad", &[]).refused(1, &line);
        with(&scratch, "good", &["--from", "arm=bad"]).refused(1, &line);
    }
    with(&scratch, "missing", &[]).refused(1, "missing: cannot read: check the path: no such file or directory");
    with(&scratch, ".", &[]).refused(1, ".: cannot read: name a file: is a directory");
    assert_eq!(names(&scratch), ["bad", "good", "i"]);
}

#[test]
fn an_image_is_no_emulator_for_another_one() {
    let scratch = Scratch::new();
    scratch.write("good", program());
    with(&scratch, "good", &[]).succeeded();
    fs::rename(scratch.path().join("i"), scratch.path().join("old")).unwrap();
    let line = "old: cannot be embedded, as it is an image itself: name the emulator's own file";
    with(&scratch, "old", &[]).refused(1, line);
    with(&scratch, "good", &["--from", "arm=old"]).refused(1, line);
    // A damaged one too.
    let whole = fs::read(scratch.path().join("old")).unwrap();
    scratch.write("old", &whole[..whole.len() - 1]);
    with(&scratch, "old", &[]).refused(1, line);
    assert_eq!(names(&scratch), ["good", "old"]);
}

#[test]
fn architectures_and_places_that_are_not_there_are_refused() {
    let scratch = Scratch::new();
    scratch.write("good", program());
    fs::create_dir(scratch.path().join("empty")).unwrap();
    scratch.tool(["image", "-o", "i", "z80"]).refused(2, "unknown architecture z80: see `binfmt-dispatch list`");
    scratch
        .tool(["image", "-o", "i", "--from", "z80=good"])
        .refused(2, "unknown architecture z80: see `binfmt-dispatch list`");
    scratch
        .tool(["image", "-o", "i", "--from", "good"])
        .refused(2, "good is not a directory; give a single emulator as ARCH=FILE");
    let nothing = "empty: contains no emulator for aarch64 (qemu-aarch64-static, qemu-aarch64): name another directory";
    scratch.tool(["image", "-o", "i", "arm64", "--from", "empty"]).refused(127, nothing);
    scratch.tool(["image", "-o", "i", "--no-emulators", "arm64"]).exited(2);
    scratch.tool(["image", "-o", "i", "--seed", "x"]).exited(2);
    assert_eq!(names(&scratch), ["empty", "good"]);
}

#[test]
fn a_directory_is_searched_for_the_tables_names() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("d")).unwrap();
    scratch.write("d/qemu-aarch64-static", program());
    scratch.write("d/unknown", "no emulator");
    scratch.tool(["image", "--seed", "0", "-o", "i", "--from", "d"]).printed("");
    scratch.tool(["image", "--seed", "0", "-o", "j", "--from", "aarch64=d/qemu-aarch64-static"]).succeeded();
    assert!(fs::read(scratch.path().join("i")).unwrap() == fs::read(scratch.path().join("j")).unwrap());
}

#[test]
fn replaces_a_file_and_nothing_else() {
    let scratch = Scratch::new();
    scratch.write("i", "old");
    bare(&scratch, "i").succeeded();
    assert!(fs::read(scratch.path().join("i")).unwrap().starts_with(b"\x7fELF"));
    fs::create_dir(scratch.path().join("d")).unwrap();
    scratch.shell("mkfifo f; ln -s f l").succeeded();
    bare(&scratch, "d").refused(1, "d: cannot write: name a file: is a directory");
    for name in ["f", "l", "/dev/full"] {
        bare(&scratch, name).refused(1, &format!("{name}: cannot write: not a regular file"));
    }
    bare(&scratch, "no/i").refused(1, "no/i: cannot write: create the directory first: no such file or directory");
    bare(&scratch, "i/i").refused(1, "i/i: cannot write: create the directory first: not a directory");
    bare(&scratch, "").exited(2);
    scratch.tool(["image"]).exited(2);
    assert_eq!(names(&scratch), ["d", "f", "i", "l"]);
}

#[test]
fn status_shows_it_where_there_is_no_registry() {
    let scratch = Scratch::new();
    bare(&scratch, "i").succeeded();
    let run = scratch.tool(["status", "--json", "--mount", ".", "--image", "i"]);
    let status = run.exited(1).json();
    assert_eq!(status["mounted"], false, "{run}");
    assert_eq!(status["image"]["programs"][0]["name"], "binfmt-dispatch", "{run}");
    let none = scratch.tool(["status", "--json", "--mount", ".", "--image", "none"]);
    assert!(none.json()["image"].is_null(), "{none}");
}

#[test]
fn leaves_the_old_file_where_there_is_no_room() {
    need!(Namespace);
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("m")).unwrap();
    for (options, error) in [
        ("remount,size=16k", "free some space or choose another directory: no space left on device"),
        ("remount,size=1m", "free some space or choose another directory: no space left on device"),
        ("remount,ro", "choose another directory: read-only file system"),
    ] {
        let script = format!(
            "mount -t tmpfs none m && echo old >m/i && mount -o {options} m && $TOOL image --no-emulators -o m/i; echo code $?; cat m/i; ls -A m"
        );
        let run = Namespace::empty().run(&scratch, &script);
        let line = format!("binfmt-dispatch: m/i: cannot write: {error}\n");
        assert!(run.err() == line && run.out() == "code 1\nold\ni\n", "expected: {line}{run}");
    }
}

#[test]
fn the_command_may_be_named_by_its_image() {
    let scratch = Scratch::new();
    let here = std::env::consts::ARCH;
    scratch.tool(["image", "--no-emulators", "-o", "i"]).succeeded();
    scratch.tool(["image", "--no-emulators", "-o", "j", "--host", here, "--command", "i"]).succeeded();
    let len = |image: &str| fs::metadata(scratch.path().join(image)).unwrap().len();
    assert_eq!(len("j"), len("i"));
    assert!(scratch.run("./j", ["--version"]).succeeded().out().starts_with("binfmt-dispatch "));
}
