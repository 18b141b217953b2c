//! An installation that names architectures keeps those that were installed before.

use crate::support::{Row, Scratch, need, saying};
use crate::{run, with_probes};

#[test]
fn the_architectures_of_the_installed_image() {
    need!(Namespace, Qemu);
    let scratch = with_probes();
    let seen = run(
        &scratch,
        r#"
        install() { $TOOL install "$@" --prefix $PREFIX --seed 1 --no-docs 2>/dev/null || exit 1; }
        after() { ./aarch64 && ./s390x && $PREFIX/bin/binfmt-dispatch status | tail -n 1; grep -o '^:qemu-[a-z0-9]*' $PREFIX/lib/binfmt.d/*; }
        install s390x | grep Kept
        install aarch64 | grep -e Kept -e Found -e ' ok$' -e ^Registered; after
        install s390x --dry-run | grep -o '^:qemu-[a-z0-9]*'
        # Only in a root: nothing is registered.
        install aarch64 --no-register | grep -e Kept -e registered$; after
        $PREFIX/bin/binfmt-dispatch list --image | grep -o 'qemu-[a-z0-9]*-static'
        install s390x --only | grep -e Kept -e ' ok$'; grep -o '^:qemu-[a-z0-9]*' $PREFIX/lib/binfmt.d/*
        $TOOL install --only --prefix $PREFIX 2>/dev/null; echo $?
        "#,
    );
    let both = ":qemu-aarch64\n:qemu-s390x\n";
    let after = format!("All entries work; --all shows them.\n{both}");
    let text = seen.out().split_inclusive('\n').filter(|line| !line.starts_with("qemu-")).collect::<String>();
    assert_eq!(
        text,
        format!(
            "Found 2 emulators in /usr/bin.\nKept, as installed before: s390x.\n\
             Registered 2 entries for 2 architectures in /proc/sys/fs/binfmt_misc.\n{after}{both}\
             Kept, as installed before: s390x.\n{after}:qemu-s390x\n2\n"
        ),
        "{seen}"
    );
    let rows: Vec<&str> = seen.out().lines().filter(|line| line.starts_with("qemu-")).collect();
    let begins = ["qemu-aarch64 ", "qemu-s390x ", "qemu-aarch64 ", "qemu-s390x "];
    let ends = [" ok", " ok", "not registered", "not registered"];
    for ((row, begin), end) in rows.iter().zip(begins).zip(ends) {
        assert!(row.starts_with(begin) && row.ends_with(end) && row.contains("POCF"), "{seen}");
    }
    assert_eq!(rows[4..6], ["qemu-aarch64-static", "qemu-s390x-static"], "{seen}");
    assert!(rows[6].starts_with("qemu-s390x ") && rows.len() == 7, "{seen}");
}

#[test]
fn emulators_that_are_gone_or_were_chosen() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("alpha", "alpha");
    scratch.probe("hppa", "hppa");
    let (usual, chosen) = (scratch.at("usual"), scratch.at("chosen"));
    scratch.write("table", Row::new("alpha", &usual).table());
    let [one, two] = [saying("one", 0), saying("two", 0)].map(|path| path.display().to_string());
    let seen = run(
        &scratch,
        &format!(
            r"
            ONE={one} TWO={two} USUAL={usual} CHOSEN={chosen}
            {}
            ",
            r#"
            install() { $TOOL install "$@" --table table --prefix $PREFIX --no-docs 2>/dev/null | grep -e Found -e Kept; }
            cp $ONE $USUAL; cp $ONE $CHOSEN
            install alpha; ./alpha
            # The new one that is installed at its usual place, and none if it is gone or cannot be embedded.
            cp --remove-destination $TWO $USUAL; install hppa --from hppa=$CHOSEN; ./alpha; ./hppa
            echo 'no program' >$USUAL; install hppa --from hppa=$CHOSEN; ./alpha
            rm $USUAL; $TOOL image --no-emulators -o $USUAL; install hppa --from hppa=$CHOSEN; ./alpha
            rm $USUAL; install hppa --from hppa=$CHOSEN; ./alpha
            # What was chosen with --from stays as it is.
            cp $ONE $USUAL; cp --remove-destination $TWO $CHOSEN; install alpha; ./alpha; ./hppa
            # What is asked for by name comes from the installed image too.
            rm $USUAL; install alpha; ./alpha
            "#
        ),
    );
    let directory = scratch.path().display().to_string();
    let found = format!("Found 1 emulator in {directory}.\n");
    let both = format!("Found 2 emulators in {directory}.\n");
    let from_image = format!("Found 1 emulator in {directory}, 1 emulator in the installed image.\n");
    let kept = |name: &str| format!("Kept, as installed before: {name}.\n");
    let (alpha, hppa) = (kept("alpha"), kept("hppa"));
    seen.wrote(&format!(
        "{found}one\n{both}{alpha}two\none\n{from_image}{alpha}two\n{from_image}{alpha}two\n{from_image}{alpha}two\n\
         {from_image}{hppa}one\none\nFound 2 emulators in the installed image.\n{hppa}one\n"
    ));
}

#[test]
fn what_is_in_the_way_of_others_is_no_obstacle() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "alpha");
    let script = r#"
        install() { $TOOL install "$@" --prefix $PREFIX --no-docs 2>/dev/null | grep -e Kept -e '^qemu-' -e ^Registered; }
        install alpha hppa --from alpha=$ONE --from hppa=$ONE
        # Another's entry, as from a package that was upgraded meanwhile.
        echo -1 >$REGISTRY/qemu-alpha; printf '%s' ':qemu-alpha:M:18:\x26\x90::/bin/true:' >$REGISTRY/register
        install hppa --from hppa=$ONE; grep interpreter $REGISTRY/qemu-alpha
        grep -c ^:qemu-alpha: $PREFIX/lib/binfmt.d/*
        # Without embedded emulators, entries are kept too.
        $TOOL uninstall --prefix $PREFIX >/dev/null; echo -1 >$REGISTRY/qemu-alpha
        $TOOL install --table table --no-emulators --prefix $PREFIX --no-docs >/dev/null 2>&1
        grep -c ^:qemu-alpha:.*:POF$ $PREFIX/lib/binfmt.d/*
        install hppa --from hppa=$ONE --table table | grep -e qemu-alpha -e qemu-hppa; ./guest
        "#;
    let one = saying("one", 0).display().to_string();
    scratch.write("table", Row::new("alpha", &one).table());
    let seen = run(&scratch, &format!("ONE={one}\n{script}"));
    let lines: Vec<String> =
        seen.out().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let registered = |count: &str| format!("Registered {count} in /proc/sys/fs/binfmt_misc.");
    let emulator = one.rsplit('/').next().unwrap();
    assert_eq!(
        lines,
        [
            &format!("qemu-alpha POCF {emulator} ok"),
            &format!("qemu-hppa POCF {emulator} ok"),
            &registered("2 entries for 2 architectures"),
            "Kept, as installed before: alpha.",
            &format!("qemu-alpha POCF {emulator} not registered"),
            &format!("qemu-hppa POCF {emulator} ok"),
            &registered("1 entry for 1 architecture"),
            "interpreter /bin/true",
            "1",
            "1",
            &format!("qemu-alpha POF {one} ok"),
            &format!("qemu-hppa POCF {emulator} ok"),
            "one",
        ],
        "{seen}"
    );
}
