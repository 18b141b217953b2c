//! The owner of an entry whose registered path does not show it: the interpreter itself is asked.

use serde_json::Value;

use crate::support::{Namespace, Observation, Scratch, need, probe};

/// Prints the lines of `status` about entries and files, without columns that depend on the
/// machine.
const PRELUDE: &str = r#"
    unset_probe() { sed -E 's/ (runs|FAILS|shadowed|-) / /'; }
    unset_emulator() { sed -e 's|  */usr/bin/qemu-[^ ]*$||' -e 's|  *embedded in the image$||'; }
    status() { $TOOL status --all "$@" | grep -e abled -e 'registered image' | grep -v mounted | grep '^qemu' | unset_emulator | tr -s ' ' | unset_probe; }
    register() { $TOOL register --image "$@" >/dev/null; }
"#;

/// Runs a script with an empty registry, and two images, `one` and `two`, in its directory.
#[track_caller]
pub fn run(scratch: &Scratch, script: &str) -> Observation {
    run_in(&Namespace::empty(), scratch, script)
}

/// The same in `namespace`, which registers something or has more users.
#[track_caller]
pub fn run_in(namespace: &Namespace, scratch: &Scratch, script: &str) -> Observation {
    for (name, seed) in [("one", "1"), ("two", "2")] {
        scratch.tool(["image", "aarch64", "s390x", "--seed", seed, "-o", name]).succeeded();
    }
    namespace.run(scratch, &format!("{PRELUDE}\n{script}"))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn a_deleted_or_renamed_file_is_known_and_removed() {
    need!(Namespace, Qemu);
    for (change, other) in [("rm one", "the path is free"), ("mv one elsewhere", "the file is elsewhere")] {
        let scratch = Scratch::new();
        let seen = run(
            &scratch,
            &format!(
                "register one aarch64 s390x; {change} # {other}
                status; echo code ${{PIPESTATUS[0]}}; $TOOL status >/dev/null; echo code $?
                $TOOL unregister arm64; echo code $?
                $TOOL unregister; echo code $?; ls $REGISTRY"
            ),
        );
        let row = |cpu: &str| format!("qemu-{cpu} enabled ours {VERSION} POCF {}", scratch.at("one"));
        let path = scratch.at("one");
        let gone = format!(
            "qemu-aarch64, qemu-s390x: the registered image is not on disk any more, and works until the next boot: run \
             `binfmt-dispatch image -o {path} aarch64 s390x && binfmt-dispatch register --replace --image {path} \
             aarch64 s390x` or `binfmt-dispatch unregister aarch64 s390x`"
        );
        seen.printed(&format!(
            "{}\n{}\n{gone}\ncode 0\ncode 0\nqemu-aarch64: removed\ncode 0\nqemu-s390x: removed\ncode 0\nregister\nstatus\n",
            row("aarch64"),
            row("s390x")
        ));
    }
}

#[test]
fn a_replaced_file_differs() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        "register one aarch64; $TOOL status --json; mv two one; $TOOL status --json; status | tail -n 1
        cp /bin/true one; $TOOL status --json; $TOOL unregister arm64",
    );
    let out = seen.succeeded().out();
    let mut documents = serde_json::Deserializer::from_str(out).into_iter::<Value>();
    let mut entry = || {
        let status = documents.next().unwrap().unwrap();
        let mut entries = status["entries"].as_array().unwrap().clone().into_iter();
        entries.find(|entry| entry["entry"] == "qemu-aarch64").unwrap()
    };
    let same = entry();
    assert_eq!((&same["outdated"], &same["gone"], &same["version"]), (&false.into(), &false.into(), &VERSION.into()));
    assert_eq!(same["identity"].as_str().unwrap().len(), 64, "{same}");
    let other = entry();
    assert_eq!((&other["outdated"], &other["identity"]), (&true.into(), &same["identity"]));
    let line = format!(
        "qemu-aarch64: the registered image differs from the one on disk: run `binfmt-dispatch register --replace \
         --image {} aarch64`\n",
        scratch.at("one")
    );
    assert!(out.contains(&line) && out.ends_with("qemu-aarch64: removed\n"), "{seen}");
}

