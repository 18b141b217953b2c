//! The arguments, the output and the lasting effect of the images that people use.

use serde_json::{Value, json};

use crate::container::{codes, run, states};
use crate::levels::of_this_machine;
use crate::support::{Scratch, need};

fn state(foreign: &[&str], emulators: &[&str]) -> Value {
    // The platforms that this machine runs by itself.
    let runs_i386 = std::process::Command::new("setarch").args(["i386", "true"]).status().is_ok_and(|it| it.success());
    let own = ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"];
    let i386: &[&str] = if runs_i386 { &["linux/386"] } else { &[] };
    let (before, after): (Vec<&str>, Vec<&str>) = foreign.iter().partition(|name| !name.starts_with("linux/arm/"));
    let supported = [&own[..of_this_machine()], &before, i386, &after].concat();
    json!({ "supported": supported, "emulators": emulators })
}

#[test]
fn everything_is_installed_works_without_the_container_and_is_removed() {
    need!(Namespace, Qemu, Guests);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r"
        run container; run container --install all; run container --install all; run container
        # The container is gone, with its files.
        umount root; rm -r root
        for guest in arm64 s390x armhf; do $GUESTS/$guest/bin/busybox uname -m; done
        mkdir empty; cp $GUESTS/s390x/bin/busybox empty; chroot empty /busybox uname -m
        ",
    );
    let all = state(
        &["linux/arm64", "linux/s390x", "linux/arm/v7", "linux/arm/v6"],
        &["qemu-aarch64", "qemu-arm", "qemu-arm-osabi65", "qemu-arm-osabi97", "qemu-s390x"],
    );
    let nothing = state(&[], &[]);
    let (json, programs) = seen.out().rsplit_once("code 0\n").unwrap();
    assert_eq!(states(json), [nothing, all.clone(), all.clone(), all], "{seen}");
    assert_eq!(programs, "aarch64\ns390x\narmv7l\ns390x\n", "{seen}");
    let done = |what: &str| ["aarch64", "arm", "s390x"].map(|name| format!("binfmt-dispatch: {name}: {what}\n"));
    assert_eq!(seen.err(), [done("installed"), done("is installed already")].concat().concat(), "{seen}");
}

/// docker/setup-qemu-action: an error is a status that is not 0. Then it reads `supported`.
#[test]
fn the_steps_of_the_action_for_ci() {
    need!(Namespace, Qemu);
    let seen = run(
        &Scratch::new(),
        r"
        run container --version; run container --uninstall 'qemu-*'
        run container --install linux/arm64,linux/arm/v7,linux/amd64,linux/386; run container
        run container --uninstall 'qemu-*'; entries
        ",
    );
    assert_eq!(codes(seen.out()), ["0"; 5], "{seen}");
    let version = seen.out().lines().next().unwrap();
    assert!(version.starts_with(concat!("binfmt-dispatch/", env!("CARGO_PKG_VERSION"), " qemu/")), "{seen}");
    let some = state(
        &["linux/arm64", "linux/arm/v7", "linux/arm/v6"],
        &["qemu-aarch64", "qemu-arm", "qemu-arm-osabi65", "qemu-arm-osabi97"],
    );
    let nothing = state(&[], &[]);
    assert_eq!(
        states(seen.out().split_once('\n').unwrap().1),
        [nothing.clone(), some.clone(), some, nothing],
        "{seen}"
    );
    assert!(seen.err().contains("x86_64: this machine runs such programs by itself\n"), "{seen}");
    assert_eq!(seen.err().lines().filter(|line| line.ends_with(": removed")).count(), 4, "{seen}");
}

/// Scripts pass a variable that may be empty.
#[test]
fn an_empty_list_is_as_if_the_option_were_missing() {
    need!(Namespace, Qemu);
    let seen = run(
        &Scratch::new(),
        r"
        container --install arm64 >log 2>&1
        run container --install ''; run container --uninstall ''; run container --install= --uninstall= --replace
        run container --install '' --uninstall arm64; entries
        ",
    );
    assert_eq!(codes(seen.out()), ["0"; 4], "{seen}");
    let (json, entries) = seen.out().rsplit_once("code 0\n").unwrap();
    let arm64 = state(&["linux/arm64"], &["qemu-aarch64"]);
    assert_eq!(states(json), [arm64.clone(), arm64.clone(), arm64, state(&[], &[])], "{seen}");
    assert_eq!((entries, seen.err()), ("\n", "binfmt-dispatch: qemu-aarch64: removed\n"), "{seen}");
}

