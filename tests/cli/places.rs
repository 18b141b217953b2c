//! `explain` on standard input, below a root directory, for another machine, and on scripts that
//! begin with env(1).

use std::fs;

use serde_json::json;

use crate::support::{Namespace, Scratch, guest, need, probe};
use crate::table::aarch64;

/// Prepends a type to the probe of a row, as AppImage does.
fn appimage(row: &str) -> Vec<u8> {
    let mut program = probe(row);
    program[8..11].copy_from_slice(b"AI\x02");
    program
}

#[test]
fn standard_input() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let seen = Namespace::empty().run(&scratch, &format!("cat p | $TOOL {option} {table} explain -"));
    seen.has("-: does not run here. It is for aarch64 (arm64, 64-bit, Linux).").exited(1);
    seen.has("argv        /bin/cat -- -");
    // There is no file that a command could run.
    assert!(!seen.out().contains("or now"), "{seen}");
    let seen = Namespace::empty().run(&scratch, "echo '#!/no/sh' | $TOOL explain -");
    let line = "standard input: its interpreter /no/sh cannot be opened: install it, or mend the script's first line: \
                no such file or directory";
    seen.refused(1, line);
    let seen = scratch.shell("$TOOL explain --json - </dev/null");
    assert_eq!((&seen.json()["file"], seen.code()), (&json!("-"), 1), "{seen}");
    // The name of a file is a path.
    scratch.write("-", "");
    scratch.tool(["explain", "./-"]).has("./-: does not run here.");
}

#[test]
fn another_machine() {
    let scratch = Scratch::new();
    for row in ["x86_64", "aarch64", "arm", "s390x"] {
        scratch.probe(row, row);
    }
    for (host, row, first, why) in [
        ("arm64", "aarch64", "runs on aarch64", "by itself: it is a program of aarch64"),
        ("arm64", "arm", "may run on aarch64", "by itself, if the CPU and the kernel of that machine can run arm"),
        ("arm64", "x86_64", "does not run on aarch64", "it needs an emulator on aarch64"),
        ("s390x", "s390x", "runs on s390x", "by itself: it is a program of s390x"),
        ("amd64", "s390x", "does not run on x86_64", "it needs an emulator on x86_64"),
    ] {
        let seen = scratch.tool(["explain", "--host", host, &format!("./{row}")]);
        assert!(seen.out().starts_with(&format!("./{row}: {first}. It is for {row}")), "{seen}");
        seen.has(&format!("why         {why}")).exited(u8::from(first.starts_with("does")).into());
    }
    let seen = scratch.tool(["explain", "--host", "arm64", "--json", "./s390x"]);
    assert_eq!((&seen.json()["host"], &seen.json()["probe"]), (&json!("aarch64"), &json!(null)), "{seen}");
    scratch.tool(["explain", "--host", "arm46", "./arm"]).refused(2, "unknown architecture arm46: did you mean arm64?");
}

#[test]
fn a_root_directory() {
    need!(Namespace, Guests, Qemu);
    let scratch = Scratch::new();
    for directory in ["full/bin", "full/proc", "bare"] {
        fs::create_dir_all(scratch.at(directory)).unwrap();
    }
    let busybox = fs::read(guest("arm64").busybox).unwrap();
    for program in ["full/bin/busybox", "bare/busybox"] {
        scratch.write(program, &busybox);
        scratch.mode(program, 0o755);
    }
    // In this one, sh leads out of the root directory for whoever follows it from outside.
    std::os::unix::fs::symlink("/bin/busybox", scratch.at("full/bin/sh")).unwrap();
    scratch.write("full/script", "#!/bin/sh\necho foreign");
    scratch.mode("full/script", 0o755);
    let script = r"
        $TOOL image --no-site --seed 1 -o image arm64 || exit
        ./image register --image $PWD/image arm64 >/dev/null || exit
        for root in full bare; do
            $TOOL explain --root $root /busybox /bin/busybox sh /script 2>&1 | grep -E '(run|opened|PATH).*[.:]|why|emulator  '
        done
        ./image unregister >/dev/null
        ./image explain --root full /script | grep -E 'does not|why|or now'
        $(./image explain --root full /script | sed -n 's/^  or now *//p')";
    let seen = Namespace::empty().run(&scratch, script);
    let root = |name: &str| scratch.at(name);
    let runs = |file: &str, name: &str| {
        format!("{file}: runs in {}. It is for aarch64 (arm64, 64-bit, Linux).\n  why         ", root(name))
    };
    let out = seen.out();
    for part in [
        format!("{}by entry qemu-aarch64, through binfmt-dispatch\n", runs("/bin/busybox", "full")),
        format!("{}by entry qemu-aarch64, through binfmt-dispatch\n", runs("/bin/sh", "full")),
        format!("{}by entry qemu-aarch64, through binfmt-dispatch\n", runs("/script", "full")),
        // Without a /proc the image cannot be reached.
        format!("{}as the test program of aarch64 does\n", runs("/busybox", "bare")),
        format!("/script: does not run in {}. It is for aarch64 (arm64, 64-bit, Linux).\n", root("full")),
        format!("  or now      {} unshare -a aarch64 -- chroot {} /script\nforeign\n", root("image"), root("full")),
    ] {
        assert!(out.contains(&part), "{part}{seen}");
    }
    assert!(out.contains("binfmt-dispatch: /busybox: cannot be opened: no such file or directory\n"), "{seen}");
    scratch
        .tool(["explain", "--root", "none", "/x"])
        .refused(1, "none: cannot enter: check the path: no such file or directory");
}

