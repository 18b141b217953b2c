//! `run`: the guest finds descriptors and environment unchanged.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Scratch, TOOL};
use crate::table::aarch64;

/// The guest's file is what cat prints first.
fn after_guest<'o>(output: &'o [u8], guest: &[u8]) -> &'o [u8] {
    output.strip_prefix(guest).expect("cat prints the guest first")
}

#[test]
fn arguments_and_exit_status() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("e", "#!/bin/sh\nfor word; do echo \"<$word>\"; done; exit 42");
    let [option, table] = aarch64(&scratch, &scratch.at("e"), json!({"argv0": "dash-zero", "options": ["-o"]}));
    let expected = "<-o>\n<-0>\n<./p>\n<-->\n<./p>\n<-a>\n<--json>\n<-->\n<>\n<--table>\n";
    let guest = ["./p", "-a", "--json", "--", "", "--table"];
    for before in [&["run"][..], &["run", "--"]] {
        let arguments = [&[&*option, &*table], before, &guest[..]].concat();
        scratch.tool(arguments).wrote(expected).exited(42);
        let arguments = [&["run", &option, &table], &before[1..], &guest[..]].concat();
        scratch.tool(arguments).wrote(expected).exited(42);
    }
}

#[test]
fn death_by_signal_is_the_guests() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("e", "#!/bin/sh\nkill -TERM $$");
    aarch64(&scratch, &scratch.at("e"), json!({}));
    scratch.shell("$TOOL --table table run ./p; echo $?").wrote("143\n");
}

#[test]
fn environment() {
    let scratch = Scratch::new();
    let guest = std::fs::read(scratch.probe("p", "aarch64")).unwrap();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"environment": {"B": "ours", "ADDED": "1"}}));
    let odd = std::ffi::OsStr::from_bytes(b"\xff=");
    let mut command = scratch.command(TOOL);
    command.args([&option, &table, "run", "./p", "/proc/self/environ"]).env_clear();
    command.env("B", "callers").env("A", odd).env("EMPTY", "").env("QEMU_CPU", "max");
    let output = command.output().unwrap();
    let expected = b"ADDED=1\0A=\xff=\0B=callers\0EMPTY=\0QEMU_CPU=max\0";
    assert!(after_guest(&output.stdout, &guest) == expected, "{command:?}: {output:?}");
}

#[test]
fn odd_environment() {
    let scratch = Scratch::new();
    let guest = std::fs::read(scratch.probe("p", "aarch64")).unwrap();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let mut command = scratch.command("env");
    command.args(["-i", "=x=y", "A=1", TOOL, &option, &table, "run", "./p", "/proc/self/environ"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert!(after_guest(&output.stdout, &guest) == b"=x=y\0A=1\0", "{command:?}: {output:?}");
}

#[test]
fn signals_are_not_ignored() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    for ignored in ["", "trap '' PIPE TERM; "] {
        let direct = scratch.shell(&format!("{ignored}grep -a -E '^Sig(Ign|Blk)' /proc/self/status"));
        let ours = scratch
            .shell(&format!("{ignored}$TOOL {option} {table} run ./p /proc/self/status | grep -a -E '^Sig(Ign|Blk)'"));
        ours.printed(direct.out());
    }
}

#[test]
fn closed_descriptors_stay_closed() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/ls", json!({}));
    let tool = format!("$TOOL {option} {table} run ./p /proc/self/fd");
    for redirections in ["<&-", "<&- 2>&-", "7</dev/null", "2>&- 7</dev/null"] {
        // Descriptors that the tests were started with are the same in both listings. Each listing
        // also has the directory itself open.
        let direct = scratch.shell(&format!("ls /proc/self/fd >direct {redirections}; cat direct"));
        scratch.shell(&format!("{tool} >ours {redirections}; tail -n +4 ours")).printed(direct.out());
    }
}

#[test]
fn the_process_is_the_same() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("e", "#!/bin/sh\necho $$");
    let [option, table] = aarch64(&scratch, &scratch.at("e"), json!({}));
    let mut command = scratch.command(TOOL);
    command.args([&option, &table, "run", "./p"]).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id.to_string());
}

#[test]
fn something_must_be_run() {
    let run = Scratch::new().tool(["run"]);
    run.exited(2);
    assert!(run.err().contains("<FILE>"), "{run}");
}