#[test]
fn entries_are_removed_by_platform_name_and_pattern() {
    need!(Namespace, Qemu);
    let seen = run(
        &Scratch::new(),
        r"
        container --install all >log
        for what in linux/arm64 qemu-arm-osabi65,s390x 'qemu-arm-osabi9?' arm64 all 'qemu-*'; do
            container --uninstall $what >log; echo code $?; entries
        done
        container --uninstall all --install arm64 >log; entries
        ",
    );
    // A name of one entry of an architecture stands for all of them, as everywhere.
    let expected = "code 0\nqemu-arm qemu-arm-osabi65 qemu-arm-osabi97 qemu-s390x \n\
                    code 0\nqemu-arm qemu-arm-osabi97 \ncode 0\nqemu-arm \ncode 0\nqemu-arm \ncode 0\n\ncode 0\n\n\
                    qemu-aarch64 \n";
    assert_eq!(seen.out(), expected, "{seen}");
    assert!(seen.err().contains("binfmt-dispatch: aarch64: is not registered\n"), "{seen}");
}

#[test]
fn other_commands_are_in_the_same_image() {
    need!(Namespace, Qemu, Guests);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r"
        cp $GUESTS/arm64/bin/busybox root
        run container explain /busybox | head -1; run container run /busybox uname -m
        container --install arm64 >log 2>&1
        run container explain /busybox | head -1; run container list --image | wc -l; run container nonsense
        ",
    );
    let expected = "/busybox: does not run here. It is for aarch64 (arm64, 64-bit, Linux).\naarch64\ncode 0\n\
                    /busybox: runs here. It is for aarch64 (arm64, 64-bit, Linux).\n6\ncode 2\n";
    assert_eq!(seen.out(), expected, "{seen}");
    assert!(seen.err().contains("unrecognized subcommand 'nonsense'"), "{seen}");
}

/// They mount the registry themselves, in the container.
#[test]
fn the_entries_are_shown_in_a_container() {
    need!(Namespace, Qemu, Guests);
    let script = "
        container --install s390x >log 2>&1; run container status --all; cp $GUESTS/s390x/bin/busybox root
        run container explain /busybox | grep '^  why '
    ";
    let seen = run(&Scratch::new(), script);
    let first = format!("1 architecture runs through binfmt-dispatch {}.", env!("CARGO_PKG_VERSION"));
    assert!(seen.out().starts_with(&first), "{seen}");
    assert!(seen.out().contains("\ncode 0\n") && seen.out().contains("by entry qemu-s390x"), "{seen}");
}

#[test]
fn the_host_knows_the_entries() {
    need!(Namespace, Qemu, Guests);
    let seen = run(
        &Scratch::new(),
        r"
        container --install arm64 >log 2>&1; umount root; rm -r root
        run $TOOL status --all | grep '^qemu-aarch64 \|^[0-9]'; $TOOL status --json >status
        run $TOOL explain $GUESTS/arm64/bin/busybox | grep 'runs here\|image of a container\|that of a container'
        grep -h 'interpreter' $REGISTRY/qemu-aarch64; $TOOL unregister; entries
        ",
    );
    let lines: Vec<&str> = seen.out().lines().collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(lines[0], format!("1 architecture runs through binfmt-dispatch {version}."), "{seen}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[..4], ["qemu-aarch64", "enabled", "ours", version], "{seen}");
    assert!(lines[1].contains(" runs ") && lines[1].contains("(image of a container)"), "{seen}");
    assert!(lines[2].contains(": runs here. "), "{seen}");
    assert!(lines.iter().any(|line| line.contains("the registered image is that of a container")), "{seen}");
    let end = &lines[lines.len() - 3..];
    assert_eq!(end, ["interpreter /proc/self/exe", "qemu-aarch64: removed", ""], "{seen}");
}
