//! Programs that are refused: one line that names the program, the documented exit code, nothing on
//! standard output.

use crate::support::{Elf, FOREIGN, Kind, Namespace, Report, Row, Scratch, build, guests, need};

/// Offsets in a 64-bit ELF header (gABI, chapter 4).
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;
const E_ENTRY: usize = 24;
const E_EHSIZE: usize = 52;
const E_PHENTSIZE: usize = 54;
/// Offsets in a 64-bit program header.
const P_TYPE_AND_FLAGS: usize = 0;
const P_VADDR: usize = 16;
const P_FILESZ: usize = 32;
const P_MEMSZ: usize = 40;

#[test]
fn damaged_headers_that_the_kernel_lets_through() {
    need!(Namespace);
    let scratch = Scratch::new();
    let probe = |name: &str| Elf(std::fs::read(scratch.probe("guest", name)).unwrap());
    let remedy = "check that the file is a complete Linux program";
    for (guest, problem) in [
        (probe("s390x").with(E_EHSIZE, &[0, 2]), "ELF header size 2 is not 64"),
        (probe(FOREIGN).with(E_EHSIZE, &[52]), "ELF header size 52 is not 64"),
        (probe(FOREIGN).with(E_PHENTSIZE, &[0]), "ELF program header size 0 is not 56"),
        (probe("mipsel").with(40, &[64]), "ELF header size 64 is not 52"),
        (probe("mipsel").with(42, &[0xff, 0xff]), "ELF program header size 65535 is not 32"),
        (Elf(probe(FOREIGN).0[..63].to_vec()), "ELF header cut short at 63 of 64 bytes"),
        (Elf(probe(FOREIGN).0[..20].to_vec()), "ELF header cut short at 20 of 64 bytes"),
        (Elf(probe("mips").0[..51].to_vec()), "ELF header cut short at 51 of 52 bytes"),
    ] {
        scratch.write("guest", guest.0);
        Namespace::ours().run(&scratch, "./guest").not_started(126, &format!("./guest: {problem}: {remedy}"));
    }
}

#[test]
fn programs_for_other_systems_and_machines_stay_unstarted() {
    need!(Namespace);
    let scratch = Scratch::new();
    let probe = Elf(std::fs::read(scratch.probe("guest", FOREIGN)).unwrap());
    // riscv32 has the same machine.
    let no_such_class = if FOREIGN == "riscv64" { 3 } else { 1 };
    // FreeBSD, an object file, a core dump, no such machine, 32-bit: the kernel itself says "exec
    // format error".
    for (offset, value) in [(7, 9), (E_TYPE, 1), (E_TYPE, 4), (E_MACHINE + 1, 0x7f), (4, no_such_class), (5, 3), (6, 0)]
    {
        scratch.write("guest", probe.clone().with(offset, &[value]).0);
        let seen = Namespace::ours().run(&scratch, "./guest");
        assert!(seen.code() == 126 && seen.err().contains("Exec format error"), "{offset}: {seen}");
    }
}

#[test]
fn names_are_shown_without_harm() {
    need!(Namespace);
    let scratch = Scratch::new();
    let probe = Elf(std::fs::read(scratch.probe("probe", FOREIGN)).unwrap());
    scratch.write("guest", probe.with(E_EHSIZE, &[2]).0);
    let problem = "ELF header size 2 is not 64: check that the file is a complete Linux program";
    let name = r"./$'\e[31mred\n\x7f\xff\xc2\x9bgr\xc3\xbcn'";
    let shown = r"./\x1b[31mred\x0a\x7f\xff\xc2\x9bgrün";
    let namespace = Namespace::ours();
    let script = format!("mv guest ./{}; {name}", name.split_once("./").unwrap().1);
    namespace.run(&scratch, &script).not_started(126, &format!("{shown}: {problem}"));

    std::fs::remove_file(scratch.at("probe")).unwrap();
    // What follows the last colon is a command to paste.
    for (name, pasted) in
        [("a-b_c.d+e,f=g@h%i", true), ("a b", false), ("a;id", false), ("$(id)", false), ("a~", false), ("a*", false)]
    {
        let script = format!("mv ./* './{name}'; './{name}'");
        let file = if pasted { format!("./{name}") } else { "FILE".to_owned() };
        let line = format!("./{name}: {problem}; more: binfmt-dispatch --explain {file}");
        namespace.run(&scratch, &script).refused(126, &line);
    }
    // The kernel passes the path as the caller wrote it.
    let script = "mv ./* ./-x; env PATH= -x";
    let line = format!("-x: {problem}; more: binfmt-dispatch --explain FILE");
    namespace.run(&scratch, script).refused(126, &line);

    scratch.clear();
    let probe = Elf(std::fs::read(scratch.probe("guest", FOREIGN)).unwrap());
    scratch.write("guest", probe.with(E_EHSIZE, &[2]).0);
    let script = "name=$(printf 'n%.0s' {1..250}); path=.; for i in {1..15}; do path=$path/$name; done
        mkdir -p $path; mv guest $path; $path/guest";
    let path = format!("{}/guest", format!("/{}", "n".repeat(250)).repeat(15));
    let end = &path[path.len() - 512..];
    namespace.run(&scratch, script).not_started(126, &format!("...{end}: {problem}"));
}

