//! The verdict of `explain` is what execve(2) then does: for every kind of file, in every state of
//! the registry, in every place.

use std::fs;

use serde_json::Value;

use crate::agreement::is_valid;
use crate::support::{Namespace, Scratch, dynamic_guest, need, probe};

/// Kinds of files, each in a file of this name.
const KINDS: [&str; 20] = [
    "native",
    "native-dynamic",
    "aarch64",
    "appimage",
    "s390x",
    // No entry of these states is for it.
    "riscv64",
    "linked",
    "unlinked",
    "script",
    "script-of-nothing",
    "script-of-nothing.ext",
    "shell",
    "cut-in-the-header",
    "cut-behind-the-header",
    "text",
    "text.ext",
    "aarch64.ext",
    "not-executable",
    "execute-only",
    "setuid",
];

/// Writes a file of each kind, and the image.
fn furnish() -> Scratch {
    let scratch = Scratch::new();
    let write = |name: &str, bytes: &[u8]| _ = scratch.write(format!("files/{name}"), bytes);
    // A byte that no loader looks at, for entries that get this machine's programs.
    let marked = |mut program: Vec<u8>| {
        program[9] = b'Z';
        program
    };
    write("native", &marked(probe(std::env::consts::ARCH)));
    write("native-dynamic", &marked(fs::read("/bin/true").unwrap()));
    for name in ["aarch64", "s390x", "riscv64"] {
        write(name, &probe(name));
    }
    let foreign = probe("aarch64");
    let mut appimage = foreign.clone();
    appimage[8..11].copy_from_slice(b"AI\x02");
    write("appimage", &appimage);
    let mut loader = foreign.clone();
    loader[16] = 3; // ET_DYN
    write("loader", &loader);
    write("linked", &dynamic_guest(foreign.clone(), &scratch.at("files/loader")));
    write("unlinked", &dynamic_guest(foreign.clone(), "/no/such/ld.so"));
    write("script", format!("#!{}\n", scratch.at("files/aarch64")).as_bytes());
    write("shell", b"#!/bin/sh\nexit 0\n");
    write("cut-in-the-header", &foreign[..40]);
    write("cut-behind-the-header", &foreign[..64 + 56]);
    for name in ["script-of-nothing", "script-of-nothing.ext"] {
        write(name, b"#!/no/such\n");
    }
    for name in ["text", "text.ext"] {
        write(name, b"exit 0\n");
    }
    for (name, mode) in [("aarch64.ext", 0o755), ("not-executable", 0o644), ("execute-only", 0o111), ("setuid", 0o4755)]
    {
        write(name, &foreign);
        scratch.mode(&format!("files/{name}"), mode);
    }
    scratch.tool(["image", "aarch64", "s390x", "--seed", "1", "-o", "image"]).succeeded();
    scratch.tool(["image", "--no-emulators", "--seed", "1", "-o", "by-path"]).succeeded();
    scratch
}

/// The places. `in_PLACE COMMAND…` runs a command there, as a plain user, with the directory of the
/// files as its own. The root directory of `in_chroot` has neither the images nor `$PWD/root`.
const PLACES: &str = r#"
    set -e
    here=$PWD
    cp -u $TOOL tool; cp -u $CALL call; chmod 755 tool call
    as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
    in_plain() { (cd files; as_user "$@"); }
    in_nested() { (cd files; as_user unshare --user --map-root-user --mount "$@"); }
    mkdir -p nosuid
    mount --bind files nosuid
    mount -o remount,bind,nosuid nosuid
    in_nosuid() { (cd nosuid; as_user "$@"); }
    mkdir -p root/{dev,proc,usr} root$here/files
    for link in bin lib lib64; do [ ! -e /$link ] || ln -sfn usr/$link root/$link; done
    for name in dev proc usr; do mount --rbind /$name root/$name; done
    for name in tool call; do touch root$here/$name; mount --bind $name root$here/$name; done
    mount --rbind files root$here/files
    in_chroot() { chroot --userspec=1000:1000 --groups= root bash -c 'cd "$0"/files; exec "$@"' $here "$@"; }
    set +e
    other() { printf '%s' ":other:M:18:\xb7\x00::/usr/bin/qemu-aarch64-static:$1" >$REGISTRY/register; }
    ours() { $TOOL register aarch64 s390x "$@" >/dev/null 2>&1; }
"#;
const PLACE_NAMES: [&str; 4] = ["plain", "chroot", "nested", "nosuid"];

/// The exit code of `call` if the kernel refused to start the program.
const NOT_STARTED: &str = "90";

