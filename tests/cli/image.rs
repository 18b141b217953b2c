//! `image`: whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::lab::{Lab, Run, have_namespaces};

/// The names in the test's directory.
fn names(lab: &Lab) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(lab.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn is_an_executable_that_says_what_it_is_for() {
    let lab = Lab::new();
    lab.tool(["image", "-o", "i"]).printed("").succeeded();
    assert_eq!(fs::metadata(lab.path("i")).unwrap().permissions().mode() & 0o777, 0o755);
    let line = "this file is for the kernel to start: use the command binfmt-dispatch, or register it with flag O";
    Run::of(lab.command(lab.path("i"))).refused(2, line);
    let run = lab.unregistered(["explain", "./i"]);
    if have_namespaces() {
        run.verdict(0, "it runs by itself: it is a program of this machine", "");
    }
    assert_eq!(names(&lab), ["i"]);
}

#[test]
fn is_the_same_every_time_and_follows_the_table() {
    let lab = Lab::new();
    for name in ["a", "b"] {
        lab.tool(["image", "--output", name]).succeeded();
    }
    let [option, table] = lab.aarch64("/bin/cat", json!({}));
    lab.tool([&option, &table, "image", "-o", "c"]).succeeded();
    let [a, b, c] = ["a", "b", "c"].map(|name| fs::read(lab.path(name)).unwrap());
    assert!(a == b && a != c);
}

#[test]
fn replaces_a_file_and_nothing_else() {
    let lab = Lab::new();
    lab.write("i", "old");
    lab.tool(["image", "-o", "i"]).succeeded();
    assert!(fs::read(lab.path("i")).unwrap().starts_with(b"\x7fELF"));
    fs::create_dir(lab.path("d")).unwrap();
    lab.shell("mkfifo f; ln -s f l").succeeded();
    lab.tool(["image", "-o", "d"]).refused(1, "d: cannot write: name a file: is a directory");
    for name in ["f", "l", "/dev/full"] {
        lab.tool(["image", "-o", name]).refused(1, &format!("{name}: cannot write: it is no regular file"));
    }
    lab.tool(["image", "-o", "no/i"])
        .refused(1, "no/i: cannot write: create the directory first: no such file or directory");
    lab.tool(["image", "-o", "i/i"]).refused(1, "i/i: cannot write: create the directory first: not a directory");
    lab.tool(["image", "-o", ""]).code(2);
    lab.tool(["image"]).code(2);
    assert_eq!(names(&lab), ["d", "f", "i", "l"]);
}

#[test]
fn leaves_the_old_file_where_there_is_no_room() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new();
    fs::create_dir(lab.path("m")).unwrap();
    for (options, error) in [
        ("remount,size=16k", "free some space or choose another directory: no space left on device"),
        ("remount,ro", "choose another directory: read-only file system"),
    ] {
        let script = format!(
            "mount -t tmpfs none m && echo old >m/i && mount -o {options} m && $TOOL image -o m/i; echo code $?; cat m/i; ls -A m"
        );
        let run = lab.private(&script);
        let line = format!("binfmt-dispatch: m/i: cannot write: {error}\n");
        assert!(run.err() == line && run.out() == "code 1\nold\ni\n", "expected: {line}{run}");
    }
}
