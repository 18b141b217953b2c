//! The image where there is little or nothing else: no emulators, no /proc, no /dev.

mod support;

use serde_json::Value;
use support::{Namespace, Need, Observation, Scratch, TOOL, have};

/// A directory of the few commands that scripts need stands in for /usr/bin, so that no emulator is installed.
const NO_EMULATORS: &str = r#"
    mkdir -p bin; for name in cat chroot cp cmp grep ls mkdir mv rm sed strace tail wc; do
        [ ! -x /usr/bin/$name ] || cp /usr/bin/$name bin/; done; cp /usr/sbin/chroot bin/
    PATH=$PWD/bin
    hide() { /usr/bin/mount --bind bin /usr/bin; }
"#;

fn ready() -> bool {
    have(&[Need::Namespace, Need::Qemu])
}

/// Runs a script with an empty registry.
#[track_caller]
fn run(scratch: &Scratch, script: &str) -> Observation {
    let empty = Namespace::with_lines("nothing registered", String::new());
    empty.run(scratch, &format!("TOOL={TOOL}; REGISTRY=/proc/sys/fs/binfmt_misc\n{NO_EMULATORS}\n{script}"))
}

fn programs(json: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(json).unwrap().as_array().unwrap().clone()
}

#[test]
fn without_any_emulator_nothing_is_written() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r#"
        hide; mkdir empty
        $TOOL image -o i; echo code $?; $TOOL image -o i --from empty; echo code $?; $TOOL image -o i arm64; echo code $?
        $TOOL install --prefix $PWD/p; echo code $?; $TOOL install --root r -n; echo code $?; ls
        $TOOL image -o i --no-emulators; echo code $?; $TOOL install --root r --no-emulators >out; echo code $?; cat out
        "#,
    );
    let out: Vec<&str> = seen.out().lines().collect();
    assert_eq!(out[..7], ["code 127", "code 127", "code 127", "code 127", "code 127", "bin", "empty"], "{seen}");
    assert_eq!(out[7..9], ["code 0", "code 0"], "{seen}");
    let none = "binfmt-dispatch: no emulator is installed, and none would be in the image: install the package \
                qemu-user-static, name a directory with --from, or choose --no-emulators";
    let named = "binfmt-dispatch: aarch64: no emulator: install the package qemu-user-static, or one of /usr/bin/";
    let err: Vec<&str> = seen.err().lines().collect();
    assert_eq!([err[0], err[3], err[4]], [none; 3], "{seen}");
    assert_eq!(err[1], "binfmt-dispatch: empty: no emulator of the table is there: name another directory", "{seen}");
    assert!(err[2].starts_with(named) && err.len() == 5, "{seen}");
}

#[test]
fn an_image_gives_its_emulators_to_the_next_one() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["aarch64", "s390x"] {
        scratch.probe(name, name);
    }
    let seen = run(
        &scratch,
        r#"
        $TOOL image arm64 s390x -o first --seed 1; ./first list --image --json >first.json
        hide
        # The path of the command is in the file, too.
        cp first x; ./x image -o second --seed 1 && ./second list --image --json >second.json
        mv second x; ./x image -o third --seed 1; cmp x third; ./third image arm64 -o one; ./third image arm -o two; echo code $?
        ./third image --from bin -o two; echo code $?; ls two
        ./first install --prefix $PWD/p >out && ./aarch64 && ./s390x; echo code $?
        p/bin/binfmt-dispatch install --prefix $PWD/p >out && ./aarch64 && ./s390x; echo code $?
        grep -c ' ok$' out; ./first image --no-emulators -o bare; ./bare list --image --json >bare.json
        "#,
    );
    let expected = ["code 127", "code 127", "code 0", "code 0", "2"];
    assert_eq!(seen.out().lines().collect::<Vec<_>>(), expected, "{seen}");
    let carried = |name: &str| programs(&std::fs::read_to_string(scratch.at(name)).unwrap());
    let [first, second] = ["first.json", "second.json"].map(carried);
    assert_eq!((first.len(), carried("bare.json").len()), (3, 1));
    for (before, after) in first.iter().zip(&second).skip(1) {
        assert_eq!(before, after, "paths, versions, digests, models and addresses are what they were");
    }
    let err: Vec<&str> = seen.err().lines().collect();
    assert!(err.len() == 3 && err[0].starts_with("binfmt-dispatch: arm: no emulator: "), "{seen}");
}

#[test]
fn installed_emulators_are_preferred_to_those_inside() {
    if !have(&[Need::Namespace, Need::Qemu, Need::BothQemus]) {
        return;
    }
    let scratch = Scratch::new();
    let newer = support::Release::ALL.map(|release| release.qemu("aarch64")).map(|path| path.display().to_string());
    let script = format!(
        "for emulator in {}; do $TOOL image --from aarch64=$emulator -o i && ./i image arm64 -o j
         ./j list --image --json; done; hide; ./i image arm64 -o k; ./k list --image --json",
        newer.join(" ")
    );
    let seen = run(&scratch, &script);
    let mut lists = serde_json::Deserializer::from_str(seen.succeeded().out()).into_iter::<Value>();
    let paths: Vec<Value> = lists.by_ref().map(|list| list.unwrap()[1]["path"].clone()).collect();
    assert_eq!(paths, ["/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64-static", &newer[1]]);
}
