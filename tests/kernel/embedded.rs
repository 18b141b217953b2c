//! Embedded emulators, as they see themselves: moved out of the image, prelinked or not.

use std::fmt::Write;
use std::ops::RangeInclusive;

use dispatch_core::image::{ImageHeader, ProgramRecord};
use dispatch_core::record::Field;

use crate::counts::release_asked;
use crate::handover::registers_are_clear;
use crate::support::{
    Elf, FOREIGN, Kind, Namespace, Observation, Report, Scratch, build, guests, need, page, prelinked, reporting,
    translate,
};

/// System calls from the interpreter's first instruction to the jump, with a real emulator.
const SYSTEM_CALLS: usize = 10;
/// Additional calls for a guest that is shorter than the part that is read at once.
const SHORT: usize = 1;
/// Most additional calls for an emulator that is aligned to more than a page. It has one segment
/// more, and the memory around it is unmapped unless it is prelinked.
const ALIGNING: usize = 5;
/// Additional calls if a standard descriptor is closed: the guest gets its number, and is moved.
const MOVING: usize = 2;
/// `p_type` of a segment to map.
const PT_LOAD: u32 = 1;
/// `p_flags` of a segment that is written to; its first byte.
const PF_W: u8 = 2;
/// Memory that the reporting emulator needs besides its file, with a margin: bytes for libc, and pages
/// that are used in part.
const OWN_DATA: (u64, u64) = (192 << 10, 16);
/// Largest memory that the interpreter may leave behind, in bytes.
const LEFT_BEHIND: u64 = 64 * 1024;

/// A directory with a guest, and an image that is written with `options` and embeds an emulator of
/// `kind` for it.
fn bench(kind: Kind, options: &[&str]) -> (Scratch, Namespace) {
    let (scratch, _) = reporting(kind);
    let namespace = Namespace::embedding(&scratch, options);
    // After this it cannot be found by its path.
    std::fs::remove_file(scratch.at("emulator")).unwrap();
    (scratch, namespace)
}

/// Asserts that the emulator is in memory as its file says, and that its auxiliary vector says so
/// too.
#[track_caller]
pub fn whole(report: &Report) {
    for fact in ["own-phdr", "own-phnum", "own-entry", "vdso", "random"] {
        report.is(fact, "1");
    }
    report.is("bss-dirty-at-entry", "0").is("zeros-dirty", "0").is("data", "17 4711 42 12345");
    report.is("words", "relocated pointers are right").is("writable-code", "0");
    report.is("aux.7", "0").is("aux.8", "0").is("execfd-offset", "0").is("execfd-start", r"\x7fELF");
}

fn out_of_memory(guest: &str) -> String {
    let what_to_do = "raise the limits (ulimit -v, -d, or vm.overcommit_ratio)";
    format!("{guest}: cannot map the emulator emulator: out of memory: {what_to_do}")
}

/// The number of segments of the emulator.
pub fn segments(kind: Kind) -> usize {
    Elf(build(kind)).program_headers(PT_LOAD).len()
}

fn base(report: &Report) -> u64 {
    report.number("base")
}

#[test]
fn every_kind_is_as_its_file_says() {
    need!(Namespace, Compiler);
    for (kind, align) in [(Kind::Pie, 0x1000), (Kind::Fixed, 0x1000), (Kind::Aligned, 0x20_0000)] {
        for options in [&[][..], &["--no-prelink"]] {
            let (scratch, namespace) = bench(kind, options);
            let script =
                "for i in 1 2 3; do $CALL ./guest zero -one 'two words' >report.$i || exit; done; cat report.1";
            let first = Report::of(&namespace.run(&scratch, script));
            whole(&first);
            first.argv(&["emulator", "-0", "zero", "--", "./guest", "-one", "two words"]);
            first.is("descriptors", "0 1 2 3").is("execfn", "./guest").is("proc-comm", r"guest\x0a");
            first.is("proc-cmdline", r"zero\x00-one\x00two\x20words\x00".replace(r"\x20", " ").as_str());
            registers_are_clear(&first);
            assert_eq!(base(&first) % align, 0, "{kind:?}");
            let others = [2, 3].map(|i| base(&Report::of(&namespace.run(&scratch, &format!("cat report.{i}")))));
            // A prelinked emulator is always at the same address, another one at an address that
            // the kernel chooses.
            let fixed = kind == Kind::Fixed || options.is_empty() && prelinked::is_in_reach();
            assert_eq!(others.iter().all(|&other| other == base(&first)), fixed, "{kind:?} {options:?}: {others:x?}");
        }
    }
}

