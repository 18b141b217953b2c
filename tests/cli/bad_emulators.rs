//! Emulators that do not exist, or cannot be used.

use std::fs;

use serde_json::json;

use crate::support::{Namespace, Scratch, need, probe};
use crate::table::aarch64;

/// Asserts the message of both commands if the emulator of aarch64 is `e` in the test's directory.
#[track_caller]
fn both(scratch: &Scratch, code: i32, problem: &str, remedy: &str) {
    let emulator = scratch.at("e");
    let [option, table] = aarch64(scratch, &emulator, json!({"strategy": "map"}));
    let problem = problem.replace("EMULATOR", &emulator);
    scratch.probe("p", "aarch64");
    let explain = Namespace::empty().tool(scratch, [&option, &table, "explain", "./p"]);
    // `explain` knows this distribution.
    let advice = if remedy == "install qemu-user-static" { "apt install qemu-user-static" } else { remedy };
    explain.verdict(&format!("it does not run: {problem}"), advice);
    scratch.tool([&option, &table, "run", "./p"]).refused(code, &format!("./p: {problem}: {remedy}"));
}

#[test]
fn missing() {
    need!(Namespace);
    both(
        &Scratch::new(),
        127,
        "no emulator for aarch64 at EMULATOR or the table's other places",
        "install qemu-user-static",
    );
}

#[test]
fn missing_is_shown_for_each_path() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "", json!({"emulators": ["cat", "/no/a", "/no/b"]}));
    let run = Namespace::empty().tool(&scratch, [&option, &table, "explain", "./p"]);
    run.has("emulator    /no/a: no such file or directory").has("/no/b: no such file or directory").exited(1);
    assert!(run.out().contains("cat is in your PATH, where the kernel does not look\n"), "{run}");
}

#[test]
fn damaged() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.write("e", "");
    both(&scratch, 126, "the emulator EMULATOR is damaged (not an ELF file)", "reinstall it");
    scratch.write("e", &probe("x86_64")[..50]);
    both(&scratch, 126, "the emulator EMULATOR is damaged (ELF header cut short at 50 of 64 bytes)", "reinstall it");
    let whole = probe("x86_64");
    scratch.write("e", &whole[..whole.len() - 1]);
    both(&scratch, 126, "the emulator EMULATOR is damaged (a segment ends beyond the file)", "reinstall it");
    let mut elsewhere = whole;
    elsewhere[24] = 0xff;
    elsewhere[26] = 0xff;
    scratch.write("e", elsewhere);
    both(&scratch, 126, "the emulator EMULATOR is damaged (entry point outside its code)", "reinstall it");
}

#[test]
fn for_another_host() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("e", "s390x");
    both(&scratch, 126, "the emulator EMULATOR is for another host (ELF machine 22)", "reinstall it");
}

#[test]
fn no_regular_file() {
    need!(Namespace);
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("e")).unwrap();
    let [option, table] = aarch64(&scratch, &scratch.at("e"), json!({"strategy": "map"}));
    scratch.probe("p", "aarch64");
    for make in ["true", "rmdir e; mkfifo e"] {
        scratch.shell(make).succeeded();
        let run = Namespace::empty().tool(&scratch, [&option, &table, "explain", "./p"]);
        let verdict = format!("why         cannot open the emulator {}: permission denied", scratch.at("e"));
        let text = run.out().replace("is a directory", "permission denied");
        assert!(text.contains(&verdict), "{run}");
        run.has("fix         check it with ls -l").exited(1);
    }
}

#[test]
fn to_embed() {
    let scratch = Scratch::new();
    scratch.shell("mkfifo fifo; truncate -s 10G sparse").succeeded();
    for (file, fault) in
        [("fifo", "not a regular file"), ("/dev/zero", "not a regular file"), ("sparse", "larger than 1024 MiB")]
    {
        let from = format!("aarch64={file}");
        let seen = scratch.tool(["image", "--from", &from, "aarch64", "-o", "image"]);
        assert!(seen.exited(1).err().contains(&format!("{file}: cannot read: ")), "{seen}");
        assert!(seen.err().ends_with(&format!("{fault}\n")) && !scratch.path().join("image").exists(), "{seen}");
    }
}

#[test]
fn of_a_directory() {
    let scratch = Scratch::new();
    let below = json!([{"directory": "/srv/old", "emulators": ["/none/a", "/none/b"]}]);
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"below": below, "strategy": "map"}));
    let from = format!("aarch64={}", scratch.probe("e", "x86_64").display());
    let seen = scratch.tool([&option, &table, "image", "--from", &from, "aarch64", "-o", "image"]);
    let warning = "binfmt-dispatch: warning: aarch64 below /srv/old: no emulator at /none/a, /none/b: these programs do \
                   not run without it\n";
    assert!(seen.exited(0).err().ends_with(warning), "{seen}");
}

#[test]
fn only_the_exec_strategy_leaves_it_to_the_kernel() {
    let scratch = Scratch::new();
    scratch.write("e", "neither");
    let [option, table] = aarch64(&scratch, &scratch.at("e"), json!({}));
    scratch.probe("p", "aarch64");
    let line = format!("{}: cannot be executed: exec format error", scratch.at("e"));
    scratch.tool([&option, &table, "run", "./p"]).refused(126, &line);
}
