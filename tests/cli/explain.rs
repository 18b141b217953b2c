//! `explain` on programs that can run.

use std::os::unix::ffi::OsStrExt;

use dispatch_core::elf::{PT_INTERP, PT_LOAD};
use serde_json::json;

use crate::support::{Namespace, Scratch, need, probe, segment};
use crate::table::aarch64;

/// The probe of a 64-bit little-endian row with a dynamic linker, whose name is at the end of the
/// file.
pub fn dynamic(row: &str, linker: &str, at_least: usize) -> Vec<u8> {
    let mut file = probe(row)[..64].to_vec();
    file[56] = 2; // e_phnum
    let name = at_least.max(64 + 2 * 56);
    file.extend(segment(PT_INTERP, name, linker.len() + 1).to_elf64_le());
    file.extend(segment(PT_LOAD, 0, name + linker.len() + 1).to_elf64_le());
    file.resize(name, 0);
    file.extend(linker.as_bytes());
    file.push(0);
    file
}

#[test]
fn a_static_program() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"argv0": "dash-zero"}));
    let run = Namespace::empty().tool(&scratch, ["explain", "./p", &option, &table]);
    run.wrote(
        "./p: does not run here. It is for aarch64 (arm64, 64-bit, Linux).
  why         the kernel has no entry for it, and says `Exec format error`
  fix         binfmt-dispatch install aarch64
  or now      binfmt-dispatch run ./p

  program     ELF 64-bit little-endian executable, static, for Linux
  machine     aarch64: EM_AARCH64 = 183, also called arm64, arm64/v8
  kernel      no entry of binfmt_misc takes it
  probe       a test program of aarch64 was not started: exec format error
  credentials uid 0, gid 0
  emulator    /bin/cat
  strategy    the emulator is executed in place of the dispatcher
  argv        /bin/cat -0 ./p -- ./p
  environment as it is
  note        the emulator chooses the CPU, as /bin/cat does not say its version
",
    )
    .exited(1);
    // The option does the same as the command, wherever the other options are.
    for arguments in [
        [&option, &table, "--explain", "./p"],
        ["--explain", "./p", &option, &table],
        [&option, &table, "explain", "./p"],
    ] {
        Namespace::empty().tool(&scratch, arguments).wrote(run.out()).exited(1);
    }
}

#[test]
fn json_has_this_form() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let table = aarch64(
        &scratch,
        "/bin/cat",
        json!({"environment": {"QEMU_LOG": "page"}, "notes": "a note", "options": ["-R", "8G"]}),
    );
    let run = Namespace::empty()
        .tool(&scratch, [&["explain", "--json", "./p"], &table.each_ref().map(String::as_str)[..]].concat());
    let found = run.json();
    let expected = json!({
        "file": "./p",
        "root": null,
        "host": null,
        "scripts": [],
        "header": {
            "class": "64-bit", "data": "little-endian", "osabi": 0, "system": "Linux", "kind": "executable",
            "machine": 183, "machine_name": "EM_AARCH64", "flags": 0, "abi": [], "entry": 0x1_0078,
            "appimage": null, "dynamic_linker": null,
            "libraries": [],
        },
        "architecture": {"name": "aarch64", "aliases": ["arm64", "arm64/v8"], "notes": "a note"},
        "kernel": {"unavailable": null, "disabled": false, "entries": [], "refused_by": null},
        "probe": {"architecture": "aarch64", "runs": false, "fault": "was not started: exec format error"},
        "credentials": {"uid": 0, "gid": 0, "asks": [], "taken_away": null},
        // Those of this machine.
        "security": found["security"],
        "label": found["label"],
        "privileged": false,
        "emulators": [{"path": "/bin/cat", "chosen": true, "error": null}],
        "plan": {
            "emulator": "/bin/cat", "version": null, "below": null, "strategy": "exec", "argv": ["/bin/cat", "-R", "8G", "--", "./p"],
            "environment": {"removed": [], "added": ["QEMU_LOG=page"]}, "sysroot": null,
        },
        "cpu": null,
        "translations": null,
        "notes": [],
        "verdict": {
            "runs": false, "certain": true, "exit_code": 126, "reason": "the kernel has no entry for it, and says `Exec format error`",
            "remedy": "binfmt-dispatch install aarch64", "now": "binfmt-dispatch run ./p",
        },
    });
    assert!(found == expected, "expected:\n{expected:#}\n{run}");
    let option = Namespace::empty().tool(&scratch, ["--json", "--explain", "./p", &table[0], &table[1]]);
    assert!(option.json() == expected, "{option}");
}

