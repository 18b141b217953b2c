//! Architectures by any of their names, and names that are no architecture's.

use crate::support::{Namespace, Scratch, need};

#[test]
fn have_many_names() {
    let scratch = Scratch::new();
    let listed = |names: &[&str]| {
        let run = scratch.tool([&["list"], names].concat());
        let out = run.succeeded().out().lines().skip(1).filter_map(|line| Some(line.split(' ').next()?.to_owned()));
        out.collect::<Vec<String>>()
    };
    assert_eq!(
        listed(&["ARM64", "linux/arm/v7", "riscv64-linux-gnu", "x86-64"]),
        ["aarch64", "arm", "riscv64", "x86_64"]
    );
    assert_eq!(listed(&["qemu-s390x", "S390X", "s390x-ibm-linux-gnu"]), ["s390x"]);
    assert_eq!(listed(&["All"]).len(), dispatch_table::ArchTable::builtin().architectures().len());
    let run = scratch.tool(["generate", "--host", "AMD64", "arm64v8", "--format", "register"]);
    assert!(run.succeeded().out().starts_with(":qemu-aarch64:"), "{run}");
}

#[test]
fn that_are_unknown_are_named_with_what_was_perhaps_meant() {
    let scratch = Scratch::new();
    for command in ["list", "generate"] {
        let refused = |names: &[&str], line: &str| {
            scratch.tool([&[command], names].concat()).refused(2, line);
        };
        refused(&["z80"], "unknown architecture z80: see `binfmt-dispatch list`");
        refused(&["aarch65"], "unknown architecture aarch65: did you mean aarch64?");
        refused(&["armv8"], "unknown architecture armv8: did you mean arm/v8 or arm64/v8?");
        refused(&["z\x1b80"], "unknown architecture z\\x1b80: see `binfmt-dispatch list`");
        let both = "unknown architectures aarch65 (did you mean aarch64?), z80: see `binfmt-dispatch list`";
        refused(&["aarch65", "z80"], both);
    }
    let line = "unknown architecture amd46: did you mean amd64?";
    scratch.tool(["generate", "--host", "amd46"]).refused(2, line);
    scratch.tool(["tune", "--root", "/", "amd46"]).refused(2, line);
    scratch.tool(["image", "-o", "i", "arm64", "--from", "amd46=/bin/true"]).refused(2, line);
}

#[test]
fn that_are_unknown_do_not_hide_the_others() {
    let scratch = Scratch::new();
    let line = "binfmt-dispatch: unknown architecture aarch65: did you mean aarch64?\n";
    for arguments in [&["list"][..], &["list", "--json"], &["generate"], &["generate", "--format", "register"]] {
        let good = scratch.tool([arguments, &["s390x"]].concat());
        let run = scratch.tool([arguments, &["aarch65", "s390x"]].concat());
        assert_eq!((run.out(), run.err()), (good.succeeded().out(), line), "{run}");
        run.exited(2);
    }
}

#[test]
fn that_are_unknown_keep_everything_as_it_is() {
    need!(Namespace);
    let scratch = Scratch::new();
    let run = Namespace::empty().run(
        &scratch,
        r#"
        $TOOL image --no-emulators -o i || exit 1
        say() { "$@" aarch65 s390x z80; echo "$2 $?"; }
        say $TOOL install --root r; say $TOOL image -o j; say $TOOL register --image i; say $TOOL unregister --image i
        $TOOL unshare --arch aarch65 -a arm64 --arch z80 true; echo "unshare $?"
        ls . $REGISTRY
        "#,
    );
    let line =
        "binfmt-dispatch: unknown architectures aarch65 (did you mean aarch64?), z80: see `binfmt-dispatch list`";
    assert!(run.err().lines().all(|found| found == line) && run.err().lines().count() == 5, "{run}");
    run.wrote(
        "install 2\nimage 2\nregister 2\nunregister 2\nunshare 2\n.:\ni\n\n/proc/sys/fs/binfmt_misc:\nregister\nstatus\n",
    );
}
