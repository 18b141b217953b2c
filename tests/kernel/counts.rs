//! Promises in numbers, and promises about the interpreter's file.

use goblin::elf::reloc::R_RISCV_RELATIVE;
use goblin::elf::{Elf, program_header as ph};
use serde_json::json;

use crate::embedded::segments;
use crate::support::{FOREIGN, Kind, Namespace, Row, Scratch, build, dynamic_guest, kernel_since, need, page, probe};

/// The interpreter without a payload.
const INTERPRETER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));
/// System calls from the interpreter's first instruction to the prctl(2), with an emulator of four
/// segments and bss. Two of them are there because the guest is shorter than the part that is read
/// at once, and because a standard descriptor is closed.
const SYSTEM_CALLS: usize = 17;
/// The number of the segments of an emulator for `x86_64`.
const SEGMENTS: usize = 4;
/// Most additional calls for an emulator that is aligned to more than a page: the memory around it
/// is unmapped.
const ALIGNING: usize = 2;
/// `d_tag` of packed relative relocations (gABI chapter 5), which goblin does not know.
const DT_RELR: u64 = 36;
/// `d_tag` of their size, in bytes.
const DT_RELRSZ: u64 = 35;
/// Largest interpreter, in bytes.
const SIZE: u64 = 32 * 1024;

/// Additional calls if `AT_FLAGS` does not say that argv\[0\] is there: the interpreter asks for
/// the kernel's release.
pub fn release_asked() -> usize {
    usize::from(!kernel_since(5, 12))
}

#[test]
fn few_system_calls_lead_to_the_emulator() {
    need!(Namespace, Compiler, Strace);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned] {
        let calls = calls(kind, json!([]), &probe(FOREIGN));
        // Each segment takes a call, and the linkers of some CPUs make fewer of them.
        let least = SYSTEM_CALLS + release_asked() - (SEGMENTS - segments(kind));
        let expected = least..=least + if is_aligned(kind) { ALIGNING } else { 0 };
        assert!(expected.contains(&calls.len()), "{} system calls: {calls:?}", calls.len());
    }
}

/// Whether it is aligned to more than a page, as all are on some CPUs.
fn is_aligned(kind: Kind) -> bool {
    let file = build(kind);
    let headers = Elf::parse(&file).expect("it was just linked").program_headers;
    headers.iter().any(|header| header.p_type == ph::PT_LOAD && header.p_align > page() as u64)
}

#[test]
fn the_version_of_an_emulator_by_its_path_costs_none() {
    need!(Namespace, Compiler, Strace);
    let probe = probe(FOREIGN);
    assert_eq!(
        calls(Kind::Pie, json!([{"since": "7.0", "cpu": "asked"}]), &probe),
        calls(Kind::Pie, json!([]), &probe)
    );
}

#[test]
fn a_dynamic_linker_that_is_there_costs_one() {
    need!(Namespace, Compiler, Strace);
    let fixed = calls(Kind::Pie, json!([]), &probe(FOREIGN));
    one_more(&fixed, "faccessat", calls(Kind::Pie, json!([]), &dynamic_guest(probe(FOREIGN), "/bin/sh")));
}

#[test]
fn rows_for_directories_cost_one() {
    need!(Namespace, Compiler, Strace);
    let without = calls_with(Kind::Pie, |row| row, &probe(FOREIGN));
    for directory in ["/", "/nowhere"] {
        let below = json!([{"directory": directory, "options": []}]);
        one_more(&without, "readlinkat", calls_with(Kind::Pie, |row| row.with("below", below), &probe(FOREIGN)));
    }
}

#[test]
fn the_interpreter_of_a_script_costs_two_with_flag_t() {
    need!(Namespace, Compiler, Strace, Transparent);
    let guest = probe("aarch64");
    let mut expected = calls_with(Kind::Pie, |row| row, &guest);
    expected.extend(["newfstatat", "fstat"].map(str::to_owned));
    expected.sort();
    let mut found = calls_of("./script", Kind::Pie, |row| row, &guest);
    found.sort();
    assert_eq!(found, expected);
}

/// Asserts that `more` are the calls in `fewer` and `call`.
#[track_caller]
fn one_more(fewer: &[String], call: &str, mut more: Vec<String>) {
    let mut expected = [fewer, &[call.to_owned()]].concat();
    expected.sort();
    more.sort();
    assert_eq!(more, expected);
}