#[test]
fn an_entry_of_ours_takes_it() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    aarch64(&scratch, "/bin/cat", json!({}));
    let run = scratch.shell("$TOOL --table table unshare -a arm64 -- $TOOL --table table explain ./p");
    run.verdict("it runs by entry qemu-aarch64, through binfmt-dispatch", "");
    assert!(run.out().contains("entry qemu-aarch64 takes it, with (private image of unshare) ("), "{run}");
    let note = "the registered image is private to unshare, and cannot be seen: the plan is that of this command";
    run.has(&format!("note        {note}"));
    scratch.tool(["--table", "table", "image", "--no-emulators", "--seed", "1", "-o", "i"]).exited(0);
    let run = scratch.shell("./i unshare -a arm64 -- ./i explain ./p");
    run.verdict("it runs by entry qemu-aarch64, through binfmt-dispatch", "");
    assert!(!run.out().contains(note), "{run}");
}

/// A directory with a question to an interpreter, whose file is returned, and a table in which cat
/// is its emulator.
fn with_question() -> (Scratch, Vec<u8>) {
    let scratch = Scratch::new();
    let mut question = probe("aarch64");
    question[8..16].copy_from_slice(b"bd-ident");
    scratch.write("q", &question);
    aarch64(&scratch, "/bin/cat", json!({}));
    (scratch, question)
}

#[test]
fn a_question_is_one_to_the_interpreter_alone() {
    let (scratch, question) = with_question();
    // To the command it is a program, as to any emulator.
    let run = scratch.tool(["run", "./q", "--table", "table"]);
    assert!(run.err().is_empty(), "{run}");
    let run = scratch.tool(["--table", "table", "run", "./q"]);
    assert!(run.stdout == question, "{run}");
}

#[test]
fn a_question_is_told_from_a_program() {
    need!(Namespace);
    let (scratch, _) = with_question();
    let answer = "which answers it with its version and the image's identity, exit code 0";
    let run = Namespace::empty().tool(&scratch, ["--table", "table", "explain", "./q"]);
    run.has(&format!("note        it is a question to an interpreter of binfmt-dispatch, {answer}"));
    run.has("emulator    /bin/cat").exited(1);
    let run = scratch.shell(
        "$TOOL --table table unshare -a arm64 -- $SHELL -c '
        $TOOL --table table explain ./q; ./q 2>&1 | cut -d , -f 1; exit ${PIPESTATUS[0]}'",
    );
    run.has(&format!("why         as a question to the interpreter, {answer}"));
    run.has(concat!("binfmt-dispatch: ./q: version ", env!("CARGO_PKG_VERSION"))).exited(0);
    assert!(run.err().is_empty() && !run.out().contains("strategy"), "{run}");
}

#[test]
fn a_set_id_program_of_the_callers_own_gains_nothing() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    aarch64(&scratch, "/bin/cat", json!({}));
    let unshare = "$TOOL --table table unshare --credentials -a arm64 --";
    let script = |mode| format!("chmod {mode} p; {unshare} $TOOL --table table explain ./p");
    for mode in ["6755", "4755"] {
        scratch.shell(&script(mode)).verdict("it runs by entry qemu-aarch64, through binfmt-dispatch", "");
    }
}

#[test]
fn somebody_elses_entry_takes_it() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    aarch64(&scratch, "/bin/cat", json!({}));
    let script = "cd /proc/sys/fs/binfmt_misc
        printf '%s' ':other:M:18:\\xb7\\x00::/bin/true:' >register; cd - >/dev/null";
    let explain = "$TOOL --table table explain ./p";
    let run = Namespace::empty().run(&scratch, &format!("{script}; {explain}"));
    run.has("kernel      entry other takes it, with /bin/true (no flags)");
    let lost = "argv[0] is lost, as the entry lacks flag P";
    run.verdict(&format!("it runs by entry other, with /bin/true, which is not binfmt-dispatch; {lost}"), "");
    let run = Namespace::empty().run(&scratch, &format!("{script}; echo 0 >/proc/sys/fs/binfmt_misc/other; {explain}"));
    run.has("kernel      entry other would take it, and is turned off, with /bin/true (no flags)");
    run.verdict(
        "it does not run: entry other is turned off, and the kernel says `Exec format error`",
        "echo 1 > /proc/sys/fs/binfmt_misc/other",
    );
    let run =
        Namespace::empty().run(&scratch, &format!("{script}; echo 0 >/proc/sys/fs/binfmt_misc/status; {explain}"));
    run.verdict(
        "it does not run: all entries of the kernel are turned off, and it says `Exec format error`",
        "echo 1 > /proc/sys/fs/binfmt_misc/status",
    );
}

