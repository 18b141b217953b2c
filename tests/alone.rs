//! Tests of the image in systems with little or nothing else: no emulators, no /proc, no /dev.

mod support;

use serde_json::Value;
use support::{Namespace, Observation, Scratch, need};

/// A directory of the few commands that scripts need. It takes the place of /usr/bin, so that no
/// emulator is installed.
const NO_EMULATORS: &str = r"
    mkdir -p bin; for name in cat chroot cp cmp grep ls mkdir mv rm sed strace tail wc; do
        [ ! -x /usr/bin/$name ] || cp /usr/bin/$name bin/; done; cp /usr/sbin/chroot bin/
    PATH=$PWD/bin
    hide() { /usr/bin/mount --bind bin /usr/bin; }
";

/// Runs a script with an empty registry.
#[track_caller]
fn run(scratch: &Scratch, script: &str) -> Observation {
    Namespace::empty().run(scratch, &format!("{NO_EMULATORS}\n{script}"))
}

fn programs(json: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(json).unwrap().as_array().unwrap().clone()
}

#[test]
fn without_any_emulator_nothing_is_written() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r"
        hide; mkdir empty
        $TOOL image -o i; echo code $?; $TOOL image -o i --from empty; echo code $?; $TOOL image -o i arm64; echo code $?
        $TOOL install --prefix $PWD/p; echo code $?; $TOOL install --root r -n; echo code $?; ls
        $TOOL image -o i --no-emulators; echo code $?; $TOOL install --root r --no-emulators >out; echo code $?; cat out
        ",
    );
    let out: Vec<&str> = seen.out().lines().collect();
    assert_eq!(out[..7], ["code 127", "code 127", "code 127", "code 127", "code 127", "bin", "empty"], "{seen}");
    assert_eq!(out[7..9], ["code 0", "code 0"], "{seen}");
    let none = "binfmt-dispatch: no emulator is installed, and none would be in the image: install the package \
                qemu-user-static, name a directory with --from, or choose --no-emulators";
    let named = "binfmt-dispatch: aarch64: no emulator: install the package qemu-user-static, or one of /usr/bin/";
    let err: Vec<&str> = seen.err().lines().collect();
    assert_eq!([err[0], err[3], err[4]], [none; 3], "{seen}");
    assert_eq!(err[1], "binfmt-dispatch: empty: contains no emulator of the table: name another directory", "{seen}");
    assert!(err[2].starts_with(named) && err.len() == 5, "{seen}");
}

#[test]
fn an_image_gives_its_emulators_to_the_next_one() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    for name in ["aarch64", "s390x"] {
        scratch.probe(name, name);
    }
    let seen = run(
        &scratch,
        r"
        $TOOL image arm64 s390x -o first --seed 1; ./first list --image --json >first.json
        hide
        # The path of the command is in the file, too.
        cp first x; ./x image -o second --seed 1 && ./second list --image --json >second.json
        mv second x; ./x image -o third --seed 1; cmp x third; ./third image arm64 -o one; ./third image arm -o two; echo code $?
        ./third image --from bin -o two; echo code $?; ls two
        ./first install --prefix $PWD/p >out && ./aarch64 && ./s390x; echo code $?
        p/bin/binfmt-dispatch install --prefix $PWD/p >out && ./aarch64 && ./s390x; echo code $?
        grep -c ' ok$' out; ./first image --no-emulators -o bare; ./bare list --image --json >bare.json
        ",
    );
    let expected = ["code 127", "code 127", "code 0", "code 0", "2"];
    assert_eq!(seen.out().lines().collect::<Vec<_>>(), expected, "{seen}");
    let carried = |name: &str| programs(&std::fs::read_to_string(scratch.at(name)).unwrap());
    let [first, second] = ["first.json", "second.json"].map(carried);
    assert_eq!((first.len(), carried("bare.json").len()), (3, 1));
    for (before, after) in first.iter().zip(&second).skip(1) {
        assert_eq!(before, after, "paths, versions, digests, models and addresses are what they were");
    }
    // It also reports that systemd does not look below this prefix.
    let err: Vec<&str> = seen.err().lines().filter(|line| !line.ends_with("link it into /etc/binfmt.d")).collect();
    assert!(err.len() == 3 && err[0].starts_with("binfmt-dispatch: arm: no emulator: "), "{seen}");
}

