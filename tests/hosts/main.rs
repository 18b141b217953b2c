//! Tests of other hosts than this machine: images for them that are written here, and their command
//! and interpreter, which run under QEMU's user mode. No image is registered: `start.c` starts the
//! interpreter as the kernel would.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use dispatch_core::elf::{Machine, PT_LOAD};
use dispatch_core::image::Image;
use goblin::elf::Elf;
use support::{Host, Observation, Scratch, guest, need};

/// `d_tag` of packed relative relocations.
const DT_RELR: u64 = 36;
/// Largest size of an interpreter, in bytes.
const LARGEST: u64 = 32 << 10;

/// Writes the image `i` for `host`, and returns the observation.
fn write(scratch: &Scratch, host: &Host, arguments: &[&str]) -> Observation {
    scratch.tool(on(host, arguments))
}

/// The arguments that write the image `i` for `host` in the same way on every machine.
fn on(host: &Host, arguments: &[&str]) -> Vec<String> {
    let command = host.command().to_str().unwrap().to_owned();
    let fixed = ["image", "-o", "i", "--no-site", "--seed", "1", "--host", host.name(), "--command", &command];
    fixed.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect()
}

/// Runs a program of `host`.
fn run<S: AsRef<std::ffi::OsStr>>(scratch: &Scratch, host: &Host, program: &Path, arguments: &[S]) -> Observation {
    let program = program.as_os_str().to_owned();
    let arguments = arguments.iter().map(|argument| argument.as_ref().to_owned());
    scratch.run(host.qemu(), std::iter::once(program).chain(arguments))
}

/// How the kernel starts an interpreter.
#[derive(Clone, Copy)]
struct Start {
    /// The flag that says how argv is passed, P or T.
    flag: &'static str,
    secure: bool,
    page: u64,
}

impl Start {
    const PLAIN: Start = Start { flag: "P", secure: false, page: 4096 };

    /// Starts the interpreter of the image `i` for `program`, with argv\[0\] and arguments.
    fn run(self, scratch: &Scratch, host: &Host, program: &Path, argv: &[&str]) -> Observation {
        let starter = host.programs.build_as("start", "tests/hosts/start.c", &["-static"]);
        let program = program.to_str().unwrap().to_owned();
        let (secure, page) = (u64::from(self.secure).to_string(), self.page.to_string());
        let mut arguments = vec![self.flag.to_owned(), secure, page, program.clone(), "i".to_owned(), program];
        arguments.extend(argv.iter().map(|argument| (*argument).to_owned()));
        run(scratch, host, &starter, &arguments)
    }
}