#[test]
fn what_env_starts() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("s", "#!/usr/bin/env -S p -x\n");
    scratch.mode("s", 0o755);
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let seen = Namespace::empty().run(&scratch, &format!("PATH=$PATH:$PWD; $TOOL {option} {table} explain ./s"));
    let program = scratch.at("p");
    seen.has("./s: does not run here. It is for aarch64 (arm64, 64-bit, Linux).");
    seen.has("script      run by /usr/bin/env").has(&format!("run by {program}"));
    // env would ask the kernel to start it.
    seen.has(&format!("or now      binfmt-dispatch run {program} -x ./s")).exited(1);
    let line = "./s: /usr/bin/env finds no p in PATH: install it, or mend the script's first line";
    scratch.tool(["explain", "./s"]).refused(1, line);
    let verdict = &scratch.tool(["explain", "--json", "./s"]).json()["verdict"];
    assert_eq!(verdict["exit_code"], 127, "{verdict}");
    scratch.write("t", "#!/usr/bin/env sh\n");
    scratch.mode("t", 0o755);
    scratch.tool(["explain", "./t"]).has("./t: runs here. It is for x86_64 (amd64, 64-bit, Linux).").exited(0);
}

#[test]
fn an_appimage_that_an_entry_refuses() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.write("p", appimage("aarch64"));
    scratch.mode("p", 0o755);
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    // As Debian 12 registers QEMU: it compares the bytes that AppImage changes.
    let script = format!(
        r#"magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
        echo ":qemu-aarch64:M::$magic::/bin/true:" >$REGISTRY/register
        ./p; echo $?
        $TOOL {option} {table} explain ./p"#
    );
    let seen = Namespace::empty().run(&scratch, &script);
    assert!(seen.out().starts_with("126\n./p: does not run here."), "{seen}");
    seen.has(
        "why         entry qemu-aarch64 gets programs of aarch64, but not AppImages, and the kernel says `Exec format \
         error`",
    );
    seen.has("fix         binfmt-dispatch install --replace aarch64");
    seen.has("program     ELF 64-bit little-endian executable, static, for Linux, an AppImage (type 2)").exited(1);
}

#[test]
fn failures_before_any_file_are_json_too() {
    let scratch = Scratch::new();
    for option in [["--root", "/none"], ["--host", "foo"]] {
        let seen = scratch.tool([&["explain", "--json"], &option[..], &["a", "b"]].concat());
        let answers: Vec<serde_json::Value> = serde_json::from_str(seen.out()).unwrap();
        assert!(answers.len() == 2 && answers.iter().all(|answer| answer["verdict"]["runs"] == false), "{seen}");
        assert!(seen.err().starts_with("binfmt-dispatch: ") && seen.code() != 0, "{seen}");
    }
}

#[test]
fn nothing_in_a_root_directory_is_started_without_need() {
    need!(Namespace, Strace);
    let scratch = Scratch::new();
    for directory in ["root/usr/bin", "root/proc"] {
        fs::create_dir_all(scratch.at(directory)).unwrap();
    }
    // As an emulator, a program of this machine would be started and asked for its version.
    for (name, row) in [("root/app", "aarch64"), ("root/usr/bin/qemu-aarch64-static", std::env::consts::ARCH)] {
        scratch.write(name, probe(row));
        scratch.mode(name, 0o755);
    }
    let script =
        "strace -f -qq -e trace=execve -o trace $TOOL explain --root root --no-probe /app >/dev/null; cat trace";
    let seen = Namespace::empty().run(&scratch, script);
    assert_eq!(seen.out().matches("execve(").count(), 1, "{seen}");
}

