//! The levels of x86-64 in `supported`: the program that asks the CPU, on CPUs that QEMU emulates,
//! and on this machine's.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;

use dispatch_table::ArchTable;

use crate::support::{Release, Scratch, need};

/// The program's code. It needs nothing of the command.
#[path = "../../src/commands/container/level.rs"]
mod level;

/// The level that the program finds with this model of QEMU.
#[track_caller]
fn emulated(release: Release, model: &str) -> i32 {
    let scratch = Scratch::new();
    let table = ArchTable::builtin();
    scratch.write("p", table.find("x86_64").unwrap().program(&level::CODE));
    let mut command = scratch.command(release.qemu("x86_64"));
    // It warns of features that it lacks.
    let done = command.arg0("qemu-x86_64").args(["-cpu", model, "./p"]).output().unwrap();
    let code = done.status.code().unwrap_or_else(|| panic!("{model}: {done:?}"));
    code - level::FIRST + 1
}

/// Models, the features that their level needs beyond the one below, and the level.
const MODELS: [(&str, &[&str], i32); 2] = [
    ("Nehalem", &["pni", "ssse3", "cx16", "sse4_1", "sse4_2", "popcnt", "lahf_lm"], 2),
    ("Haswell", &["fma", "movbe", "xsave", "avx", "f16c", "abm", "bmi1", "avx2", "bmi2"], 3),
];

#[test]
fn each_feature_of_a_level_counts() {
    need!(BothQemus);
    // QEMU 7.2 is the first that emulates AVX2.
    let release = Release::Trixie;
    assert_eq!(emulated(release, "qemu64"), 1);
    for (model, features, level) in MODELS {
        assert_eq!(emulated(release, model), level, "{model}");
        for feature in features {
            let model = format!("{model},{}=off", feature.replace("sse4_", "sse4.").replace('_', "-"));
            assert_eq!(emulated(release, &model), level - 1, "{model}");
        }
    }
    // Features of level 3 alone are not enough.
    assert_eq!(emulated(release, "Haswell,popcnt=off"), 1);
}

/// The level of this machine's CPU, as the kernel describes it; 0 for another machine.
pub fn of_this_machine() -> usize {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = cpus.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    let avx512: &[&str] = &["avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"];
    let levels = [MODELS[0].1, MODELS[1].1, avx512];
    let has = |needed: &&&[&str]| needed.iter().all(|flag| flags.contains(flag));
    if cfg!(target_arch = "x86_64") { 1 + levels.iter().take_while(has).count() } else { 0 }
}
