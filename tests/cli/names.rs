//! Programs by name: as a shell finds them.

use serde_json::json;

use crate::lab::{Lab, Run, TOOL, have_namespaces};

/// Runs the tool with this PATH.
fn with_path(lab: &Lab, path: &str, arguments: &[&str]) -> Run {
    let mut command = lab.command(TOOL);
    command.args(arguments).env("PATH", path);
    Run::of(command)
}

#[test]
fn without_a_slash_are_looked_for_in_path_only() {
    let lab = Lab::new();
    lab.write("ls", "#!/bin/sh\necho the wrong one\n");
    std::fs::create_dir(lab.path("bin")).unwrap();
    lab.write("bin/greet", "#!/bin/sh\necho \"$0: hello $*\"\n");
    let run = lab.tool(["run", "ls", "-d", "."]);
    run.printed(".\n").succeeded();
    let bin = format!("{}:/usr/bin:/bin", lab.at("bin"));
    with_path(&lab, &bin, &["run", "greet", "you"])
        .printed(&format!("{}/greet: hello you\n", lab.at("bin")))
        .succeeded();
    // The current directory is in PATH if PATH says so.
    for path in [".:/usr/bin:/bin", ":/usr/bin:/bin"] {
        with_path(&lab, path, &["run", "ls"]).printed("the wrong one\n").succeeded();
    }
    if have_namespaces() {
        let run = lab.unregistered(["explain", "ls"]);
        assert!(!run.out().contains("script"), "{run}");
        run.verdict(0, "it runs by itself: it is a program of this machine", "");
    }
}

#[test]
fn that_are_in_this_directory_alone_are_not_run() {
    let lab = Lab::new();
    lab.probe("prog", "aarch64");
    let [option, table] = lab.aarch64("/bin/cat", json!({}));
    for command in ["run", "explain", "--explain"] {
        let here = "prog: is not in PATH: for the file in this directory, write ./prog";
        lab.tool([&option, &table, command, "prog"]).refused(127, here);
        let nowhere = "prag: is not in PATH: check the name, or give the program's path";
        lab.tool([&option, &table, command, "prag"]).refused(127, nowhere);
        let odd = r"a\x1b\x0ab: is not in PATH: check the name, or give the program's path";
        lab.tool([&option, &table, command, "a\x1b\nb"]).refused(127, odd);
    }
    if have_namespaces() {
        let unshare = |name: &str| lab.tool([&option, &table, "unshare", "--", name]);
        unshare("prog").refused(127, "prog: is not in PATH: for the file in this directory, write ./prog");
        unshare("prag").refused(127, "prag: is not in PATH: check the name, or give the program's path");
        unshare("./prag").refused(127, "./prag: there is no such command");
        std::fs::write(lab.path("data"), "no program").unwrap();
        unshare("./data").refused(126, "./data: cannot be executed: permission denied");
    }
    lab.tool(["run", ""]).refused(127, ": is not in PATH: check the name, or give the program's path");
}