#[test]
fn another_mount_namespace_has_another_file_at_the_path() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // A container registers its own file at a path where the host has nothing, an emulator, or
    // another image. It also registers an emulator at a path where the host has an image.
    let seen = run(
        &scratch,
        r#"
        mkdir here there; PATH_IN_BOTH=$PWD/here/interpreter
        cp one there/interpreter
        in_container() { unshare --mount bash -c "mount --bind there here; $1"; }
        in_container "$TOOL register --image $PATH_IN_BOTH aarch64 >/dev/null"
        status; cp /usr/bin/qemu-aarch64-static here/interpreter; status; cp two here/interpreter; status
        $TOOL unregister aarch64
        cp /usr/bin/qemu-aarch64-static there/interpreter
        $TOOL generate --interpreter $PATH_IN_BOTH --format register aarch64 >line
        in_container "cat line >$REGISTRY/register"
        status; $TOOL unregister; $TOOL unregister arm64; echo code $?
        $TOOL register --image two arm64; echo code $?
        "#,
    );
    let path = scratch.at("here/interpreter");
    let ours = format!("qemu-aarch64 enabled ours {VERSION} POCF {path}\n");
    let register = format!("binfmt-dispatch register --replace --image {path} aarch64");
    let differs = format!("qemu-aarch64: the registered image differs from the one on disk: run `{register}`\n");
    let gone = format!(
        "qemu-aarch64: the registered image is not on disk any more, and works until the next boot: run \
         `binfmt-dispatch image -o {path} aarch64 && {register}` or `binfmt-dispatch unregister aarch64`\n"
    );
    // The file there is another program.
    let lost = "qemu-aarch64: the registered image is not on disk any more, and the file there does not embed the \
                emulator: run `binfmt-dispatch install aarch64`\n";
    let expected = format!(
        "{ours}{gone}{ours}{lost}{ours}{differs}qemu-aarch64: removed\n\
         qemu-aarch64 enabled other POF {path}\ncode 1\ncode 1\n"
    );
    assert_eq!(seen.out(), expected, "{seen}");
    let refused =
        format!("binfmt-dispatch: qemu-aarch64: is registered for {path}: remove that package, or use `--replace`\n");
    assert!(seen.err().ends_with(&refused), "{seen}");
}

/// Kills `register` after it has made a temporary entry: first the one on trial, then the one that
/// has taken over the programs. `enter` runs a command in another mount namespace, where the image
/// is at HERE.
const KILLED: &str = r#"
    mkdir here there; cp one there/image; HERE=$PWD/here/image; TEMPORARY=binfmt-dispatch.temporary.qemu-aarch64
    TRIAL=binfmt-dispatch.trial.qemu-aarch64
    killed() { # by the signal before the write to FILE that has this number
        strace -f -qq -o trace -P $REGISTRY/$1 -e trace=write -e inject=write:signal=KILL:when=$2 "${@:3}" >/dev/null 2>&1
        ls $REGISTRY | grep binfmt-dispatch
    }
    printf '%s\n' '#!/bin/sh' 'mount --bind there here; exec "$@"' >enter; chmod +x enter
"#;

#[test]
fn what_a_killed_run_left_is_known_without_its_file() {
    need!(Namespace, Qemu, Strace);
    for (run_it, gone) in [("", "rm $HERE"), ("", "mv $HERE elsewhere"), ("unshare --mount ./enter", "true")] {
        let scratch = Scratch::new();
        scratch.probe("guest", "aarch64");
        let script = format!(
            r#"
            {KILLED}
            prepare() {{ [ -n "{run_it}" ] || cp one here/image; }}
            again() {{ register two arm64 2>error; echo code $?; cat error; ls $REGISTRY | grep aarch64; ./guest; echo guest $?; }}
            # The one that is tried is there when it is to be removed.
            prepare; killed $TRIAL 1 {run_it} $TOOL register arm64 --image $HERE; {gone}
            $TOOL status | grep -c "^$TRIAL was left"; again
            $TOOL unregister; prepare; killed $TRIAL 1 {run_it} $TOOL register arm64 --image $HERE; {gone}
            $TOOL unregister; ls $REGISTRY | grep binfmt-dispatch
            # The old one is there, and is not any more. The first write to `register` is the
            # question for flag T.
            for entry in qemu-aarch64 register; do
                register two arm64; prepare
                [ $entry = register ] && write=4 || write=1
                killed $entry $write {run_it} $TOOL register arm64 --image $HERE --replace; {gone}
                $TOOL status | grep -c "^$TEMPORARY was left"; again; $TOOL unregister
                register two arm64; prepare
                killed $entry $write {run_it} $TOOL register arm64 --image $HERE --replace; {gone}
                $TOOL unregister; ls $REGISTRY | grep binfmt-dispatch
            done
            true
            "#
        );
        let seen = run(&scratch, &script);
        let [trial, temporary] = ["trial", "temporary"].map(|kind| format!("binfmt-dispatch.{kind}.qemu-aarch64"));
        let again = "1\ncode 0\nqemu-aarch64\nguest 0\nqemu-aarch64: removed\n";
        let expected = format!(
            "{trial}\n{again}{trial}\n{temporary}\n{again}{temporary}\nqemu-aarch64: removed\n\
             {temporary}\n{again}{temporary}\n{temporary}: removed\n"
        );
        assert_eq!(seen.out(), expected, "{seen}");
    }
}

