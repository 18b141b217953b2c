//! Scripts: the program to which their first line leads decides.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::{Namespace, Scratch, need};
use crate::table::aarch64;

#[test]
fn are_followed_to_the_program() {
    need!(Namespace);
    let scratch = Scratch::new();
    let program = scratch.at("p");
    scratch.probe("p", "aarch64");
    scratch.write("s", format!("#! {program}\t-a b \nanything"));
    scratch.write("t", "#!s\n");
    let [option, table] = aarch64(&scratch, "/bin/echo", json!({}));
    let run = Namespace::empty().tool(&scratch, [&option, &table, "explain", "./t"]);
    run.has("script      run by s").has(&format!("run by {program}"));
    run.has(&format!("argv        /bin/echo -- {program} '-a b' s ./t")).exited(1);
    let run = scratch.tool([&option, &table, "run", "./s", "-x", "--", "y"]);
    run.printed(&format!("-- {program} -a b ./s -x -- y\n"));
}

#[test]
fn of_this_machine_are_simply_run() {
    let scratch = Scratch::new();
    scratch.write("s", "#!/bin/sh -e\necho \"$0 $*\"; exit 7");
    scratch.tool(["run", "./s", "-a", "b c"]).wrote("./s -a b c\n").exited(7);
}

#[test]
fn without_their_interpreter() {
    let scratch = Scratch::new();
    scratch.write("s", "#!/no/sh\n");
    let line = "./s: its interpreter /no/sh cannot be opened: install it, or mend the script's first line: \
                no such file or directory";
    scratch.tool(["explain", "./s"]).refused(1, line);
    scratch.tool(["run", "./s"]).refused(127, line);
    scratch.write("s", "#!/bin/sh\r\necho\r\n");
    let line = "./s: its interpreter /bin/sh\\x0d cannot be opened: remove the carriage returns at the ends of its \
                lines: no such file or directory";
    scratch.tool(["explain", "./s"]).refused(1, line);
}

#[test]
fn that_run_themselves_come_to_an_end() {
    let scratch = Scratch::new();
    scratch.write("s", format!("#!{}\n", scratch.at("s")));
    let line = format!("{}: the last of too many scripts that run scripts: shorten the chain", scratch.at("s"));
    scratch.tool(["explain", "./s"]).refused(1, &line);
}

#[test]
fn that_are_not_executable() {
    need!(Namespace);
    let scratch = Scratch::new();
    fs::set_permissions(scratch.write("s", "#!/bin/sh\n"), fs::Permissions::from_mode(0o644)).unwrap();
    Namespace::empty()
        .tool(&scratch, ["explain", "./s"])
        .verdict("it does not run: ./s is not executable", "chmod +x ./s");
}
