//! The tables of a site, which are compiled into what is installed.

use crate::run;
use crate::support::{Scratch, need};

#[test]
fn tables_of_the_site() {
    let scratch = Scratch::new();
    let row = |row: &str| format!(r#"{{"version": 1, "architectures": [{row}]}}"#);
    scratch
        .write("r/etc/binfmt-dispatch/10.json", row(r#"{"name": "alpha", "emulators": ["/bin/true"], "notes": "a"}"#));
    scratch.write("r/etc/binfmt-dispatch/20.json", row(r#"{"name": "alpha", "notes": "b"}"#));
    scratch.write("r/etc/binfmt-dispatch/README", "not a table");
    let install =
        |arguments: &[&str]| scratch.tool([&["install", "--root", "r", "--no-emulators"], arguments].concat());
    install(&[]).exited(0);
    let image = scratch.at("r/usr/bin/binfmt-dispatch");
    let listed = || scratch.run(&image, ["list", "--json", "alpha"]).json()[0].clone();
    assert_eq!((&listed()["emulator"], &listed()["notes"]), (&"/bin/true".into(), &"b".into()));
    install(&["--no-site"]).exited(0);
    assert_ne!(listed()["notes"], "b");
    scratch.write("r/etc/binfmt-dispatch/30.json", row(r#"{"name": "alpha", "emulators": ["a/b"]}"#));
    let seen = install(&[]);
    assert!(seen.err().contains("30.json:1:66: architectures[0].emulators[0]: emulator"), "{seen}");
}

#[test]
fn tables_of_this_machine() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.write(
        "etc/binfmt-dispatch/a.json",
        r#"{"version": 1, "architectures": [{"name": "alpha", "notes": "site"}]}"#,
    );
    scratch.write("given.json", r#"{"version": 1, "architectures": [{"name": "alpha", "notes": "given"}]}"#);
    let seen = run(
        &scratch,
        r#"
        # In this namespace only, /etc is another directory.
        mount --bind etc /etc || exit 1
        notes() { "$@" -o i --no-emulators && ./i list --json alpha | sed -n 's/^ *"notes": "\(site\|given\)\?.*/\1,/p'; }
        notes $TOOL image; notes $TOOL image --no-site; notes $TOOL image --table given.json; notes $TOOL image
        # What is not there any more is not in the next image either.
        rm etc/binfmt-dispatch/a.json; cp i j; ./j list --json alpha | grep -c site; notes ./j image
        echo '{"version": 1, "architectures": [{"name": "alpha", "argv0": "x"}]}' >etc/binfmt-dispatch/b.json
        notes $TOOL image 2>&1; echo "code $?"; notes $TOOL image --no-site
        rm -r etc/binfmt-dispatch; echo >etc/binfmt-dispatch; notes $TOOL image 2>&1
        true
        "#,
    );
    let lines: Vec<_> = seen.out().lines().map(str::to_owned).collect();
    assert_eq!(lines[..6], ["site,", ",", "given,", "site,", "1", ","], "{seen}");
    let place = "binfmt-dispatch: /etc/binfmt-dispatch/b.json:1:61: architectures[0].argv0: ";
    assert!(lines[6].starts_with(place), "{seen}");
    let refused = "binfmt-dispatch: /etc/binfmt-dispatch: cannot read: check the path: not a directory";
    assert_eq!(lines[7..], ["code 2", ",", refused], "{seen}");
}
