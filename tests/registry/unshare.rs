//! `unshare`: a private registry for one command.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::alpha::Alpha;
use crate::support::{REGISTRY, Row, need};

#[test]
fn the_command_takes_the_place_of_the_tool() {
    need!(Namespace);
    let alpha = Alpha::new();
    let seen = alpha.run("kill -TERM $$");
    assert_eq!(seen.status.signal(), Some(15), "{seen}");
    for (command, code) in [("true", 0), ("false", 1), ("no-such-command", 127), ("/etc/passwd", 126)] {
        alpha.unshare(&[command]).exited(code);
    }
}

#[test]
fn the_host_sees_nothing_of_it() {
    need!(Namespace);
    let listing = || fs::read_dir(REGISTRY).map(std::iter::Iterator::count).ok();
    let before = listing();
    Alpha::new().run("ls $REGISTRY").printed("qemu-alpha\nregister\nstatus\n");
    assert_eq!(listing(), before);
}

#[test]
fn this_machine_is_never_captured() {
    need!(Namespace);
    let made = Alpha::new();
    made.run("true").printed("");
    // Simulates mixed-up rows: alpha's row has this machine's numbers, and this machine's row has
    // others.
    let [own, alpha] = [std::env::consts::ARCH, "alpha"].map(|name| Row::new(name, "/bin/false"));
    let numbers = ["machine", "class", "data"];
    let alpha = numbers.into_iter().fold(alpha, |alpha, field| alpha.with(field, own.get(field).clone()));
    let class = if *own.get("class") == 32 { 64 } else { 32 };
    made.scratch.write("table", Row::table_of(&[&own.with("class", class.into()), &alpha]));
    let seen = made.unshare(&["true"]);
    assert!(seen.exited(1).err().contains("qemu-alpha: would capture this machine's own "), "{seen}");
}