#[test]
fn what_cannot_be_asked_is_judged_by_its_path() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // The entry is disabled; is behind a newer entry; the whole registry is disabled; the entry's
    // rule compares the bytes of the mark.
    let seen = run(
        &scratch,
        r"
        register one aarch64; $TOOL generate --interpreter $PWD/one --format register aarch64 >line
        echo 0 >$REGISTRY/qemu-aarch64; status
        echo 1 >$REGISTRY/qemu-aarch64; status
        echo ':newer:M:18:\xb7\x00::/bin/true:' >$REGISTRY/register; status; echo -1 >$REGISTRY/newer
        echo 0 >$REGISTRY/status; status; echo 1 >$REGISTRY/status; status
        $TOOL unregister; echo ':qemu-aarch64:M:8:\0\0\0\0\0\0\0\0\x02\0\xb7\0::'$PWD/one:POF >$REGISTRY/register; status
        mv one elsewhere; status; $TOOL unregister arm64 --image one
        ",
    );
    let path = scratch.at("one");
    let row = |state: &str, owner: &str, flags: &str| format!("qemu-aarch64 {state} {owner} {flags} {path}\n");
    let (unknown, known) = (row("enabled", "ours", "POCF"), row("enabled", &format!("ours {VERSION}"), "POCF"));
    let expected = [
        row("disabled", "ours", "POCF"),
        known.clone(),
        unknown.clone(),
        unknown,
        known,
        "qemu-aarch64: removed\n".to_owned(),
        row("enabled", "ours", "POF"),
        row("enabled", "other", "POF"),
        "qemu-aarch64: removed\n".to_owned(),
    ];
    assert_eq!(seen.out(), expected.concat(), "{seen}");
}

#[test]
fn an_emulator_runs_the_question_and_is_not_ours() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let seen = run_in(&Namespace::direct(), &scratch, "status | cut -d ' ' -f 1-3 | sort -u -k 2; $TOOL unregister");
    let lines: Vec<&str> = seen.succeeded().out().lines().collect();
    assert!(matches!(lines[..], [line] if line.ends_with(" enabled other")), "{seen}");
}

#[test]
fn an_interpreter_that_fails_is_ours_if_it_says_so() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // Nothing is at the path; the program there would wait for input; it fails; it is an image that
    // is cut short, and prints a message.
    let seen = run(
        &scratch,
        r"
        entry() { echo ':qemu-alpha:M:18:\x26\x90::'$1:O >$REGISTRY/register; status; echo -1 >$REGISTRY/qemu-alpha; }
        entry /no/such; entry /bin/cat; entry /bin/false
        head -c 70000 one >short; chmod +x short; $TOOL register --image one arm64 >/dev/null
        $TOOL generate --interpreter $PWD/short --format register s390x >$REGISTRY/register; status; $TOOL unregister s390x
        ",
    );
    let other = |path: &str| format!("qemu-alpha enabled other O {path}\n");
    let [one, short] = ["one", "short"].map(|name| scratch.at(name));
    let expected = format!(
        "{}{}{}qemu-aarch64 enabled ours {VERSION} POCF {one}\nqemu-s390x enabled ours POF {short}\nqemu-s390x: removed\n",
        other("/no/such"),
        other("/bin/cat"),
        other("/bin/false"),
    );
    assert_eq!(seen.out(), expected, "{seen}");
}

#[test]
fn an_ordinary_user_learns_it_too() {
    need!(Namespace, Qemu, Root);
    let scratch = Scratch::new();
    let seen = run_in(
        &Namespace::empty().mapped(),
        &scratch,
        r#"
        cp $TOOL tool; chmod 755 tool; register one arm64; rm one; TOOL=./tool
        user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
        export -f status unset_emulator unset_probe; export TOOL
        user bash -c status; user ./tool unregister arm64; echo code $?
        "#,
    );
    let row = format!(
        "qemu-aarch64 enabled ours {VERSION} POCF {}\nqemu-aarch64: the registered image is not",
        scratch.at("one")
    );
    assert!(seen.out().starts_with(&row) && seen.out().ends_with("code 1\n"), "{seen}");
    assert!(seen.err().contains("cannot be written: become root"), "{seen}");
}

#[test]
fn a_question_costs_nobody_anything() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // To every other interpreter the question is a program that ends at once.
    let mut question = probe("aarch64");
    question[8..16].copy_from_slice(b"bd-ident");
    scratch.write("question", &question);
    let seen = run(
        &scratch,
        "qemu-aarch64-static ./question; echo code $?; register one arm64; ./question 2>answer; echo code $?
        sed 's/, image [0-9a-f]\\{64\\}$/, image DIGEST/' answer",
    );
    let answer = format!("binfmt-dispatch: ./question: version {VERSION}, image DIGEST\n");
    seen.printed(&format!("code 0\ncode 0\n{answer}"));
}

#[test]
fn an_interpreter_that_hangs_is_waited_for_once() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // yes(1) never ends. The command waits ten seconds for it.
    let seen = run(
        &scratch,
        r#"
        $TOOL generate --interpreter /usr/bin/yes --format register aarch64 s390x alpha |
            while read -r line; do echo "$line" >$REGISTRY/register; done
        SECONDS=0; status; [ $SECONDS -lt 19 ] || echo "$SECONDS seconds"; [ $SECONDS -ge 10 ] || echo "it ended"
        "#,
    );
    let row = |cpu: &str| format!("qemu-{cpu} enabled other POF /usr/bin/yes\n");
    seen.printed(&["aarch64", "alpha", "s390x"].map(row).concat());
}
