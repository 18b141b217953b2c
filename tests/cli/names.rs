//! Programs by name: as a shell finds them.

use serde_json::json;

use crate::support::{Namespace, Observation, Scratch, TOOL, need};
use crate::table::aarch64;

/// Runs the tool with this PATH.
fn with_path(scratch: &Scratch, path: &str, arguments: &[&str]) -> Observation {
    let mut command = scratch.command(TOOL);
    command.args(arguments).env("PATH", path);
    Observation::of(&command)
}

#[test]
fn without_a_slash_are_looked_for_in_path_only() {
    let scratch = Scratch::new();
    scratch.write("ls", "#!/bin/sh\necho the wrong one\n");
    std::fs::create_dir(scratch.path().join("bin")).unwrap();
    scratch.write("bin/greet", "#!/bin/sh\necho \"$0: hello $*\"\n");
    let run = scratch.tool(["run", "ls", "-d", "."]);
    run.printed(".\n");
    let bin = format!("{}:/usr/bin:/bin", scratch.at("bin"));
    let greeting = format!("{}/greet: hello you\n", scratch.at("bin"));
    with_path(&scratch, &bin, &["run", "greet", "you"]).printed(&greeting);
    // The current directory is in PATH if PATH says so.
    for path in [".:/usr/bin:/bin", ":/usr/bin:/bin"] {
        with_path(&scratch, path, &["run", "ls"]).printed("the wrong one\n");
    }
}

#[test]
fn are_explained_where_they_were_found() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.write("ls", "#!/bin/sh\necho the wrong one\n");
    let run = Namespace::empty().tool(&scratch, ["explain", "ls"]);
    assert!(!run.out().contains("script"), "{run}");
    run.verdict("it runs by itself: it is a program of this machine", "");
}

#[test]
fn that_are_in_this_directory_alone_are_not_run() {
    let scratch = Scratch::new();
    scratch.probe("prog", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    for command in ["run", "explain", "--explain"] {
        let code = if command == "run" { 127 } else { 1 };
        let here = "prog: is not in PATH: for the file in this directory, write ./prog";
        scratch.tool([&option, &table, command, "prog"]).refused(code, here);
        let nowhere = "prag: is not in PATH: check the name, or give the program's path";
        scratch.tool([&option, &table, command, "prag"]).refused(code, nowhere);
        let odd = r"a\x1b\x0ab: is not in PATH: check the name, or give the program's path";
        scratch.tool([&option, &table, command, "a\x1b\nb"]).refused(code, odd);
    }
    scratch.tool(["run", ""]).refused(127, ": is not in PATH: check the name, or give the program's path");
}

#[test]
fn that_unshare_cannot_execute_are_refused() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("prog", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let unshare = |name: &str| scratch.tool([&option, &table, "unshare", "--", name]);
    unshare("prog").refused(127, "prog: is not in PATH: for the file in this directory, write ./prog");
    unshare("prag").refused(127, "prag: is not in PATH: check the name, or give the program's path");
    unshare("./prag").refused(127, "./prag: no such command: check the path");
    std::fs::write(scratch.path().join("data"), "no program").unwrap();
    unshare("./data").refused(126, "./data: cannot be executed: permission denied");
}