/// The names of the interpreter's system calls with an emulator that is opened by its path, and
/// with these `versions` in its row.
#[track_caller]
fn calls(kind: Kind, versions: serde_json::Value, guest: &[u8]) -> Vec<String> {
    calls_with(kind, |row| row.with("versions", versions), guest)
}

/// The same with a row that `change` has changed.
#[track_caller]
fn calls_with(kind: Kind, change: impl FnOnce(Row) -> Row, guest: &[u8]) -> Vec<String> {
    calls_of("./guest", kind, change, guest)
}

/// The same for a start of `./script`, whose interpreter is `./guest`, or of another file.
#[track_caller]
fn calls_of(file: &str, kind: Kind, change: impl FnOnce(Row) -> Row, guest: &[u8]) -> Vec<String> {
    let scratch = Scratch::new();
    scratch.write("script", "#!./guest\n");
    scratch.write("emulator-7.2.22", build(kind));
    scratch.write("guest", guest);
    let row = change(Row::new(FOREIGN, &scratch.at("emulator-7.2.22")).with("versions", json!([])));
    let asks = *row.get("versions") != json!([]);
    let namespace = Namespace::with_table(&scratch, &row.table());
    let script = format!("strace -qq -o trace {file} <&- >report; sed -n '2,/PR_SET_MM/p' trace; grep -c asked report");
    // The interpreter's last call is the prctl(2) that changes what /proc shows.
    let seen = namespace.run(&scratch, &script);
    let mut lines: Vec<&str> = seen.out().lines().collect();
    let asked = lines.pop().is_some_and(|count| count != "0");
    assert_eq!(asked, asks, "{seen}");
    assert!(lines.last().is_some_and(|call| call.starts_with("prctl(PR_SET_MM") && call.ends_with("= 0")), "{seen}");
    lines.iter().map(|line| line.split('(').next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn the_interpreter_is_small() {
    // This is the part that goes into an image. The linker's section headers, behind the last
    // segment, do not.
    let elf = Elf::parse(INTERPRETER).unwrap();
    let segments = elf.program_headers.iter().filter(|segment| segment.p_type == ph::PT_LOAD);
    let end = segments.map(|segment| segment.p_offset + segment.p_filesz).max().unwrap();
    assert!(end <= SIZE, "{end} bytes");
}

#[test]
fn the_interpreter_needs_nothing_but_relative_relocations() {
    let elf = Elf::parse(INTERPRETER).unwrap();
    assert_eq!(elf.interpreter, None);
    assert_eq!(elf.libraries, [""; 0]);
    // Relocations in another form would not be applied. The linker for riscv64 does not pack them.
    let unpacked = cfg!(target_arch = "riscv64");
    let relative = elf.dynrelas.iter().filter(|one| one.r_type == R_RISCV_RELATIVE).count();
    assert_eq!((relative, relative != 0), (elf.dynrelas.len(), unpacked));
    assert_eq!((elf.dynrels.len(), elf.pltrelocs.len()), (0, 0));
    let value = |tag| elf.dynamic.iter().flat_map(|dynamic| &dynamic.dyns).find(|entry| entry.d_tag == tag);
    let packed = [DT_RELR, DT_RELRSZ].map(|tag| value(tag).is_some_and(|entry| entry.d_val != 0));
    assert_eq!(packed, [!unpacked; 2], "its tables of strings have pointers");
}

#[test]
fn no_segment_is_writable_and_executable() {
    let scratch = Scratch::new();
    crate::support::tool(&["image", "--no-emulators", "-o", &scratch.at("image")]);
    let image = std::fs::read(scratch.at("image")).unwrap();
    for file in [INTERPRETER, &image] {
        let elf = Elf::parse(file).unwrap();
        let both = |segment: &ph::ProgramHeader| segment.is_write() && segment.is_executable();
        assert!(!elf.program_headers.iter().any(both), "{:?}", elf.program_headers);
        let stack = elf.program_headers.iter().find(|segment| segment.p_type == ph::PT_GNU_STACK);
        assert!(stack.is_some_and(|stack| !stack.is_executable()), "{stack:?}");
    }
}