#[test]
fn where_its_addresses_are_taken_it_goes_elsewhere() {
    need!(Namespace, Compiler, Prelinked);
    // Without randomness the vDSO always has the same address. This claims that the emulator is
    // prelinked for it.
    let (scratch, namespace) = bench(Kind::Pie, &[]);
    let script = "setarch -R ./guest";
    let before = Report::of(&namespace.run(&scratch, script));
    let vdso = before.number::<u64>("aux.33") & !0xfff;
    let mut image = Elf(std::fs::read(scratch.at("image")).unwrap());
    let last = *image.program_headers(PT_LOAD).last().unwrap();
    let payload = usize::try_from(image.word(last + 8)).unwrap();
    let header = ImageHeader::read(&image.0[payload..]).unwrap();
    let record = payload + usize::try_from(header.programs.offset).unwrap() + ProgramRecord::SIZE;
    let program = ProgramRecord::read(&image.0[record..]).unwrap();
    assert_eq!(program.base, base(&before));
    let mut at = record;
    ProgramRecord { base: vdso, ..program }.write(&mut |part| {
        image.0[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    });
    std::fs::remove_file(scratch.at("image")).unwrap();
    scratch.write("image", &image.0);
    let after = Report::of(&namespace.run(&scratch, script));
    whole(&after);
    assert!(base(&after) != vdso && base(&after) != program.base, "{:x}", base(&after));
}

#[test]
fn a_fixed_program_whose_addresses_are_taken_is_refused() {
    need!(Namespace, Compiler);
    let (scratch, namespace) = bench(Kind::Fixed, &[]);
    let vdso: u64 = Report::of(&namespace.run(&scratch, "setarch -R ./guest")).number("aux.33");
    let fixed = Elf(build(Kind::Fixed));
    let loads = fixed.program_headers(PT_LOAD);
    // p_vaddr, and e_entry.
    let shift = (vdso & !0xfff) - fixed.word(loads[0] + 16);
    let moved = (0..loads.len()).fold(fixed, |elf, nth| elf.with_load(nth, 16, |vaddr| vaddr + shift));
    let entry = moved.word(24) + shift;
    scratch.write("emulator", moved.with(24, &entry.to_le_bytes()).0);
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    let namespace = Namespace::with_image(&scratch, &["--from", &from]);
    let line = "./guest: cannot map the emulator emulator: its addresses are taken: use a position-independent one";
    namespace.run(&scratch, "setarch -R ./guest").not_started(126, line);
}

#[test]
fn few_system_calls_lead_to_it() {
    need!(Namespace, Compiler, Strace);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned] {
        for options in [&[][..], &["--no-prelink"]] {
            let (scratch, namespace) = bench(kind, options);
            let more = if kind == Kind::Aligned { ALIGNING } else { 0 };
            for (closed, least) in [("", SYSTEM_CALLS + SHORT), ("<&-", SYSTEM_CALLS + SHORT + MOVING)] {
                let script = format!("strace -qq -o trace ./guest {closed} >/dev/null; {TO_THE_JUMP}");
                counted(&namespace.run(&scratch, &script), least..=least + more, 0);
            }
        }
    }
}

#[test]
fn few_system_calls_lead_to_a_real_one() {
    need!(Namespace, Guests, Qemu, Strace);
    let scratch = Scratch::new();
    for guest in guests() {
        let script = format!("strace -qq -o trace {} true; {TO_THE_JUMP}", guest.busybox.display());
        // One call tells the emulator where its translations are.
        let translated = !translate().is_empty() && guest.debian == "arm64";
        let calls = SYSTEM_CALLS + usize::from(translated);
        counted(&Namespace::full().run(&scratch, &script), calls..=calls, 0);
    }
}

