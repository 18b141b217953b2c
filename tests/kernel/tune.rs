//! `tune`: models are measured with the programs of a root directory, which is busybox here.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use serde_json::Value;

use crate::programs::NEEDS;
use crate::support::{Namespace, Need, Scratch, TOOL, guests, have, native};

/// A root directory with a foreign busybox, as `root`.
fn root() -> Scratch {
    let scratch = Scratch::new();
    let guest = guests().into_iter().find(|guest| guest.debian == "arm64").expect("ci/setup fetches it");
    scratch.write("root/bin/busybox", fs::read(guest.busybox).unwrap());
    for directory in ["tmp", "proc", "dev", "usr/bin"] {
        fs::create_dir_all(scratch.at(&format!("root/{directory}"))).unwrap();
    }
    for name in ["bin/sh", "bin/ls", "usr/bin/sha256sum"] {
        symlink("/bin/busybox", scratch.at(&format!("root/{name}"))).unwrap();
    }
    scratch
}

fn tune(scratch: &Scratch, arguments: &[&str]) -> Output {
    let (root, json) = (scratch.at("root"), scratch.at("json"));
    let mut command = Command::new(TOOL);
    command.args(["tune", "arm64", "--root", &root, "--json", &json, "--workload", "starts"]).args(arguments);
    command.output().unwrap()
}

fn results(scratch: &Scratch) -> Value {
    serde_json::from_slice(&fs::read(scratch.at("json")).unwrap()).unwrap()
}

/// How many samples each of the contestants has of a workload.
fn counts(results: &Value, workload: &str) -> Vec<usize> {
    let rows = results["workloads"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == workload).unwrap_or_else(|| panic!("{workload}\n{results:#}"));
    let outcomes = row["results"].as_array().unwrap().iter();
    outcomes.map(|outcome| outcome["samples"].as_array().map_or(0, Vec::len)).collect()
}

#[test]
fn every_model_has_its_turn_in_every_round() {
    if !have(NEEDS) {
        return;
    }
    let scratch = root();
    let more = ["--workload", "sha256", "--workload", "python", "--rounds", "2"];
    let output =
        tune(&scratch, &[&["--cpu", "max", "--cpu", "no-such-model", "--cpu", "cortex-a53"], &more[..]].concat());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for part in ["no-such-model: refused: exited with 1: ", "python: not measured: there is no /usr/bin/python3"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let results = results(&scratch);
    let names: Vec<&Value> = results["contestants"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["default", "max", "no-such-model", "cortex-a53"]);
    assert!(results["contestants"][2]["refused"].is_string() && results["contestants"][3]["refused"].is_null());
    for workload in ["starts", "sha256"] {
        assert_eq!(counts(&results, workload), [2, 2, 2], "{workload}");
    }
    // All of that was in a file system of its own.
    assert_eq!(fs::read_dir(scratch.at("root/tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(scratch.at("root")).unwrap().count(), 5);
}

#[test]
fn an_image_is_compared_with_the_emulator_itself() {
    if !have(NEEDS) {
        return;
    }
    let scratch = root();
    let output = tune(&scratch, &["--compare", "--rounds", "1"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let results = results(&scratch);
    assert_eq!(results["contestants"][1]["name"], "binfmt-dispatch");
    assert_eq!(counts(&results, "starts"), [1, 1]);
}

#[test]
fn what_runs_nothing_is_told() {
    if !have(NEEDS) {
        return;
    }
    let scratch = root();
    let emulator = scratch.write("emulator", "this is no program for any machine");
    let output = tune(&scratch, &["--cpu", "max", "--emulator", emulator.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("default: refused: "), "{output:?}");

    fs::remove_dir(scratch.at("root/proc")).unwrap();
    let output = tune(&scratch, &["--cpu", "max"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/proc: cannot mount: "), "{output:?}");
}

#[test]
fn the_fastest_model_is_in_the_next_image() {
    if !have(&[NEEDS, &[Need::Compiler]].concat()) {
        return;
    }
    let scratch = root();
    scratch.write("slow", native("tests/support/emulators/slow.c"));
    scratch.probe("guest", "aarch64");
    let tune =
        format!("{TOOL} tune arm64 --root root --emulator slow --cpu some-model --workload sha256 --rounds 1 --write");
    let image = format!("{TOOL} image -o image --from aarch64=slow aarch64 && ./image explain ./guest | grep -e -cpu");
    let run = |script: &str| Namespace::with_lines("nothing registered", String::new()).run(&scratch, script);

    let seen = run(&format!("mount -t tmpfs none /etc && {tune} && {image}"));
    let out = seen.succeeded().out();
    for part in
        ["nowhere slower than default: some-model\nWritten to /etc/binfmt-dispatch/tune.json; ", " -cpu some-model -0 "]
    {
        assert!(out.contains(part), "{part}\n{seen}");
    }

    // What cannot be written is told before anything is measured.
    let seen = run(&format!("mount -t tmpfs -o ro none /etc && {tune}"));
    assert_eq!((seen.code(), seen.out()), (1, ""), "{seen}");
    assert!(seen.err().starts_with("binfmt-dispatch: /etc/binfmt-dispatch/tune.json: cannot write: "), "{seen}");
}

#[test]
fn a_root_directory_of_another_architecture_is_told() {
    if !have(NEEDS) {
        return;
    }
    let scratch = root();
    let other = guests().into_iter().find(|guest| guest.debian == "s390x").expect("ci/setup fetches it");
    fs::copy(other.busybox, scratch.at("root/bin/busybox")).unwrap();
    let output = tune(&scratch, &["--cpu", "max", "--rounds", "1"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let reason = "starts: not measured: exec format error: a program of another architecture\nNothing was measured\n";
    assert!(shown.ends_with(reason), "{shown}");
}
