//! `image`: whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::lab::{Lab, Run, have_namespaces, probe};

/// The names in the test's directory.
fn names(lab: &Lab) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(lab.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The options for an image without emulators that is the same every time.
const BARE: [&str; 4] = ["image", "--no-emulators", "--seed", "0"];

impl Lab {
    /// Writes such an image.
    fn bare(&self, name: &str) -> Run {
        self.tool([&BARE[..], &["-o", name]].concat())
    }

    /// Writes an image with `emulator` inside, under the table's usual name for it.
    fn with(&self, emulator: &str, options: &[&str]) -> Run {
        let from = format!("aarch64={emulator}");
        self.tool([&["image", "--seed", "1", "-o", "i", "--from", &from], options].concat())
    }
}

/// A static program of this machine, which can be inside an image.
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

/// A program with a second segment, which is like the first but for some words of its program header.
fn two_segments(words: &[(usize, u64)]) -> Vec<u8> {
    let mut file = program();
    // The segment header after the first one, where the code was: it is never run.
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
    let lab = Lab::new();
    lab.bare("i").printed("").succeeded();
    assert_eq!(fs::metadata(lab.path("i")).unwrap().permissions().mode() & 0o777, 0o755);
    let version = lab.tool(["--version"]).out();
    let by_hand = |arguments: &[&str]| {
        let mut command = lab.command(lab.path("i"));
        command.args(arguments);
        Run::of(command)
    };
    by_hand(&["--version"]).printed(&version).succeeded();
    by_hand(&["no-such-command"]).code(2);
    by_hand(&["list"]).code(0);
    let run = lab.unregistered(["explain", "./i"]);
    if have_namespaces() {
        run.verdict(0, "it runs by itself: it is a program of this machine", "");
    }
    assert_eq!(names(&lab), ["i"]);
}

#[test]
fn is_the_same_every_time_and_follows_the_table_and_the_seed() {
    let lab = Lab::new();
    for name in ["a", "b"] {
        lab.bare(name).succeeded();
    }
    let [option, table] = lab.aarch64("/bin/cat", json!({}));
    lab.tool([&[&option[..], &table], &BARE[..], &["-o", "c"]].concat()).succeeded();
    lab.tool(["image", "--no-emulators", "--seed", "1", "-o", "d"]).succeeded();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| fs::read(lab.path(name)).unwrap());
    assert!(a == b && a != c && a != d);
    lab.tool(["image", "--no-emulators", "-o", "e"]).succeeded();
    lab.tool(["image", "--no-emulators", "-o", "f"]).succeeded();
    assert!(fs::read(lab.path("e")).unwrap() != fs::read(lab.path("f")).unwrap(), "no two draw the same");
}

#[test]
fn with_an_emulator_it_is_the_same_every_time() {
    let lab = Lab::new();
    lab.write("emulator", program());
    let image = || {
        lab.with("emulator", &[]).printed("").succeeded();
        fs::read(lab.path("i")).unwrap()
    };
    let first = image();
    assert!(first == image());
    lab.with("emulator", &["--no-prelink"]).succeeded();
    assert!(first != fs::read(lab.path("i")).unwrap());
}

#[test]
fn an_image_writes_the_next_one() {
    let lab = Lab::new();
    lab.bare("first").succeeded();
    let write = |by: &str, to: &str| {
        let mut command = lab.command(lab.path(by));
        command.args(BARE).args(["-o", to]);
        Run::of(command).printed("").succeeded();
    };
    write("first", "second");
    write("second", "third");
    write("second", "fourth");
    let version = lab.tool(["--version"]).out();
    for name in ["second", "third"] {
        let mut command = lab.command(lab.path(name));
        command.arg("--version");
        Run::of(command).printed(&version).succeeded();
    }
    // Nothing is added from one to the next, but for the path that it came from.
    let len = |name: &str| fs::metadata(lab.path(name)).unwrap().len();
    assert_eq!(len("second"), len("third"));
    assert!(fs::read(lab.path("third")).unwrap() == fs::read(lab.path("fourth")).unwrap());
}

#[test]
fn emulators_that_cannot_be_inside_are_refused() {
    let lab = Lab::new();
    lab.write("i", "old");
    lab.write("good", program());
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
        (changed(program(), &[(18, &[183])]), "is for another host (ELF machine 183)"),
        (probe("s390x"), "is for another host (ELF machine 22)"),
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
        lab.write("bad", emulator);
        let line = format!("bad: cannot be inside an image, as it {problem}: leave it out, or get a static one");
        lab.with("bad", &[]).refused(1, &line);
        // Nor after a good one, when much has been written.
        lab.with("good", &["--from", "arm=bad"]).refused(1, &line);
        assert_eq!(
            (names(&lab), fs::read(lab.path("i")).unwrap()),
            (vec!["bad".into(), "good".into(), "i".into()], b"old".to_vec())
        );
    }
    lab.with("missing", &[]).refused(1, "missing: cannot read: check the path: no such file or directory");
    lab.with(".", &[]).refused(1, ".: cannot read: name a file: is a directory");
    assert_eq!(names(&lab), ["bad", "good", "i"]);
}

