//! Scripts: what their first line leads to is what counts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::lab::{Lab, have_namespaces};

#[test]
fn are_followed_to_the_program() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new();
    let program = lab.at("p");
    lab.probe("p", "aarch64");
    lab.write("s", format!("#! {program}\t-a b \nanything"));
    lab.write("t", "#!s\n");
    let [option, table] = lab.aarch64("/bin/echo", json!({}));
    let run = lab.unregistered([&option, &table, "explain", "./t"]);
    run.has("script      run by s").has(&format!("run by {program}"));
    run.has(&format!("argv        /bin/echo -- {program} '-a b' s ./t")).code(1);
    let run = lab.tool([&option, &table, "run", "./s", "-x", "--", "y"]);
    run.printed(&format!("-- {program} -a b ./s -x -- y\n")).succeeded();
}

#[test]
fn of_this_machine_are_simply_run() {
    let lab = Lab::new();
    lab.write("s", "#!/bin/sh -e\necho \"$0 $*\"; exit 7");
    lab.tool(["run", "./s", "-a", "b c"]).printed("./s -a b c\n").code(7);
}

#[test]
fn without_their_interpreter() {
    let lab = Lab::new();
    lab.write("s", "#!/no/sh\n");
    let line = "./s: its interpreter /no/sh cannot be opened: install it, or mend the script's first line: \
                no such file or directory";
    lab.tool(["explain", "./s"]).refused(127, line);
    lab.tool(["run", "./s"]).refused(127, line);
    lab.write("s", "#!/bin/sh\r\necho\r\n");
    let line = "./s: its interpreter /bin/sh\\x0d cannot be opened: remove the carriage returns at the ends of its \
                lines: no such file or directory";
    lab.tool(["explain", "./s"]).refused(127, line);
}

#[test]
fn that_run_themselves_come_to_an_end() {
    let lab = Lab::new();
    lab.write("s", format!("#!{}\n", lab.at("s")));
    let line = format!("{}: the last of too many scripts that run scripts: shorten the chain", lab.at("s"));
    lab.tool(["explain", "./s"]).refused(126, &line);
}

#[test]
fn that_are_not_executable() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new();
    fs::set_permissions(lab.write("s", "#!/bin/sh\n"), fs::Permissions::from_mode(0o644)).unwrap();
    lab.unregistered(["explain", "./s"]).verdict(126, "it does not run: ./s is not executable", "chmod +x ./s");
}