#[test]
fn every_row_knows_its_programs() {
    need!(Namespace);
    let scratch = Scratch::new();
    let table = dispatch_table::ArchTable::builtin();
    for row in table.architectures() {
        scratch.probe("p", &row.name);
        let run = Namespace::empty().tool(&scratch, ["explain", "--json", "./p"]);
        let json = run.json();
        assert!(json["architecture"]["name"] == *row.name, "{run}");
        assert!(json["header"]["class"] == row.class.to_string(), "{run}");
        assert!(json["header"]["data"] == row.data.to_string(), "{run}");
    }
}

#[test]
fn a_dynamic_program() {
    need!(Namespace);
    let scratch = Scratch::new();
    let root = scratch.at("root");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"argv0": "dash-zero", "sysroots": [&root]}));
    // Its name need not be near the headers.
    for at_least in [0, 3 << 20] {
        scratch.write("p", dynamic("aarch64", "/lib/ld-no-such.so.1", at_least));
        let explain = || Namespace::empty().tool(&scratch, ["explain", "./p", &option, &table]);
        let _ = std::fs::remove_dir_all(&root);
        let run = explain();
        run.has("program     ELF 64-bit little-endian executable, dynamic, by /lib/ld-no-such.so.1, for Linux");
        run.verdict(
            &format!("it does not run: its dynamic linker /lib/ld-no-such.so.1 is not in / nor in {root}"),
            &format!("install the C library of aarch64 into {root}, or get a static build"),
        );
        std::fs::create_dir_all(scratch.path().join("root/lib")).unwrap();
        scratch.write("root/lib/ld-no-such.so.1", "");
        let run = explain();
        run.has(&format!("sysroot     {root}, since its dynamic linker is not in /"));
        run.has(&format!("argv        /bin/cat -L {root} -0 ./p -- ./p")).exited(1);
    }
    scratch.write("p", dynamic("aarch64", "/bin/sh", 0));
    let run = Namespace::empty().tool(&scratch, ["explain", "./p", &option, &table]);
    assert!(!run.out().contains("sysroot"), "there is no need for one\n{run}");
    scratch.write("p", dynamic("x86_64", "/lib/ld-no-such.so.1", 0));
    Namespace::empty().tool(&scratch, ["explain", "./p"]).verdict(
        "it does not run: its dynamic linker /lib/ld-no-such.so.1 is not in /",
        "install the C library of x86_64 into /, or get a static build",
    );
}

#[test]
fn a_program_of_this_machine() {
    need!(Namespace);
    let scratch = Scratch::new();
    Namespace::empty()
        .tool(&scratch, ["explain", "sh"])
        .verdict("it runs by itself: it is a program of this machine", "");
    // The dynamic linker and the C library have names as libraries have, and are programs too.
    let run =
        scratch.shell("set -- $(ldd /bin/sh | grep -o '/[^ ]*'); [ $# = 2 ] && $TOOL explain --no-probe --json $1 $2");
    let answers = run.json();
    assert!(answers.as_array().unwrap().iter().all(|answer| answer["verdict"]["runs"] == true), "{run}");
}

#[test]
fn names_do_not_steer_the_terminal() {
    need!(Namespace);
    let scratch = Scratch::new();
    let name = std::ffi::OsStr::from_bytes(b"./\xff\x1b[31m\nname");
    scratch.probe(name, "aarch64");
    let table = aarch64(&scratch, "/bin/cat", json!({}));
    let arguments = |more: &[&str]| {
        let options = ["--table", &table[1]].into_iter().chain(more.iter().copied()).map(Into::into);
        options.chain([name.to_owned()]).collect::<Vec<std::ffi::OsString>>()
    };
    let run = Namespace::empty().tool(&scratch, arguments(&["explain"]));
    run.has(r"./\xff\x1b[31m\x0aname: does not run here. It is for aarch64 (arm64, 64-bit, Linux).")
        .has(r"argv        /bin/cat -- $'./\xff\x1b[31m\x0aname'")
        .exited(1);
    let run = Namespace::empty().tool(&scratch, arguments(&["explain", "--json"]));
    assert!(run.json()["file"] == json!(name.as_bytes()), "{run}");
}
