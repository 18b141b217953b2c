//! `tune`: models are measured with the programs of a root directory, which is busybox here.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::{Namespace, Observation, Scratch, TOOL, guest, native, need};

/// A root directory with a foreign busybox, as `root`.
fn root() -> Scratch {
    let scratch = Scratch::new();
    let guest = guest("arm64");
    scratch.write("root/bin/busybox", fs::read(guest.busybox).unwrap());
    for directory in ["tmp", "proc", "dev", "usr/bin"] {
        fs::create_dir_all(scratch.at(&format!("root/{directory}"))).unwrap();
    }
    for name in ["bin/sh", "bin/ls", "usr/bin/sha256sum"] {
        symlink("/bin/busybox", scratch.at(&format!("root/{name}"))).unwrap();
    }
    scratch
}

fn tune(scratch: &Scratch, arguments: &[&str]) -> Observation {
    scratch.tool([&["tune", "arm64", "--root", "root", "--json", "json", "--workload", "starts"], arguments].concat())
}

fn results(scratch: &Scratch) -> Value {
    serde_json::from_slice(&fs::read(scratch.at("json")).unwrap()).unwrap()
}

/// Number of samples that each contestant has of a workload.
fn counts(results: &Value, workload: &str) -> Vec<usize> {
    let rows = results["workloads"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == workload).unwrap_or_else(|| panic!("{workload}\n{results:#}"));
    let outcomes = row["results"].as_array().unwrap().iter();
    outcomes.map(|outcome| outcome["samples"].as_array().map_or(0, Vec::len)).collect()
}

#[test]
fn every_model_has_its_turn_in_every_round() {
    need!(Namespace, Guests, Qemu);
    let scratch = root();
    let more = ["--workload", "sha256", "--workload", "python", "--rounds", "2"];
    let seen =
        tune(&scratch, &[&["--cpu", "max", "--cpu", "no-such-model", "--cpu", "cortex-a53"], &more[..]].concat());
    let shown = seen.succeeded().out();
    for part in
        ["no-such-model: refused: exited with 1: ", "python: not measured: the root directory has no /usr/bin/python3"]
    {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let results = results(&scratch);
    let names: Vec<&Value> = results["contestants"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["default", "max", "no-such-model", "cortex-a53"]);
    assert!(results["contestants"][2]["refused"].is_string() && results["contestants"][3]["refused"].is_null());
    for workload in ["starts", "sha256"] {
        assert_eq!(counts(&results, workload), [2, 2, 2], "{workload}");
    }
    // All of that happened in a file system of its own.
    assert_eq!(fs::read_dir(scratch.at("root/tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(scratch.at("root")).unwrap().count(), 5);
}

#[test]
fn an_image_is_compared_with_the_emulator_itself() {
    need!(Namespace, Guests, Qemu);
    let scratch = root();
    let seen = tune(&scratch, &["--compare", "--rounds", "1"]);
    seen.succeeded();
    let results = results(&scratch);
    assert_eq!(results["contestants"][1]["name"], "binfmt-dispatch");
    assert_eq!(counts(&results, "starts"), [1, 1]);
}

#[test]
fn what_runs_nothing_is_told() {
    need!(Namespace, Guests, Qemu);
    let scratch = root();
    let emulator = scratch.write("emulator", "this is no program for any machine");
    let seen = tune(&scratch, &["--cpu", "max", "--emulator", emulator.to_str().unwrap()]);
    assert!(seen.exited(1).out().contains("default: refused: "), "{seen}");

    fs::remove_dir(scratch.at("root/proc")).unwrap();
    let seen = tune(&scratch, &["--cpu", "max"]);
    assert!(seen.exited(1).err().contains("/proc: cannot mount: "), "{seen}");
}

#[test]
fn the_fastest_model_is_in_the_next_image() {
    need!(Namespace, Guests, Qemu, Compiler);
    let scratch = root();
    scratch.write("slow", native("tests/support/emulators/slow.c"));
    scratch.probe("guest", "aarch64");
    let tune =
        format!("{TOOL} tune arm64 --root root --emulator slow --cpu some-model --workload sha256 --rounds 1 --write");
    let image = format!("{TOOL} image -o image --from aarch64=slow aarch64 && ./image explain ./guest | grep -e -cpu");
    let run = |script: &str| Namespace::empty().run(&scratch, script);

    let seen = run(&format!("mount -t tmpfs none /etc && {tune} && {image}"));
    let out = seen.succeeded().out();
    for part in
        ["nowhere slower than default: some-model\nWritten to /etc/binfmt-dispatch/tune.json; ", " -cpu some-model -0 "]
    {
        assert!(out.contains(part), "{part}\n{seen}");
    }

    // A file that cannot be written is reported before anything is measured.
    let seen = run(&format!("mount -t tmpfs -o ro none /etc && {tune}"));
    assert_eq!((seen.code(), seen.out()), (1, ""), "{seen}");
    assert!(seen.err().starts_with("binfmt-dispatch: /etc/binfmt-dispatch/tune.json: cannot write: "), "{seen}");
}

#[test]
fn a_root_directory_of_another_architecture_is_told() {
    need!(Namespace, Guests, Qemu);
    let scratch = root();
    let other = guest("s390x");
    fs::copy(other.busybox, scratch.at("root/bin/busybox")).unwrap();
    let seen = tune(&scratch, &["--cpu", "max", "--rounds", "1"]);
    let reason = "starts: not measured: exec format error: a program of another architecture\nNothing was measured\n";
    assert!(seen.exited(1).out().ends_with(reason), "{seen}");
}