/// Asserts the agreement for each of these states: a name, and the commands that make it.
fn agree(states: &[(&str, &str)]) {
    let scratch = furnish();
    let files = KINDS.map(|kind| format!("./{kind}")).join(" ");
    let files_in_root = KINDS.map(|kind| format!("$here/files/{kind}")).join(" ");
    let mut wrong = Vec::new();
    for (state, commands) in states {
        let mut script = format!("{PLACES}\n{commands}\n");
        for place in PLACE_NAMES {
            script += &format!(
                "for file in {files}; do in_{place} $here/call $file $file >/dev/null 2>&1; echo $?; done >codes.{place}
                in_{place} $here/tool explain --json {files} >json.{place} 2>errors.{place}\n"
            );
        }
        script += &format!("(cd files; $here/tool explain --json --root $here/root {files_in_root} >../json.root)\n");
        let seen = Namespace::empty().mapped().run(&scratch, &script);
        for place in PLACE_NAMES {
            let read = |name: &str| fs::read_to_string(scratch.at(&format!("{name}.{place}"))).unwrap();
            let (codes, json) = (read("codes"), read("json"));
            let context = || format!("{state}, {place}: {}\n{json}\n{seen}", read("errors"));
            let answers: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {}", context()));
            is_valid(&answers);
            let (codes, answers) = (codes.lines(), answers.as_array().unwrap());
            assert!(codes.clone().count() == KINDS.len() && answers.len() == KINDS.len(), "{}", context());
            for ((kind, code), answer) in KINDS.iter().zip(codes).zip(answers) {
                let case = (*state, place, *kind);
                let expected = match case {
                    // What cannot be read cannot be explained.
                    (.., "execute-only") => Value::Null,
                    // Where the image cannot be seen, its emulator is taken for embedded.
                    ("ours by path", "chroot", "setuid") => true.into(),
                    _ => (code == "0").into(),
                };
                // If the program was started, but for damaged ones, which any signal may end.
                // Where the image cannot be seen, an entry without flag O is taken for an emulator's.
                let unseen = case == ("ours without O", "chroot", "unlinked");
                let started = code != NOT_STARTED && !kind.starts_with("cut") && !unseen;
                if started
                    && answer["verdict"]["runs"] == false
                    && answer["verdict"]["exit_code"] != code.parse::<u8>().unwrap()
                {
                    wrong.push(format!("{case:?} exits with {code}, and not {}", answer["verdict"]));
                }
                wrong.extend(
                    (answer["verdict"]["runs"] != expected)
                        .then(|| format!("{case:?} exits with {code}, and is said to be {}", answer["verdict"])),
                );
            }
        }
        // Seen from outside, by root: it may read everything, and gains nothing from a set-id bit.
        let json = fs::read_to_string(scratch.at("json.root")).unwrap();
        let answers: Vec<Value> = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}\n{seen}"));
        let codes = fs::read_to_string(scratch.at("codes.chroot")).unwrap();
        for ((kind, code), answer) in KINDS.iter().zip(codes.lines()).zip(&answers) {
            is_valid(answer);
            let expected = code == "0";
            if !["execute-only", "setuid"].contains(kind) && answer["verdict"]["runs"] != expected {
                wrong.push(format!(
                    "--root: {state}, {kind} exits with {code}, and is said to be {}",
                    answer["verdict"]
                ));
            }
        }
        assert_eq!(answers.len(), KINDS.len(), "{json}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_entries_of_ours() {
    need!(Namespace, Root, Qemu, Compiler);
    agree(&[
        ("nothing is registered", ":"),
        ("another's entry", "other F"),
        ("another's entry without F", "other ''"),
        (
            "an entry that refuses AppImages",
            r#"magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
            printf '%s' ":narrow:M::$magic::/usr/bin/qemu-aarch64-static:F" >$REGISTRY/register"#,
        ),
        ("another's entry, off", "other F; echo 0 >$REGISTRY/other"),
        ("an interpreter is missing", r"printf '%s' ':gone:M:18:\xb7\x00::/no/such:' >$REGISTRY/register"),
        ("an extension", "printf '%s' ':ext:E::ext::/usr/bin/true:' >$REGISTRY/register"),
        ("this machine's programs", "printf '%s' ':native:M:9:Z::/usr/bin/true:' >$REGISTRY/register"),
        ("this machine's programs, to nothing", "printf '%s' ':native:M:9:Z::/no/such:' >$REGISTRY/register"),
    ]);
}

#[test]
fn with_entries_of_ours() {
    need!(Namespace, Root, Qemu, Compiler);
    agree(&[
        ("ours", "ours --image image"),
        ("ours with C", "ours --image image --credentials"),
        ("ours by path", "ours --image by-path --credentials"),
        (
            "ours without F",
            "$TOOL generate --interpreter $here/image --format register aarch64 s390x |
                while IFS= read -r line; do printf '%s' \"${line%F}\" >$REGISTRY/register; done",
        ),
        ("ours without O", r#"printf '%s' ":qemu-aarch64:M:18:\xb7\x00::$here/image:PF" >$REGISTRY/register"#),
        ("ours, off", "ours --image image; for entry in $REGISTRY/qemu-*; do echo 0 >$entry; done"),
    ]);
}

#[test]
fn with_entries_of_ours_and_more() {
    need!(Namespace, Root, Qemu, Compiler);
    agree(&[
        ("all off", "ours --image image; echo 0 >$REGISTRY/status"),
        ("not mounted", "ours --image image; umount $REGISTRY"),
        ("another's entry is newer", "ours --image image; other F"),
        ("another's entry is older", "other F; ours --image image"),
        (
            "a newer one has no interpreter",
            r"ours --image image; printf '%s' ':gone:M:18:\xb7\x00::/no/such:' >$REGISTRY/register",
        ),
        ("an extension is newer", "ours --image image; printf '%s' ':ext:E::ext::/usr/bin/true:' >$REGISTRY/register"),
    ]);
}