#[test]
fn an_image_is_the_same_wherever_it_is_written() {
    need!(Hosts, BothQemus);
    for host in Host::all() {
        let scratch = Scratch::new();
        let from = host.emulators();
        // All that are there: also arm, which only some aarch64 machines run by themselves.
        let arguments = on(&host, &["--from", from.to_str().unwrap()]);
        scratch.tool(&arguments).succeeded();
        let here = fs::read(scratch.path().join("i")).unwrap();
        // The command of the other host, under QEMU.
        run(&scratch, &host, &host.command(), &arguments).succeeded();
        assert!(here == fs::read(scratch.path().join("i")).unwrap(), "{}", host.name());
        // The table is the one that QEMU's versions, as their files tell them, lead to.
        let list = run(&scratch, &host, &host.command(), &["list", "--image", "i", "--json"]);
        let programs = list.succeeded().json();
        let of = |key: &str| -> Vec<String> {
            programs.as_array().unwrap()[1..].iter().map(|it| it[key].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of("name"), ["qemu-arm", "qemu-s390x", "qemu-x86_64"], "{programs}");
        assert!(of("version").iter().all(|version| version.starts_with("10.0.")), "{programs}");
    }
}

/// The offset and the bytes of the payload of an image.
fn payload(image: &[u8]) -> &[u8] {
    let elf = Elf::parse(image).unwrap();
    let segment = elf.program_headers.iter().rfind(|segment| segment.p_type == PT_LOAD).unwrap();
    &image[segment.p_offset as usize..][..segment.p_filesz as usize]
}

#[test]
fn all_relative_relocations_are_applied() {
    need!(Hosts, BothQemus);
    for host in Host::all() {
        let scratch = Scratch::new();
        write(&scratch, &host, &["--from", host.emulators().to_str().unwrap(), "arm", "s390x", "x86_64"]).succeeded();
        let image = fs::read(scratch.path().join("i")).unwrap();
        let payload = payload(&image);
        let machine = Machine(Elf::parse(&image).unwrap().header.e_machine);
        let read = Image::read(payload, payload.len() as u64, machine, host.page).unwrap();
        let programs: Vec<_> = read.programs().map(|program| program.unwrap()).collect();
        assert_eq!(programs.len(), 4);
        for program in &programs[1..] {
            let name = program.name().to_str().unwrap();
            let file = fs::read(host.emulators().join(name)).unwrap();
            let (elf, record) = (Elf::parse(&file).unwrap(), program.record());
            assert!(host.bases.contains(&record.base) && record.base % host.page == 0, "{name}: {:#x}", record.base);
            let body = &payload[record.body.offset as usize..][..record.body.len as usize];
            let word = |address: u64| {
                let at = (address - record.low) as usize;
                u64::from_le_bytes(body[at..at + 8].try_into().unwrap())
            };
            let relative: Vec<_> = elf.dynrelas.iter().filter(|entry| entry.r_type == host.relative).collect();
            // QEMU has tables of functions by the thousand.
            assert!(relative.len() > 10_000, "{name}: {}", relative.len());
            let shift = record.base - record.low;
            let applied =
                relative.iter().filter(|entry| word(entry.r_offset) == shift + entry.r_addend.unwrap() as u64);
            assert_eq!(applied.count(), relative.len(), "{name}");
            // They are out of the list that the program goes through, and the words bring them
            // back.
            let info = &elf.dynamic.as_ref().unwrap().info;
            let words: Vec<(u64, u64)> = program.words().map(|it| (word(it.address), it.value)).collect();
            let taken = 24 * relative.len() as u64;
            let (start, size, count) = (info.rela as u64, info.relasz as u64, info.relacount as u64);
            assert_eq!(words, [(start + taken, start), (size - taken, size), (0, count)], "{name}");
            assert_eq!(count, relative.len() as u64);
        }
    }
}

#[test]
fn the_interpreter_has_only_relocations_that_it_applies() {
    need!(Hosts);
    for host in Host::all() {
        let scratch = Scratch::new();
        write(&scratch, &host, &["--no-emulators"]).succeeded();
        let image = fs::read(scratch.path().join("i")).unwrap();
        let elf = Elf::parse(&image).unwrap();
        assert!(elf.dynrelas.iter().all(|entry| entry.r_type == host.relative), "{:?}", elf.dynrelas);
        assert_eq!((elf.dynrels.len(), elf.pltrelocs.len()), (0, 0));
        let packed = elf.dynamic.as_ref().unwrap().dyns.iter().any(|entry| entry.d_tag == DT_RELR && entry.d_val != 0);
        assert!(packed == elf.dynrelas.is_empty(), "{}", host.name());
        // Its size is what it occupies in memory and in each file.
        let mut loads: Vec<_> = elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD).collect();
        // The last one is the payload.
        loads.pop();
        let end = loads.iter().map(|segment| segment.p_offset + segment.p_filesz).max();
        assert!(end.is_some_and(|end| end <= LARGEST), "{end:?}");
    }
}