/// Prints the system calls up to the interpreter's last one. That one follows the change of what
/// /proc shows: it unmaps the payload, or maps inaccessible memory over it.
const TO_THE_JUMP: &str = "awk 'NR > 1; /PR_SET_MM/ { last = 1 } last && /^m(un)?map/ { exit }' trace";

/// Asserts the number of calls, and that `paths` of them look up a path.
#[track_caller]
fn counted(seen: &Observation, expected: RangeInclusive<usize>, paths: usize) {
    let calls: Vec<&str> = seen.succeeded().out().lines().collect();
    let clears_out = |call: &&str| {
        call.starts_with("munmap(") && call.ends_with("= 0")
            || call.contains(", PROT_NONE, MAP_PRIVATE|MAP_FIXED|") && !call.contains("= -1 ")
    };
    assert!(calls.last().is_some_and(clears_out), "{seen}");
    let looked_up = |call: &&&str| call.contains("/proc") || call.starts_with("open");
    let lookups: Vec<_> = calls.iter().filter(looked_up).collect();
    assert_eq!(lookups.len(), paths, "{seen}");
    // Each segment takes a call. Emulators for x86_64 have four; those that the linkers of other
    // CPUs make have fewer, and moving one to addresses that it was not prelinked for may take one
    // more.
    let (fewer, more) = if cfg!(target_arch = "x86_64") { (0, 0) } else { (2, 1) };
    let (least, most) = (expected.start() + release_asked() - fewer, expected.end() + release_asked() + more);
    assert!((least..=most).contains(&calls.len()), "{} system calls\n{seen}", calls.len());
}

#[test]
fn few_system_calls_lead_to_it_with_privileges_too() {
    need!(Namespace, Compiler, Strace, Root);
    let (scratch, namespace) = bench(Kind::Pie, &[]);
    let script = format!(
        "chmod 4755 guest; chmod 777 .; strace -u nobody -qq -o trace ./guest >report
        grep '^aux.23 1$' report >secure || exit; {TO_THE_JUMP}"
    );
    // One call asks for the path of the program.
    let expected = SYSTEM_CALLS + SHORT + 1;
    counted(&namespace.flags("POCF").mapped().run(&scratch, &script), expected..=expected, 1);
}

#[test]
fn of_two_for_one_cpu_the_first_runs() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("old", build(Kind::Pie));
    scratch.write("new", build(Kind::Fixed));
    scratch.probe("guest", FOREIGN);
    let [old, new] = ["old", "new"].map(|name| format!("{FOREIGN}={}", scratch.at(name)));
    for (first, second, name) in [(&old, &new, "old"), (&new, &old, "new")] {
        let namespace = Namespace::with_image(&scratch, &["--from", first, "--from", second]);
        let report = Report::of(&namespace.run(&scratch, "./guest"));
        whole(&report);
        report.argv(&[name, "-0", "./guest", "--", "./guest"]);
    }
}

#[test]
fn limits_and_layouts_make_no_difference() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed] {
        let (scratch, namespace) = bench(kind, &[]);
        for script in [
            "ulimit -s unlimited; exec ./guest",
            "ulimit -s 256; exec ./guest",
            "exec setarch -R ./guest",
            "ulimit -s unlimited; exec setarch -R ./guest",
            "exec setarch --addr-compat-layout ./guest",
        ] {
            whole(&Report::of(&namespace.run(&scratch, script)));
        }
    }
}

#[test]
fn too_little_address_space_is_said() {
    need!(Namespace, Compiler);
    for (kind, options) in [(Kind::Pie, &[][..]), (Kind::Pie, &["--no-prelink"]), (Kind::Fixed, &[])] {
        let (scratch, namespace) = bench(kind, options);
        let guest = scratch.at("guest");
        // Enough for the kernel to map the image, but not enough for the emulator besides.
        let image = std::fs::metadata(scratch.at("image")).unwrap().len() / 1024;
        let line = out_of_memory(&guest);
        namespace.run(&scratch, &format!("ulimit -v {}; exec {guest}", image + 2500)).not_started(126, &line);
        whole(&Report::of(&namespace.run(&scratch, &format!("ulimit -v {}; exec ./guest", image + 30_000))));
    }
}