#[test]
fn a_line_is_written_at_once_and_stays_one_line() {
    need!(Namespace);
    let scratch = Scratch::new();
    let probe = Elf(std::fs::read(scratch.probe("guest", FOREIGN)).unwrap());
    scratch.write("guest", probe.with(E_EHSIZE, &[2]).0);
    // Each of these 250 bytes takes four when it is escaped.
    let script = r"name=$(printf '\x01%.0s' {1..250}); mkdir $name; mv guest $name/$name; ./$name/$name";
    let seen = Namespace::ours().run(&scratch, script);
    assert!(seen.code() == 126 && seen.err().ends_with('\n') && seen.err().lines().count() == 1, "{seen}");
    assert!(seen.err().len() <= 2048, "{seen}");
}

#[test]
fn the_exit_code_stands_where_nobody_reads_the_line() {
    need!(Namespace);
    let scratch = Scratch::new();
    let probe = Elf(std::fs::read(scratch.probe("guest", FOREIGN)).unwrap());
    scratch.write("guest", probe.with(E_EHSIZE, &[2]).0);
    // Standard error is a pipe without a reader, a full device, or closed.
    let script = "mkfifo pipe; exec 3<>pipe 4>pipe 3<&-; ./guest 2>&4; echo $?; ./guest 2>/dev/full; echo $?
        ./guest 2>&-; echo $?";
    Namespace::ours().run(&scratch, script).printed("126\n126\n126\n");
}

#[test]
fn a_missing_emulator() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let remedy = "or the table's other places: install qemu-user-static";
    // The path does not exist, or is below a file that is no directory.
    for emulator in [scratch.at("nothing"), scratch.at("guest/emulator")] {
        let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &emulator).table());
        let line = format!("./guest: no emulator for {FOREIGN} at {emulator} {remedy}");
        namespace.run(&scratch, "./guest").not_started(127, &line);
    }
}

#[test]
fn a_damaged_emulator() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let whole = || Elf(build(Kind::Pie));
    let cut = |len: usize| Elf(whole().0[..len].to_vec());
    let first = whole().word(whole().program_headers(1)[0] + P_VADDR);
    // The data's. The linkers of some CPUs make fewer segments.
    let last = whole().program_headers(1).len() - 1;
    let data = whole().word(whole().program_headers(1)[last] + P_VADDR).to_le_bytes();
    let other = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    let no_segments = || {
        let elf = whole();
        let loads = elf.program_headers(1);
        loads.into_iter().fold(elf, |elf, at| elf.with(at, &[0; 4]))
    };
    for (emulator, problem) in [
        (Elf(Vec::new()), "is damaged (not an ELF file)"),
        (Elf(b"#!/bin/sh\n".to_vec()), "is damaged (not an ELF file)"),
        (cut(3), "is damaged (ELF header cut short at 3 of 52 bytes)"),
        (cut(20), "is damaged (ELF header cut short at 20 of 64 bytes)"),
        (cut(100), "is damaged (program headers out of reach)"),
        (cut(100_000), "is damaged (a segment ends beyond the file)"),
        (whole().with(32, &u64::MAX.to_le_bytes()), "is damaged (program headers out of reach)"),
        (whole().with(E_TYPE, &[1]), "is damaged (an object file, not a program)"),
        (whole().with(E_MACHINE, &[other]), &format!("is for another host (ELF machine {other})")),
        (whole().with(E_ENTRY, &data), "is damaged (entry point outside its code)"),
        (whole().with(E_ENTRY, &[0xff; 8]), "is damaged (entry point outside its code)"),
        (
            whole().with_load(0, P_FILESZ, |_| 100).with_load(0, P_MEMSZ, |_| 100),
            // Where the same segment has the code, that is noticed first.
            if last == 1 {
                "is damaged (entry point outside its code)"
            } else {
                "does not load its own program headers"
            },
        ),
        (no_segments(), "is damaged (no loadable segment)"),
        (whole().with_load(1, P_VADDR, |vaddr| first + 0x1000 + vaddr % 0x1000), "is damaged (segments overlap)"),
        (whole().with_load(1, P_TYPE_AND_FLAGS, |v| v | 3 << 32), "has a segment that is writable and executable"),
        (whole().with_load(0, P_FILESZ, |size| size + 0x10_0000), "is damaged (a segment's size is impossible)"),
        (whole().with_load(last, P_MEMSZ, |_| u64::MAX), "is damaged (a segment's size is impossible)"),
        (whole().with_load(last, P_MEMSZ, |_| 1 << 41), "is damaged (a segment's size is impossible)"),
        (whole().with_load(1, P_VADDR, |vaddr| vaddr + 1), "is not aligned to this host's pages"),
        (whole().with_load(last, P_VADDR, |vaddr| vaddr | !0xfff), "is damaged (a segment's size is impossible)"),
    ] {
        scratch.write("emulator", emulator.0);
        let path = scratch.at("emulator");
        let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &path).table());
        let line = format!("./guest: the emulator {path} {problem}: reinstall it");
        namespace.run(&scratch, "./guest").not_started(126, &line);
    }
}

