//! Compliance: a program that is started through binfmt-dispatch behaves as with QEMU registered
//! directly, except for the differences in `differences.rs`. A foreign program reports what it sees
//! of itself, and an observer reports what others see of it.

#[path = "../support/mod.rs"]
mod support;

// Files that take long to make.
mod artefacts;
// All cases.
mod cases;
// Every known difference, with its reason.
mod differences;
// Every field of the ELF header.
mod headers;
// Runs the cases of one architecture.
mod run;
// The reports of a case, and their comparison.
mod seen;

use crate::differences::{DIFFERENCES, Difference, Kind, QEMU_DIFFERENCES};
use crate::headers::known::{KNOWN, Known};
use crate::run::run;
use crate::seen::{Found, Seen, compare};
use crate::support::{FOREIGN, Foreign, Release, Scratch, Way, need};

#[cfg(not(target_arch = "aarch64"))]
#[test]
fn programs_of_a_64_bit_architecture() {
    need!(Namespace, Root, Guests, BothQemus, Compiler, CrossCompilers, Strace, Capabilities);
    check(Foreign::Aarch64);
}

#[cfg(not(target_arch = "aarch64"))]
#[test]
fn programs_of_a_32_bit_architecture() {
    need!(Namespace, Root, Guests, BothQemus, Compiler, CrossCompilers, Strace, Capabilities);
    check(Foreign::Arm);
}

#[test]
fn programs_of_a_big_endian_architecture() {
    need!(Namespace, Root, Guests, BothQemus, Compiler, CrossCompilers, Strace, Capabilities);
    check(Foreign::S390x);
}

#[cfg(not(target_arch = "riscv64"))]
#[test]
fn programs_of_another_one_with_a_model() {
    need!(Namespace, Root, Guests, BothQemus, Compiler, CrossCompilers, Strace, Capabilities);
    check(Foreign::Riscv64);
}

#[test]
fn headers_of_a_64_bit_architecture() {
    need!(Namespace, Guests, BothQemus, Compiler);
    headers::check(FOREIGN);
}

#[test]
fn headers_of_a_32_bit_architecture() {
    need!(Namespace, Guests, BothQemus, Compiler);
    headers::check(if cfg!(target_arch = "aarch64") { "mipsel" } else { "arm" });
}

#[test]
fn headers_of_a_big_endian_architecture() {
    need!(Namespace, Guests, BothQemus, Compiler);
    headers::check("s390x");
}

#[test]
fn headers_of_one_whose_rules_look_at_flags() {
    need!(Namespace, Guests, BothQemus, Compiler);
    headers::check("mips");
}

/// Runs all cases for `foreign`, through binfmt-dispatch and directly, with both versions of QEMU,
/// and looks for unlisted differences.
fn check(foreign: Foreign) {
    // The paths are the same in all runs.
    let scratch = Scratch::new();
    let observe = |release, way| {
        scratch.clear();
        run(&scratch, release, way, foreign)
    };
    let runs = Release::ALL.map(|release| {
        let seen = [Way::Direct, Way::Ours].map(|way| observe(release, way));
        (release, seen)
    });
    let mut problems = Vec::new();
    for (release, [direct, ours]) in &runs {
        problems.extend(ours.iter().filter_map(Seen::problem));
        let names = ["directly", "through us"].map(|way| format!("{} {way}", release.version()));
        problems.extend(told(&names, [direct, ours], DIFFERENCES, *release, foreign));
    }
    for pair in runs.windows(2) {
        let [(old, [_, before]), (new, [_, after])] = pair else { unreachable!("windows of two") };
        let names = [old, new].map(|release| format!("{} through us", release.version()));
        problems.extend(told(&names, [before, after], QEMU_DIFFERENCES, *new, foreign));
    }
    assert!(problems.is_empty(), "{}: {} problems\n{}", foreign.name(), problems.len(), problems.join("\n"));
}

/// Differences that `table` does not list, and entries of `table` that do not show. The latter are
/// looked for on `x86_64`, where the list was made: some depend on the host's CPU, and the CPU models
/// on emulators that could be asked for their versions when the image was written.
fn told(names: &[String; 2], runs: [&[Seen]; 2], table: &[Difference], with: Release, foreign: Foreign) -> Vec<String> {
    let found: Vec<Found> = runs[0].iter().zip(runs[1]).flat_map(|(left, right)| compare(left, right)).collect();
    let known: Vec<&Difference> =
        table.iter().filter(|known| known.with.contains(&with) && known.on.contains(&foreign)).collect();
    let new = found.iter().filter(|found| !known.iter().any(|known| known.covers(found)));
    let new = new.map(|found| format!("a difference that is not told, {names:?}: {found}"));
    let listed = known.iter().filter(|_| cfg!(target_arch = "x86_64"));
    let gone = listed.flat_map(|known| known.lacks(&found.iter().collect::<Vec<&Found>>()));
    let gone = gone.map(|what| format!("differs no more, {names:?}: {what}"));
    new.chain(gone).collect()
}

#[test]
fn each_difference_is_documented() {
    let page = include_str!("../../docs/compliance.md");
    let rows = DIFFERENCES.iter().chain(QEMU_DIFFERENCES).map(Difference::row);
    let rows: Vec<String> = rows.chain(KNOWN.iter().map(Known::row)).collect();
    let missing: Vec<&str> = rows.iter().map(String::as_str).filter(|row| !page.contains(row)).collect();
    assert!(missing.is_empty(), "docs/compliance.md lacks\n{}", missing.join("\n"));
    let told = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(told, rows.len(), "docs/compliance.md has rows that are in no table");
}

#[test]
fn differences_name_cases_that_exist() {
    let cases = cases::all();
    for known in DIFFERENCES.iter().chain(QEMU_DIFFERENCES) {
        for name in known.cases {
            assert!(cases.iter().any(|case| case.name == *name), "{name}");
        }
    }
    assert!(DIFFERENCES.iter().all(|known| known.kind != Kind::Qemu));
    assert!(QEMU_DIFFERENCES.iter().all(|known| known.kind == Kind::Qemu));
    let mut names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two cases of the same name: {names:?}");
}
