//! Entries of other software.

use crate::container::{codes, run, run_with, warned};
use crate::support::{Scratch, need, saying};

/// Registers an emulator that says `theirs`, under the name and the rule of aarch64.
const THEIRS: &str = r#"
    cp $THEIRS theirs
    $TOOL generate --format register --interpreter $PWD/theirs aarch64 >line
    theirs() { sed "s|^:[^:]*:|:$1:|" line >$REGISTRY/register; }
"#;

fn theirs(script: &str) -> String {
    format!("THEIRS={}\n{THEIRS}\n{script}", saying("theirs", 0).display())
}

#[test]
fn an_entry_with_our_name_is_replaced_only_on_request() {
    need!(Namespace, Qemu, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let script = theirs(
        r"
        theirs qemu-aarch64
        quiet container --install all; ./guest; entries
        quiet container --uninstall arm64; quiet container --uninstall 'qemu-*'; ./guest
        quiet container --install arm64 --replace; ./guest; quiet $TOOL status
        quiet container --uninstall all; entries
        ",
    );
    let seen = run(&scratch, &script);
    assert_eq!(codes(seen.out()), ["1", "1", "0", "0", "0", "0"], "{seen}");
    let others: Vec<&str> = seen.out().lines().filter(|line| !line.starts_with("code ")).collect();
    let all = "qemu-aarch64 qemu-arm qemu-arm-osabi65 qemu-arm-osabi97 qemu-s390x ";
    assert_eq!(others, ["theirs", all, "theirs", ""], "{seen}");
    let path = scratch.at("theirs");
    for line in [
        format!("qemu-aarch64: is registered for {path}: remove that package, or use `--replace`"),
        format!("qemu-aarch64: left alone, as it is registered for {path}: use what registered it"),
        "arm: installed".to_owned(),
        format!("qemu-aarch64: left, as it belongs to other software ({path})"),
        format!("aarch64: installed in place of {path}"),
    ] {
        assert!(seen.err().contains(&format!("binfmt-dispatch: {line}")), "{line}\n{seen}");
    }
}

#[test]
fn an_entry_with_another_name_stays_and_comes_back() {
    need!(Namespace, Qemu, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let script = theirs(
        r"
        theirs theirs-arm64
        quiet container --install arm64; ./guest; entries
        quiet container --uninstall all; ./guest; entries
        ",
    );
    let seen = run(&scratch, &script);
    assert_eq!(seen.out(), "code 0\nqemu-aarch64 theirs-arm64 \ncode 0\ntheirs\ntheirs-arm64 \n", "{seen}");
    let path = scratch.at("theirs");
    warned(
        &seen,
        &format!("qemu-aarch64: now takes precedence over theirs-arm64 ({path}) for programs that match both"),
    );
}

#[test]
fn an_older_installation_on_the_host_is_upgraded() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let [one, two] = ["one", "two"].map(crate::container::image_saying);
    let seen = run_with(
        &scratch,
        (&one, &two),
        r"
        cp $OTHER installed; ./installed register --replace --image $PWD/installed >log; ./guest
        quiet container --install all; ./guest
        other_image; quiet container --install all; ./guest; quiet container --install all
        ",
    );
    assert_eq!(seen.out(), "two\ncode 0\none\ncode 0\ntwo\ncode 0\n", "{seen}");
    let path = scratch.at("installed");
    let done = [&format!("in place of {path}"), "in place of another image"];
    let lines = done.map(|done| format!("binfmt-dispatch: aarch64: installed {done}\n"));
    assert_eq!(seen.err(), lines.concat() + "binfmt-dispatch: aarch64: is installed already\n", "{seen}");
}
