//! `run`: the guest finds everything as it was.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::json;

use crate::lab::{Lab, TOOL};

/// The guest's file is what cat prints first.
fn after_guest<'o>(output: &'o [u8], guest: &[u8]) -> &'o [u8] {
    output.strip_prefix(guest).expect("cat prints the guest first")
}

#[test]
fn arguments_and_exit_status() {
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    lab.write("e", "#!/bin/sh\nfor word; do echo \"<$word>\"; done; exit 42");
    let [option, table] = lab.aarch64(&lab.at("e"), json!({"argv0": "dash-zero", "options": ["-o"]}));
    let expected = "<-o>\n<-0>\n<./p>\n<-->\n<./p>\n<-a>\n<--json>\n<-->\n<>\n<--table>\n";
    let guest = ["./p", "-a", "--json", "--", "", "--table"];
    for before in [&["run"][..], &["run", "--"]] {
        let arguments = [&[&*option, &*table], before, &guest[..]].concat();
        lab.tool(arguments).printed(expected).code(42);
        let arguments = [&["run", &option, &table], &before[1..], &guest[..]].concat();
        lab.tool(arguments).printed(expected).code(42);
    }
}

#[test]
fn death_by_signal_is_the_guests() {
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    lab.write("e", "#!/bin/sh\nkill -TERM $$");
    lab.aarch64(&lab.at("e"), json!({}));
    lab.shell("$TOOL --table table run ./p; echo $?").printed("143\n");
}

#[test]
fn environment() {
    let lab = Lab::new();
    let guest = std::fs::read(lab.probe("p", "aarch64")).unwrap();
    let [option, table] = lab.aarch64("/bin/cat", json!({"environment": {"B": "ours", "ADDED": "1"}}));
    let odd = std::ffi::OsStr::from_bytes(b"\xff=");
    let mut command = lab.command(TOOL);
    command.args([&option, &table, "run", "./p", "/proc/self/environ"]).env_clear();
    command.env("B", "callers").env("A", odd).env("EMPTY", "").env("QEMU_CPU", "max");
    let output = command.output().unwrap();
    let expected = b"ADDED=1\0A=\xff=\0B=callers\0EMPTY=\0QEMU_CPU=max\0";
    assert!(after_guest(&output.stdout, &guest) == expected, "{command:?}: {output:?}");
}

#[test]
fn odd_environment() {
    let lab = Lab::new();
    let guest = std::fs::read(lab.probe("p", "aarch64")).unwrap();
    let [option, table] = lab.aarch64("/bin/cat", json!({}));
    let mut command = lab.command("env");
    command.args(["-i", "=x=y", "A=1", TOOL, &option, &table, "run", "./p", "/proc/self/environ"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert!(after_guest(&output.stdout, &guest) == b"=x=y\0A=1\0", "{command:?}: {output:?}");
}

#[test]
fn signals_are_not_ignored() {
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    let [option, table] = lab.aarch64("/bin/cat", json!({}));
    for ignored in ["", "trap '' PIPE TERM; "] {
        let direct = lab.shell(&format!("{ignored}grep -a -E '^Sig(Ign|Blk)' /proc/self/status"));
        let ours = lab
            .shell(&format!("{ignored}$TOOL {option} {table} run ./p /proc/self/status | grep -a -E '^Sig(Ign|Blk)'"));
        ours.printed(&direct.out()).succeeded();
    }
}

#[test]
fn closed_descriptors_stay_closed() {
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    let [option, table] = lab.aarch64("/bin/ls", json!({}));
    let tool = format!("$TOOL {option} {table} run ./p /proc/self/fd");
    for redirections in ["<&-", "<&- 2>&-", "7</dev/null", "2>&- 7</dev/null"] {
        // Whatever else these tests were started with is the same in both; the listing has the directory itself open.
        let direct = lab.shell(&format!("ls /proc/self/fd >direct {redirections}; cat direct"));
        lab.shell(&format!("{tool} >ours {redirections}; tail -n +4 ours")).printed(&direct.out()).succeeded();
    }
}

#[test]
fn the_process_is_the_same() {
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    lab.write("e", "#!/bin/sh\necho $$");
    let [option, table] = lab.aarch64(&lab.at("e"), json!({}));
    let mut command = lab.command(TOOL);
    command.args([&option, &table, "run", "./p"]).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id.to_string());
}

#[test]
fn something_must_be_run() {
    let run = Lab::new().tool(["run"]);
    run.code(2);
    assert!(run.err().contains("<FILE>"), "{run}");
}
