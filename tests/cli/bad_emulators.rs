//! Emulators that are not there, or cannot be used.

use std::fs;

use serde_json::json;

use crate::lab::{Lab, have_namespaces, probe};

/// What both commands say when the emulator of aarch64 is `e` of the test's directory.
#[track_caller]
fn both(lab: &Lab, code: i32, problem: &str, remedy: &str) {
    if !have_namespaces() {
        return;
    }
    let emulator = lab.at("e");
    let [option, table] = lab.aarch64(&emulator, json!({"strategy": "map"}));
    let problem = problem.replace("EMULATOR", &emulator);
    lab.probe("p", "aarch64");
    let explain = lab.unregistered([&option, &table, "explain", "./p"]);
    explain.verdict(code, &format!("it does not run: {problem}"), remedy);
    lab.tool([&option, &table, "run", "./p"]).refused(code, &format!("./p: {problem}: {remedy}"));
}

#[test]
fn missing() {
    both(
        &Lab::new(),
        127,
        "no emulator for aarch64 at EMULATOR or the table's other places",
        "install qemu-user-static",
    );
}

#[test]
fn missing_is_shown_for_each_path() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    let [option, table] = lab.aarch64("", json!({"emulators": ["cat", "/no/a", "/no/b"]}));
    let run = lab.unregistered([&option, &table, "explain", "./p"]);
    run.has("emulator    /no/a: no such file or directory").has("/no/b: no such file or directory").code(127);
    assert!(run.out().contains("cat is in your PATH, where the kernel does not look)"), "{run}");
}

#[test]
fn damaged() {
    let lab = Lab::new();
    lab.write("e", "");
    both(&lab, 126, "the emulator EMULATOR is damaged (not an ELF file)", "reinstall it");
    lab.write("e", &probe("x86_64")[..50]);
    both(&lab, 126, "the emulator EMULATOR is damaged (ELF header cut short at 50 of 64 bytes)", "reinstall it");
    let whole = probe("x86_64");
    lab.write("e", &whole[..whole.len() - 1]);
    both(&lab, 126, "the emulator EMULATOR is damaged (a segment ends beyond the file)", "reinstall it");
    let mut elsewhere = whole;
    elsewhere[24] = 0xff;
    elsewhere[26] = 0xff;
    lab.write("e", elsewhere);
    both(&lab, 126, "the emulator EMULATOR is damaged (entry point outside its code)", "reinstall it");
}

#[test]
fn for_another_host() {
    let lab = Lab::new();
    lab.probe("e", "s390x");
    both(&lab, 126, "the emulator EMULATOR is for another host (ELF machine 22)", "reinstall it");
}

#[test]
fn no_regular_file() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new();
    fs::create_dir(lab.path("e")).unwrap();
    let [option, table] = lab.aarch64(&lab.at("e"), json!({"strategy": "map"}));
    lab.probe("p", "aarch64");
    for make in ["true", "rmdir e; mkfifo e"] {
        lab.shell(make).succeeded();
        let run = lab.unregistered([&option, &table, "explain", "./p"]);
        let verdict = format!("it does not run: cannot open the emulator {}: permission denied", lab.at("e"));
        let text = run.out().replace("is a directory", "permission denied");
        assert!(text.contains(&verdict), "{run}");
        run.has("to do       check it with ls -l").code(126);
    }
}

#[test]
fn only_the_exec_strategy_leaves_it_to_the_kernel() {
    let lab = Lab::new();
    lab.write("e", "neither");
    let [option, table] = lab.aarch64(&lab.at("e"), json!({}));
    lab.probe("p", "aarch64");
    let line = format!("{}: cannot be executed: exec format error", lab.at("e"));
    lab.tool([&option, &table, "run", "./p"]).refused(126, &line);
}
