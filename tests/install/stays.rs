//! Files that an installation leaves alone, and files that it removes.

use std::fs;

use crate::support::Scratch;

#[test]
fn what_is_somebody_elses_stays() {
    let scratch = Scratch::new();
    let install =
        |arguments: &[&str]| scratch.tool([&["install", "--root", "r", "--no-emulators"], arguments].concat());
    for name in [
        "usr/bin/binfmt-dispatch",
        "usr/lib/binfmt.d/zz-binfmt-dispatch.conf",
        "usr/libexec/binfmt-dispatch/binfmt-dispatch",
    ] {
        let path = scratch.write(format!("r/{name}"), "mine");
        let seen = install(&[]);
        assert!(seen.exited(1).err().contains("as binfmt-dispatch did not write it"), "{seen}");
        scratch.tool(["uninstall", "--root", "r"]).exited(1);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(scratch.at("r")).unwrap();
    // If a part cannot be written, nothing is written.
    scratch.tool(["install", "--root", "r", "--from", "aarch64=/etc/passwd"]).exited(1);
    assert!(!scratch.path().join("r").exists());
    install(&["-n"]).exited(0);
    assert!(!scratch.path().join("r").exists());
}

#[test]
fn what_killed_runs_left_goes_and_nothing_else() {
    let scratch = Scratch::new();
    let at = |name: &str| format!("prefix/{name}");
    // Such files remain on a file system where a file has a name from the beginning.
    let left = [
        "libexec/binfmt-dispatch/.binfmt-dispatch-aB3xyz",
        "lib/binfmt.d/.binfmt-dispatch-000000",
        "share/man/man8/.binfmt-dispatch-zzzzzz",
        "share/bash-completion/completions/.binfmt-dispatch-zzzzzz",
    ]
    .map(at);
    let others = [
        "libexec/binfmt-dispatch/.binfmt-dispatch-aB3xy",
        "libexec/binfmt-dispatch/.binfmt-dispatch-aB3xyz.conf",
        "lib/binfmt.d/.binfmt-dispatch-aB3-yz",
        "lib/binfmt.d/other.conf",
        "bin/.binfmt-dispatch-aB3xyz",
    ]
    .map(at);
    let directory = "lib/binfmt.d/.binfmt-dispatch-aB3xyz";
    fs::create_dir_all(scratch.path().join(at(directory))).unwrap();
    for name in &others {
        scratch.write(name, "theirs");
    }
    for command in [&["install", "--no-emulators", "--no-register"][..], &["uninstall", "--mount", "/"]] {
        for name in &left {
            scratch.write(name, "half an image");
        }
        let seen = scratch.tool([command, &["--prefix", &scratch.at("prefix")]].concat());
        seen.exited(0);
        for name in &left {
            assert!(!scratch.path().join(name).exists(), "{name}\n{seen}");
        }
    }
    for name in &others {
        assert_eq!(fs::read_to_string(scratch.path().join(name)).unwrap(), "theirs");
        fs::remove_file(scratch.path().join(name)).unwrap();
    }
    fs::remove_dir(scratch.path().join(at(directory))).unwrap();
}

#[test]
fn directories_that_nothing_was_installed_in_stay() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path().join("mine").join(name);
    let tool = |arguments: &[&str]| {
        let prefix = ["--prefix", &scratch.at("mine")];
        let seen = scratch.tool([arguments, &prefix].concat());
        seen.exited(0).out().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["bin", "lib/binfmt.d", "libexec"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    assert!(tool(&["uninstall", "--mount", "/"]).is_empty());
    assert!(at("bin").exists() && at("lib/binfmt.d").exists() && at("libexec").exists());
    for (others, left) in [(false, &["bin", "lib", "libexec"][..]), (true, &["bin", "lib/binfmt.d", "libexec"])] {
        tool(&["install", "--no-emulators", "--no-register"]);
        if others {
            scratch.write("mine/lib/binfmt.d/other.conf", "");
        }
        let would = tool(&["uninstall", "--mount", "/", "--dry-run"]);
        let removed = tool(&["uninstall", "--mount", "/"]);
        assert_eq!(would, removed.iter().map(|line| line.replace(" removed", " would be removed")).collect::<Vec<_>>());
        let directories = removed.iter().filter(|line| {
            [at("libexec/binfmt-dispatch"), at("lib/binfmt.d")]
                .iter()
                .any(|path| **line == format!("{}: removed", path.display()))
        });
        assert_eq!(directories.count(), if others { 1 } else { 2 }, "{removed:?}");
        assert!(!at("libexec/binfmt-dispatch").exists() && at("lib/binfmt.d").exists() == others);
        assert!(left.iter().all(|name| at(name).exists()));
    }
}