#[test]
fn what_is_only_read_is_not_counted_as_memory_in_use() {
    need!(Namespace, Compiler);
    for (kind, options) in [(Kind::Pie, &[][..]), (Kind::Pie, &["--no-prelink"]), (Kind::Fixed, &[])] {
        let (scratch, namespace) = bench(kind, options);
        let elf = Elf(build(kind));
        let loads = elf.program_headers(PT_LOAD);
        let writable = |load: &&usize| elf.0[**load + 4] & PF_W != 0;
        let size = |loads: &mut dyn Iterator<Item = &usize>| -> u64 { loads.map(|load| elf.word(load + 40)).sum() };
        let (written, whole_of_it) = (size(&mut loads.iter().filter(writable)), size(&mut loads.iter()));
        let limit = written + OWN_DATA.0 + OWN_DATA.1 * page() as u64;
        assert!(whole_of_it > limit, "the emulator is too small for this test: {whole_of_it} bytes");
        // RLIMIT_DATA counts what vm.overcommit_memory=2 does: private mappings that are writable.
        whole(&Report::of(&namespace.run(&scratch, &format!("ulimit -d {}; exec ./guest", limit / 1024))));
        let too_little = format!("ulimit -d {}; exec ./guest", written / 2 / 1024);
        namespace.run(&scratch, &too_little).not_started(126, &out_of_memory(&scratch.at("guest")));
    }
}

#[test]
fn a_kernel_without_memory_is_said() {
    need!(Namespace, Compiler, Strace);
    // This is like vm.overcommit_memory=2 when no memory is left to promise. Reserving is tried at
    // the prelinked address first, unless the kernel's random choice puts that out of reach.
    let (scratch, namespace) = bench(Kind::Pie, &[]);
    let without = |call: &str, which: &str| {
        let script = format!("exec setarch -R strace -qq -o trace -e inject={call}:error=ENOMEM:when={which} ./guest");
        namespace.run(&scratch, &script)
    };
    for (call, which) in [("mmap", "1+"), ("mremap", "1")] {
        without(call, which).not_started(126, &out_of_memory("./guest"));
    }
    // One for each segment but the first. The linkers of some CPUs make two segments, of others
    // four.
    for which in 1..segments(Kind::Pie) {
        without("mprotect", &which.to_string()).not_started(126, &out_of_memory("./guest"));
    }
    // The reservation around it fails first, and then its own. Where the prelinked address is out of
    // reach, there is no reservation around it.
    let survived: &[&str] = if prelinked::is_in_reach() { &["1", "1..2"] } else { &["1"] };
    for which in survived {
        whole(&Report::of(&without("mmap", which)));
    }
}

#[test]
fn nothing_of_the_image_stays_that_is_not_needed() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned] {
        for options in [&[][..], &["--no-prelink"]] {
            let (scratch, namespace) = bench(kind, options);
            let seen = namespace.run(&scratch, "./guest");
            let report = Report::of(&seen);
            let elf = Elf(build(kind));
            let loads = elf.program_headers(PT_LOAD);
            let (first, last) = (loads[0], loads[loads.len() - 1]);
            let span = elf.word(last + 16) + elf.word(last + 40) - (elf.word(first + 16) & !0xfff);
            let inside = base(&report)..base(&report) + span;
            let image = scratch.at("image");
            let (mut left, mut own) = (0, String::new());
            for line in report.get("proc-maps").split(r"\x0a").filter(|line| line.ends_with(&image)) {
                let (range, _) = line.split_once(' ').unwrap();
                let (start, end) = range.split_once('-').unwrap();
                let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
                if !inside.contains(&start) {
                    left += end - start;
                    writeln!(own, "{line}").unwrap();
                }
            }
            assert!(left <= LEFT_BEHIND, "{left} bytes:\n{own}\n{seen}");
        }
    }
}