#[test]
fn a_root_directory_as_a_plain_user() {
    need!(Namespace, Root, Guests, Qemu);
    let scratch = Scratch::new();
    for directory in ["root/bin", "root/proc"] {
        fs::create_dir_all(scratch.at(directory)).unwrap();
    }
    let busybox = fs::read(guest("arm64").busybox).unwrap();
    for (program, mode) in [("root/bin/busybox", 0o755), ("root/setuid", 0o4755)] {
        scratch.write(program, &busybox);
        scratch.mode(program, mode);
    }
    std::os::unix::fs::symlink("/bin/busybox", scratch.at("root/bin/sh")).unwrap();
    scratch.write("root/script", "#!/bin/sh\necho foreign");
    scratch.mode("root/script", 0o755);
    let script = r"
        $TOOL image --no-site --seed 1 -o image arm64 && ./image register --image $PWD/image arm64 >/dev/null || exit 2
        user() { setpriv --reuid 1000 --regid 1000 --clear-groups ./image explain --root root $1 >user; echo user $?; }
        # What root is told, and what the user is told.
        for file in /bin/busybox /script sh; do
            ./image explain --root root $file >root-is-told; echo root $?; user $file; head -n 2 user
            diff root-is-told user | grep -v '^[0-9-]'
        done
        user /setuid; grep -e '^  credentials' -e '^  note' user";
    let seen = Namespace::empty().mapped().run(&scratch, script);
    let root = scratch.at("root");
    let told = |file: &str| {
        format!(
            "root 0\nuser 0\n{file}: runs in {root}. It is for aarch64 (arm64, 64-bit, Linux).\n  \
             why         by entry qemu-aarch64, through binfmt-dispatch\n\
             <   credentials uid 0, gid 0\n>   credentials uid 1000, gid 1000\n"
        )
    };
    let setuid = "user 0\n  credentials stays uid 1000, gid 1000; the file has set-id, without effect: this user namespace \
                  does not have its owner or its group\n  note        the root directory was entered in a user namespace, \
                  which has no other users: as root, see what the file's privileges do\n";
    seen.printed(&[told("/bin/busybox"), told("/script"), told("/bin/sh"), setuid.to_owned()].concat());
    let script = "echo 0 >/proc/sys/user/max_user_namespaces
        exec setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set=-all ./image explain --root root /script";
    Namespace::empty().mapped().run(&scratch, script).refused(
        1,
        "user.max_user_namespaces forbids user namespaces: as root, run `sysctl -w user.max_user_namespaces=15000`",
    );
}

#[test]
fn standard_input_below_a_root_directory() {
    need!(Namespace, Root);
    let scratch = Scratch::new();
    for directory in ["root/proc", "bare"] {
        fs::create_dir_all(scratch.at(directory)).unwrap();
    }
    scratch.probe("p", "aarch64");
    let user =
        "cp $TOOL tool; chmod 755 tool; user() { setpriv --reuid 1000 --regid 1000 --clear-groups ./tool \"$@\"; }";
    // The script's interpreter is looked for below the root directory, where it does not exist.
    for (command, input) in [("$TOOL", "p"), ("user", "p"), ("user", "script")] {
        scratch.write("script", "#!/usr/bin/env sh\n");
        let script = format!("{user}\ncat {input} | {command} explain --root root -");
        let seen = Namespace::empty().mapped().run(&scratch, &script);
        if input == "p" {
            let root = scratch.at("root");
            seen.has(&format!("-: does not run in {root}. It is for aarch64 (arm64, 64-bit, Linux).")).exited(1);
            seen.has("why         the kernel has no entry for it, and says `Exec format error`");
        } else {
            let line = "standard input: its interpreter /usr/bin/env cannot be opened: install it, or mend the script's \
                        first line: no such file or directory";
            seen.refused(1, line);
        }
    }
    let seen = Namespace::empty().mapped().run(&scratch, "cat p | $TOOL explain --root bare -");
    seen.refused(1, "standard input: cannot read: it needs a /proc, name a file");
}