#[test]
fn foreign_programs_run_through_the_image() {
    need!(Hosts, BothQemus, CrossCompilers, Guests);
    for host in Host::all() {
        let scratch = Scratch::new();
        // aarch64 hosts may run arm programs by themselves, so it is named.
        write(&scratch, &host, &["--from", host.emulators().to_str().unwrap(), "s390x", "arm"]).succeeded();
        let [s390x, arm] =
            [("s390x", "s390x"), ("armhf", "armv7l")].map(|(debian, machine)| (guest(debian).busybox, machine));
        for (flag, secure) in [("P", false), ("P", true), ("T", false), ("T", true)] {
            for (program, machine) in [&s390x, &arm] {
                let start = Start { flag, secure, ..Start::PLAIN };
                start.run(&scratch, &host, program, &["busybox", "uname", "-m"]).printed(&format!("{machine}\n"));
            }
        }
        // Arguments, argv[0], descriptors, exit codes.
        let script = r#"echo "$0" "$@"; cat /proc/self/cmdline | tr '\0' ' '; ls /proc/self/fd | wc -l; exit 7"#;
        for flag in ["P", "T"] {
            let start = Start { flag, ..Start::PLAIN };
            let seen = start.run(&scratch, &host, &s390x.0, &["sh", "-c", script, "a b", "", "c"]);
            seen.exited(7);
            assert_eq!(seen.out().lines().next(), Some("a b  c"), "{seen}");
        }
    }
}

#[test]
fn what_cannot_run_is_refused_with_one_line() {
    need!(Hosts, BothQemus, CrossCompilers, Qemu);
    for host in Host::all() {
        let scratch = Scratch::new();
        write(&scratch, &host, &["--no-emulators"]).succeeded();
        let refused = |program: &Path, code, said: &str| {
            for flag in ["P", "T"] {
                let seen = Start { flag, ..Start::PLAIN }.run(&scratch, &host, program, &["x"]);
                seen.exited(code);
                let line = format!("binfmt-dispatch: {}: {said}", program.display());
                assert!(seen.err().starts_with(&line) && seen.err().lines().count() == 1, "{seen}");
            }
        };
        refused(&scratch.write("text", "text"), 126, "not an ELF file");
        // It is opened by its path, and there it is for this machine.
        refused(&scratch.probe("guest", "hexagon"), 126, "the emulator /usr/bin/qemu-hexagon");
        // A file that is cut short needs a real kernel: QEMU reads the missing page itself.
        let image = fs::read(scratch.path().join("i")).unwrap();
        // It is for hosts of another CPU, or for smaller pages than the kernel's.
        for (at, bytes, said) in
            [(12, &[22, 0], "is for hosts of ELF machine 22"), (16, &[0, 1], "is for hosts with smaller pages")]
        {
            let mut other = image.clone();
            let start = image.len() - payload(&image).len();
            other[start + at..][..2].copy_from_slice(bytes);
            let sum = dispatch_core::image::checksum(&other[start..start + 136]).to_le_bytes();
            other[start + 136..start + 144].copy_from_slice(&sum);
            scratch.write("i", other);
            refused(&scratch.probe("guest", "hexagon"), 125, &format!("the image {said}"));
        }
    }
}

#[test]
fn an_emulator_for_small_pages_runs_where_pages_are_small() {
    need!(Hosts, BothQemus, CrossCompilers);
    let host = &Host::all()[0];
    let scratch = Scratch::new();
    let emulator = |word: &str, largest: u64, place: &[&str]| {
        let options = [format!("-DWORD=\"{word}\""), format!("-Wl,-z,max-page-size={largest}")];
        let options =
            [&["-DSTATUS=3", "-Wl,-z,separate-code"], place, &options.each_ref().map(String::as_str)[..]].concat();
        host.programs.build_as(word, "tests/support/emulators/say.c", &options)
    };
    // A kernel with larger pages would choose addresses for the second one that this kernel does
    // not: so it has its own.
    let small = emulator("small", 0x1000, &["-static-pie", "-fPIE"]);
    let large = emulator("large", 0x1_0000, &["-static", "-no-pie", "-Wl,-Ttext-segment=0x20000000"]);
    let [small, large] = [format!("hexagon={}", small.display()), format!("s390x={}", large.display())];
    let seen = write(&scratch, host, &["--from", &small, "--from", &large]);
    seen.exited(0);
    let warning = "runs on kernels with pages of 4 KiB at most, not of 64 KiB: it is not aligned to them";
    assert!(seen.err().contains(warning) && seen.err().lines().count() == 1, "{seen}");
    let [small, large] = [("small", "hexagon"), ("large", "s390x")].map(|(name, row)| scratch.probe(name, row));
    for page in [0x1000, 0x4000, 0x1_0000] {
        // The kernel's pages do not change, but what the interpreter is told of them.
        let start = Start { page, ..Start::PLAIN };
        let seen = start.run(&scratch, host, &large, &["x"]);
        assert!(seen.code() == 3 && seen.out() == "large\n", "{seen}");
        let seen = start.run(&scratch, host, &small, &["x"]);
        if page == 0x1000 {
            assert!(seen.code() == 3 && seen.out() == "small\n", "{seen}");
        } else {
            assert!(
                seen.err().contains("is for hosts with smaller pages") && seen.err().lines().count() == 1,
                "{seen}"
            );
            seen.exited(125);
        }
    }
}