#[test]
fn installed_emulators_are_preferred_to_those_inside() {
    need!(Namespace, Qemu, BothQemus);
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

/// A root directory that has only the image, foreign programs and a `binfmt_misc`. `inside` runs
/// the image there.
const ROOT: &str = r#"
    mkdir -p root/registry; /usr/bin/mount -t binfmt_misc binfmt_misc root/registry
    inside() { chroot root "$@"; }
    files() { ls root root/registry; }
"#;

/// Runs a script with an empty registry and such a root directory.
#[track_caller]
fn run_with_root(scratch: &Scratch, script: &str) -> Observation {
    run(scratch, &format!("{ROOT}\n{script}"))
}

/// A scratch directory for it, with two guests.
fn with_root() -> Scratch {
    let scratch = Scratch::new();
    scratch.probe("root/arm64", "aarch64");
    scratch.probe("root/s390x", "s390x");
    scratch
}

#[test]
fn without_proc_and_dev_an_image_knows_itself_and_registers() {
    need!(Namespace, Qemu, Guests);
    let scratch = with_root();
    let seen = run_with_root(
        &scratch,
        r"
            $TOOL image arm64 s390x --seed 1 -o root/image; cp $GUESTS/arm64/bin/busybox root
            inside /image run ./busybox uname -m; cd root; chroot . ./image run ./s390x; echo code $?; cd ..
            inside /image list --image | wc -l; inside /image list | grep -c 'embedded in the image'
            # Nothing has to be written for it.
            /usr/bin/mount --rbind root root; /usr/bin/mount -o remount,bind,ro root
            inside /image register --mount /registry | grep -c ' ok  '; inside /busybox uname -m
            inside /image status --all --mount /registry | grep -c ' ours .* /image  *embedded in the image$'
            inside /image unregister --mount /registry; /usr/bin/umount -l root; files
            ",
    );
    seen.printed(
        "aarch64\ncode 0\n4\n2\n2\naarch64\n2\nqemu-aarch64: removed\nqemu-s390x: removed\n\
         root:\narm64\nbusybox\nimage\nregistry\ns390x\n\nroot/registry:\nregister\nstatus\n",
    );
}

#[test]
fn without_proc_and_dev_an_image_installs_itself() {
    need!(Namespace, Qemu);
    let scratch = with_root();
    let seen = run_with_root(
        &scratch,
        r"
            $TOOL image arm64 s390x -o root/image --seed 1
            inside /image install --mount /registry --seed 1 | grep -c ' ok$'; inside /arm64 && inside /s390x; echo code $?
            inside /usr/bin/binfmt-dispatch list --image --json >installed.json; root/image list --image --json >image.json
            # Over itself.
            inside /usr/bin/binfmt-dispatch install --mount /registry | grep -c ' ok$'
            inside /usr/bin/binfmt-dispatch status --all --mount /registry | grep -c ' ours '; inside /arm64; echo code $?
            inside /usr/bin/binfmt-dispatch uninstall --mount /registry >out; echo code $?; wc -l <out
            ls -A root/registry root/usr
            ",
    );
    let left = "root/registry:\nregister\nstatus\n\nroot/usr:\nbin\nlib\nlibexec\nshare\n";
    seen.printed(&format!("2\ncode 0\n2\n2\ncode 0\ncode 0\n17\n{left}"));
    let [installed, image] =
        ["installed.json", "image.json"].map(|name| programs(&std::fs::read_to_string(scratch.at(name)).unwrap()));
    // They have their models, although no emulator could be tried.
    assert_eq!(installed[1..], image[1..]);
    assert_ne!(installed[1]["cpus"], serde_json::json!([]));
}

#[test]
fn without_proc_another_file_at_its_path_is_not_the_image() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // This simulates that the file was replaced by one of another build: its interpreter is not the
    // command's.
    let seen = run_with_root(
        &scratch,
        r"
            $TOOL image arm64 -o root/image; inside /image list | grep -c 'embedded in the image'
            printf '\1\2\3' | /usr/bin/dd of=root/image bs=1 seek=480 conv=notrunc status=none
            inside /image list | grep -c 'embedded in the image'; root/image list | grep -c 'embedded in the image'
            # The bare command is not an image, but can write one.
            cp $TOOL root/tool; inside /tool image --no-emulators -o /bare && inside /bare list --image | wc -l
            ",
    );
    assert_eq!(seen.out(), "1\n0\n1\n2\n", "{seen}");
}

#[test]
fn without_proc_emulators_are_tried_all_the_same() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    for directory in ["root/tmp", "root"] {
        let seen = run_with_root(
            &scratch,
            &r"
                mkdir -p root/usr/bin; cp /usr/bin/qemu-aarch64-static root/usr/bin; cp $TOOL root/tool; mkdir -p PLACE
                inside /tool image arm64 -o /image && inside /image list --image --json; ls -A PLACE | grep -c tmp
                "
            .replace("PLACE", directory),
        );
        assert!(seen.err().is_empty(), "{seen}");
        let list = &seen.out()[..=seen.out().rfind(']').unwrap()];
        let list: Value = serde_json::from_str(list).unwrap();
        assert!(!list[1]["cpus"].as_array().unwrap().is_empty(), "{seen}");
        scratch.clear();
    }
}