#[test]
fn architectures_and_places_that_are_not_there_are_refused() {
    let lab = Lab::new();
    lab.write("good", program());
    fs::create_dir(lab.path("empty")).unwrap();
    lab.tool(["image", "-o", "i", "z80"]).refused(2, "z80: is no known architecture: see `binfmt-dispatch list`");
    lab.tool(["image", "-o", "i", "--from", "z80=good"])
        .refused(2, "z80: is no known architecture: see `binfmt-dispatch list`");
    lab.tool(["image", "-o", "i", "--from", "good"])
        .refused(2, "good is no directory; an emulator is given as ARCH=FILE");
    let nothing = "empty: no emulator for aarch64 is there (qemu-aarch64-static, qemu-aarch64): name another directory";
    lab.tool(["image", "-o", "i", "arm64", "--from", "empty"]).refused(127, nothing);
    lab.tool(["image", "-o", "i", "--no-emulators", "arm64"]).code(2);
    lab.tool(["image", "-o", "i", "--seed", "x"]).code(2);
    assert_eq!(names(&lab), ["empty", "good"]);
}

#[test]
fn a_directory_is_searched_for_the_tables_names() {
    let lab = Lab::new();
    fs::create_dir(lab.path("d")).unwrap();
    lab.write("d/qemu-aarch64-static", program());
    lab.write("d/unknown", "no emulator");
    lab.tool(["image", "--seed", "0", "-o", "i", "--from", "d"]).printed("").succeeded();
    lab.tool(["image", "--seed", "0", "-o", "j", "--from", "aarch64=d/qemu-aarch64-static"]).succeeded();
    assert!(fs::read(lab.path("i")).unwrap() == fs::read(lab.path("j")).unwrap());
}

#[test]
fn replaces_a_file_and_nothing_else() {
    let lab = Lab::new();
    lab.write("i", "old");
    lab.bare("i").succeeded();
    assert!(fs::read(lab.path("i")).unwrap().starts_with(b"\x7fELF"));
    fs::create_dir(lab.path("d")).unwrap();
    lab.shell("mkfifo f; ln -s f l").succeeded();
    lab.bare("d").refused(1, "d: cannot write: name a file: is a directory");
    for name in ["f", "l", "/dev/full"] {
        lab.bare(name).refused(1, &format!("{name}: cannot write: it is no regular file"));
    }
    lab.bare("no/i").refused(1, "no/i: cannot write: create the directory first: no such file or directory");
    lab.bare("i/i").refused(1, "i/i: cannot write: create the directory first: not a directory");
    lab.bare("").code(2);
    lab.tool(["image"]).code(2);
    assert_eq!(names(&lab), ["d", "f", "i", "l"]);
}

#[test]
fn status_shows_it_where_there_is_no_registry() {
    let lab = Lab::new();
    lab.bare("i").succeeded();
    let run = lab.tool(["status", "--json", "--mount", ".", "--image", "i"]);
    let status = run.code(1).json();
    assert_eq!(status["mounted"], false, "{run}");
    assert_eq!(status["image"]["programs"][0]["name"], "binfmt-dispatch", "{run}");
    let none = lab.tool(["status", "--json", "--mount", ".", "--image", "none"]);
    assert!(none.json()["image"].is_null(), "{none}");
}

#[test]
fn leaves_the_old_file_where_there_is_no_room() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new();
    fs::create_dir(lab.path("m")).unwrap();
    for (options, error) in [
        ("remount,size=16k", "free some space or choose another directory: no space left on device"),
        ("remount,size=1m", "free some space or choose another directory: no space left on device"),
        ("remount,ro", "choose another directory: read-only file system"),
    ] {
        let script = format!(
            "mount -t tmpfs none m && echo old >m/i && mount -o {options} m && $TOOL image --no-emulators -o m/i; echo code $?; cat m/i; ls -A m"
        );
        let run = lab.private(&script);
        let line = format!("binfmt-dispatch: m/i: cannot write: {error}\n");
        assert!(run.err() == line && run.out() == "code 1\nold\ni\n", "expected: {line}{run}");
    }
}