#[test]
fn images_for_other_hosts_can_be_looked_at_only() {
    need!(Hosts);
    let [arm64, _] = &Host::all();
    let scratch = Scratch::new();
    write(&scratch, arm64, &["--from", arm64.emulators().to_str().unwrap(), "arm"]).succeeded();
    let list = scratch.tool(["list", "--image", "i"]);
    assert!(list.succeeded().out().contains("qemu-arm"), "{list}");
    let snippet = scratch.tool(["generate", "--host", "arm64", "--image", "i", "arm"]);
    assert!(snippet.succeeded().out().contains(":qemu-arm:M:"), "{snippet}");
    let here = std::env::consts::ARCH;
    let whole = scratch.path().join("i");
    for (image, command) in [("i", "generate"), (whole.to_str().unwrap(), "register")] {
        let expected = format!(
            "{image}: the image is for aarch64 hosts, and not for {here}: write another with `binfmt-dispatch image`"
        );
        scratch.tool([command, "--image", image, "arm"]).refused(1, &expected);
    }
}

#[test]
fn what_is_for_another_host_is_named() {
    need!(Hosts);
    let [arm64, riscv64] = &Host::all();
    let scratch = Scratch::new();
    let line = |path: &str, is: &str, wanted: &str| {
        format!("{path}: runs on {is} hosts, and the image is for {wanted}: name a file for {wanted} hosts")
    };
    // Emulators.
    let of_arm64 = arm64.emulators();
    let expected = line(of_arm64.join("qemu-arm").to_str().unwrap(), "aarch64", "riscv64");
    write(&scratch, riscv64, &["--from", of_arm64.to_str().unwrap()]).refused(1, &expected);
    let here = std::env::consts::ARCH;
    let expected = line(of_arm64.join("qemu-arm").to_str().unwrap(), "aarch64", here);
    scratch.tool(["image", "-o", "i", "--from", of_arm64.to_str().unwrap()]).refused(1, &expected);
    // The command.
    let command = arm64.command();
    let expected = line(command.to_str().unwrap(), "aarch64", "riscv64");
    let no_emulators = ["--host", "riscv64", "--no-emulators", "--command"].map(str::to_owned);
    let write_with = |file: &str| {
        scratch.tool(["image", "-o", "i"].map(str::to_owned).iter().chain(&no_emulators).chain([&file.to_owned()]))
    };
    write_with(command.to_str().unwrap()).refused(1, &expected);
    scratch.write("text", "text");
    write_with("text").refused(1, "text: is not binfmt-dispatch: name the file that `ci/build --host` prints");
    // The interpreter in it reads records of another version.
    let mut other = fs::read(&command).unwrap();
    let mark = b"bd-interpreter\0\n";
    let marked = |at: &usize| other[*at..].starts_with(mark) && other[at + 32..].starts_with(b"\x7fELF");
    let at = (0..other.len() - 64).find(marked).unwrap();
    other[at + mark.len()] += 1;
    scratch.write("other", other);
    let expected = "other: is binfmt-dispatch in another version than this one: build both from the same sources";
    write_with("other").refused(1, expected);
    // Emulators that are not named, and hosts that no image can be for.
    let expected = "emulators for aarch64 hosts are not installed here: name them with --from";
    write(&scratch, arm64, &[]).refused(2, expected);
    let expected = "s390x: no image can be written for such hosts: only for x86_64, aarch64, riscv64";
    scratch.tool(["image", "-o", "i", "--host", "s390x", "--command", "text"]).refused(2, expected);
    assert!(!scratch.path().join("i").exists());
}