#[test]
fn an_emulator_for_another_host() {
    need!(Namespace, Guests);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let table = dispatch_table::ArchTable::builtin();
    for guest in guests() {
        let machine = table.find(guest.debian).unwrap().machine[0].number;
        let path = guest.busybox.to_str().unwrap().to_owned();
        let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &path).table());
        let line = format!("./guest: the emulator {path} is for another host (ELF machine {machine}): reinstall it");
        namespace.run(&scratch, "./guest").not_started(126, &line);
    }
}

#[test]
fn an_emulator_that_is_no_readable_file() {
    need!(Namespace, Compiler, Root);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let path = scratch.at("emulator");
    let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &path).table()).mapped();
    let line = |text: &str| format!("./guest: {text}");
    namespace
        .run(&scratch, "mkdir emulator; ./guest")
        .not_started(126, &line(&format!("cannot read the emulator {path}: is a directory: check it with ls -l")));
    namespace.run(&scratch, "rmdir emulator; ln -s emulator emulator; ./guest").not_started(
        126,
        &line(&format!("cannot open the emulator {path}: too many levels of symbolic links: check it with ls -l")),
    );
    std::fs::remove_file(&path).unwrap();
    scratch.write("emulator", build(Kind::Pie));
    scratch.mode("emulator", 0o700);
    namespace
        .run(&scratch, "exec setpriv --reuid 1000 --regid 1000 --clear-groups ./guest")
        .not_started(126, &line(&format!("cannot open the emulator {path}: permission denied: check it with ls -l")));
}

#[test]
fn too_little_address_space() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let path = scratch.at("emulator");
    let guest = scratch.at("guest");
    let line = format!(
        "{guest}: cannot map the emulator {path}: out of memory: raise the limits (ulimit -v, -d, or vm.overcommit_ratio)"
    );
    let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &path).table());
    // Enough for the kernel to map the image, but not enough for the emulator besides.
    let limit = std::fs::metadata(scratch.at("image")).unwrap().len() / 1024 + 600;
    for kind in [Kind::Pie, Kind::Fixed] {
        scratch.write("emulator", build(kind));
        namespace.run(&scratch, &format!("ulimit -v {limit}; exec ./guest")).not_started(126, &line);
    }
}

#[test]
fn addresses_that_are_taken() {
    need!(Namespace, Compiler);
    // Without randomness the kernel's own mapping, the vDSO, always has the same address. The
    // emulator is put there.
    let scratch = Scratch::new();
    scratch.probe("guest", FOREIGN);
    let fixed = Elf(build(Kind::Fixed));
    scratch.write("emulator", &fixed.0);
    let path = scratch.at("emulator");
    let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &path).table());
    let script = "setarch -R ./guest";
    let vdso: u64 = Report::of(&namespace.run(&scratch, script)).number("aux.33");
    let loads = fixed.program_headers(1);
    let shift = vdso - fixed.word(loads[0] + P_VADDR);
    let moved = (0..loads.len()).fold(fixed, |elf, nth| elf.with_load(nth, P_VADDR, |vaddr| vaddr + shift));
    let entry = moved.word(E_ENTRY) + shift;
    scratch.write("emulator", moved.with(E_ENTRY, &entry.to_le_bytes()).0);
    let line =
        format!("./guest: cannot map the emulator {path}: its addresses are taken: use a position-independent one");
    namespace.run(&scratch, script).not_started(126, &line);
}
