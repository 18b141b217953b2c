//! What holds for every command.

use serde_json::json;

use crate::lab::{Lab, row};

#[test]
fn version_and_help() {
    let lab = Lab::new();
    lab.tool(["--version"]).printed(concat!("binfmt-dispatch ", env!("CARGO_PKG_VERSION"), "\n")).succeeded();
    let help = lab.tool(["--help"]).succeeded().out();
    for part in [
        "explain",
        "unshare",
        "Exit codes: 0 fine; 1 the answer is no, or it could not be done; 2 wrong usage",
        "--table <FILE>",
    ] {
        assert!(help.contains(part), "{part}\n{help}");
    }
    for command in ["explain", "run", "list", "generate", "image"] {
        let run = lab.tool([command, "--help"]);
        assert!(run.succeeded().out().contains(&format!("Usage: binfmt-dispatch {command}")), "{run}");
    }
    let run = lab.tool::<&str>([]);
    assert!(run.out().is_empty() && run.err().contains("Usage:"), "{run}");
    run.code(2);
}

#[test]
fn wrong_usage() {
    let lab = Lab::new();
    for arguments in [
        &["--explain", "./p", "list"][..],
        &["--explain"],
        &["--json"],
        &["explain"],
        &["explain", "a", "b"],
        &["no-such"],
        &["list", "--no-such"],
        &["generate", "--format", "elf"],
    ] {
        let run = lab.tool(arguments.iter());
        assert!(run.out().is_empty() && !run.err().is_empty(), "{run}");
        run.code(2);
    }
}

#[test]
fn output_that_cannot_be_written() {
    let lab = Lab::new();
    lab.probe("p", "aarch64");
    for command in ["list", "list --json", "generate", "explain ./p", "explain --json ./p", "--version", "--help"] {
        let run = lab.shell(&format!("$TOOL {command} >/dev/full"));
        run.refused(1, "standard output cannot be written: no space left on device");
        let run = lab.shell(&format!("$TOOL {command} >&-"));
        run.refused(1, "standard output cannot be written: bad file number");
        // A reader that has seen enough is no failure.
        lab.shell(&format!("set -o pipefail; trap '' PIPE; $TOOL {command} | true; [ $? -le 1 ]")).succeeded();
    }
}

/// A table that is wrong.
#[track_caller]
fn bad_table(table: &str, expected: &str) {
    let lab = Lab::new();
    lab.write("t", table);
    lab.probe("p", "aarch64");
    for command in [&["list"][..], &["explain", "./p"], &["run", "./p"], &["generate"], &["image", "-o", "i"]] {
        let line = format!("t: {expected}");
        lab.tool([&["--table", "t"], command].concat()).refused(2, &line);
        lab.tool([&command[..1], &["--table", "t"], &command[1..]].concat()).refused(2, &line);
    }
    assert!(!lab.path("i").exists());
}

#[test]
fn wrong_tables() {
    let with = |field: &str, value: serde_json::Value| {
        let mut row = row("aarch64");
        row[field] = value;
        json!({"version": 1, "architectures": [row]}).to_string()
    };
    bad_table("{", "line 1, column 1: EOF while parsing an object");
    bad_table(r#"{"version": 2, "architectures": []}"#, "version is 2, not 1");
    bad_table(
        &with("emulators", json!(["a/b"])),
        "architecture aarch64: emulator \"a/b\" is neither a file name nor an absolute path",
    );
    bad_table(
        &with("name", json!("other")),
        "architecture other: the name or alias \"arm64\" is taken by architecture aarch64",
    );
    bad_table(
        &with("probe", json!({"code": "", "flags": "0x0"})),
        "architecture aarch64: probe code is 0 bytes long, not 1 to 64",
    );
}

#[test]
fn tables_that_cannot_be_read() {
    let lab = Lab::new();
    lab.tool(["--table", "absent", "list"])
        .refused(2, "absent: cannot read: check the path: no such file or directory");
    lab.tool(["list", "--table", "/"]).refused(2, "/: cannot read: name a file: is a directory");
}

#[test]
fn messages_that_cannot_be_written() {
    let lab = Lab::new();
    for redirection in ["2>/dev/full", "2>&-"] {
        lab.shell(&format!("$TOOL explain ./absent {redirection}")).printed("").code(127);
    }
}
