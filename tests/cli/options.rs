//! Options and failures that all commands share.

use nix::sys::signal::Signal;

use crate::support::Scratch;

#[test]
fn version_and_help() {
    let scratch = Scratch::new();
    scratch.tool(["--version"]).printed(concat!("binfmt-dispatch ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = scratch.tool(["--help"]);
    for part in [
        "explain",
        "unshare",
        "Exit codes: 0 success; 1 check failed, or operation could not be completed; 2 wrong usage",
        "--table <FILE>",
        "\nGlobal options:\n",
    ] {
        assert!(help.succeeded().out().contains(part), "{part}\n{help}");
    }
    for command in ["explain", "run", "list", "generate", "image"] {
        let run = scratch.tool([command, "--help"]);
        assert!(run.succeeded().out().contains(&format!("Usage: binfmt-dispatch {command}")), "{run}");
    }
    let tune = scratch.tool(["tune", "-h"]);
    assert!(tune.succeeded().out().contains("[possible values: functions,"), "{tune}");
    let run = scratch.tool::<&str>([]);
    assert!(run.out().is_empty() && run.err().contains("Usage:"), "{run}");
    run.exited(2);
}

#[test]
fn wrong_usage() {
    let scratch = Scratch::new();
    for arguments in [
        &["--explain", "./p", "list"][..],
        &["--explain"],
        &["--json"],
        &["explain"],
        &["no-such"],
        &["list", "--no-such"],
        &["generate", "--format", "elf"],
    ] {
        let run = scratch.tool(arguments.iter());
        assert!(run.out().is_empty() && !run.err().is_empty(), "{run}");
        run.exited(2);
    }
}

#[test]
fn programs_in_place_of_a_command() {
    let scratch = Scratch::new();
    scratch.probe("prog", "aarch64");
    scratch.write("instal", "no program");
    let refused = |word: &str, program: &str| {
        let line = format!(
            "{word}: is no command: use `binfmt-dispatch run {program}` to run this program, or `binfmt-dispatch explain \
             {program}` to see what runs it"
        );
        scratch.tool([word]).refused(2, &line);
        scratch.tool(["-v", word, "--option", "argument"]).refused(2, &line);
    };
    refused("./prog", "./prog");
    refused("/no/such/program", "/no/such/program");
    refused("./a b", "'./a b'");
    refused("prog", "./prog");
    // Words that are neither a file nor a path, and one that is nearly a command.
    for word in ["prag", "instal"] {
        let run = scratch.tool([word]);
        assert!(run.exited(2).err().contains(&format!("unrecognized subcommand '{word}'")), "{run}");
    }
}

#[test]
fn output_that_cannot_be_written() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    for command in ["list", "list --json", "generate", "explain ./p", "explain --json ./p", "--version", "--help"] {
        let run = scratch.shell(&format!("$TOOL {command} >/dev/full"));
        run.refused(1, "standard output cannot be written: no space left on device");
        let run = scratch.shell(&format!("$TOOL {command} >&-"));
        run.refused(1, "standard output cannot be written: bad file number");
        // A reader that closes the pipe early is no failure.
        scratch.shell(&format!("set -o pipefail; trap '' PIPE; $TOOL {command} | true; [ $? -le 1 ]")).succeeded();
    }
}

#[test]
fn a_reader_that_goes_away() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    // A pipe without a reader.
    let gone = |command: &str| scratch.shell(&format!("exec 3> >(exec true); wait $!; $TOOL {command} >&3 2>&3"));
    for command in ["list", "list --json", "generate", "explain --no-probe ./p", "lint p", "--version", "--help"] {
        gone(command).wrote("").exited(128 + Signal::SIGPIPE as i32);
    }
    // Commands that change something do all of it.
    std::fs::create_dir(scratch.path().join("entries")).unwrap();
    gone("-v generate --output entries arm64 s390x").wrote("").exited(0);
    assert_eq!(std::fs::read_dir(scratch.path().join("entries")).unwrap().count(), 2);
    gone("-v image --no-emulators -o image").wrote("").exited(0);
    assert!(scratch.path().join("image").is_file());
    gone("image -o image no-such").wrote("").exited(2);
}

/// An invalid table.
#[track_caller]
fn bad_table(table: &str, expected: &str) {
    let scratch = Scratch::new();
    scratch.write("t", table);
    scratch.probe("p", "aarch64");
    for command in [&["list"][..], &["explain", "./p"], &["run", "./p"], &["generate"], &["image", "-o", "i"]] {
        let line = format!("t:{expected}");
        scratch.tool([&["--table", "t"], command].concat()).refused(2, &line);
        scratch.tool([&command[..1], &["--table", "t"], &command[1..]].concat()).refused(2, &line);
    }
    assert!(!scratch.path().join("i").exists());
}

#[test]
fn wrong_tables() {
    let row = |name: &str, fields: &str| {
        format!("{{\"version\": 1, \"architectures\": [\n{{\"name\": \"{name}\",\n {fields}}}\n]}}")
    };
    bad_table("{", "1:1: not JSON: it ends too early, perhaps for a bracket or a quote that is not closed");
    bad_table("[]", "1:1: [] is not allowed here: use an object with the keys version and architectures");
    bad_table(r#"{"version": 2, "architectures": []}"#, "1:13: version: 2 is not allowed here: use 1");
    bad_table(
        &row("aarch64", "\"osabi\": [0, 300]"),
        "3:15: architectures[0].osabi[1]: 300 is not allowed here: use 0 to 255",
    );
    bad_table(
        &row("aarch64", "\"emulator\": [\"/bin/cat\"]"),
        "3:2: architectures[0].emulator: no such key: perhaps emulators is meant; use one of name, aliases, machine, class, \
         data, flags, osabi, emulators, options, versions, cpu, cpus, property, environment, sysroots, native_on, argv0, \
         strategy, disabled, below, probe, notes",
    );
    bad_table(
        &row("aarch64", "\"emulators\": [\"a/b\"]"),
        "3:16: architectures[0].emulators[0]: emulator \"a/b\" is neither a file name nor an absolute path",
    );
    bad_table(
        &row("other", "\"aliases\": []"),
        "2:1: architectures[0]: the key machine is missing: add it, with a list of objects with the keys name and number",
    );
    bad_table(
        &row("aarch64", "\"aliases\": [\"riscv64\"]"),
        "2:1: architecture riscv64: the name or alias \"riscv64\" is taken by architecture aarch64",
    );
    bad_table(
        &row("aarch64", "\"probe\": {\"code\": \"\", \"flags\": \"0x0\"}"),
        "3:20: architectures[0].probe.code: probe code is 0 bytes long, not 1 to 64",
    );
}

#[test]
fn wrong_tables_of_the_site() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path().join("root/etc/binfmt-dispatch")).unwrap();
    scratch.write("root/etc/binfmt-dispatch/a.json", "{\"version\": 1,\n\"architectures\": [{\"name\": 5}]}");
    let file = scratch.at("root/etc/binfmt-dispatch/a.json");
    let line =
        format!("{file}:2:28: architectures[0].name: 5 is not allowed here: use 1 to 64 of a-z, 0-9 and _, in quotes");
    scratch.tool(["install", "--root", &scratch.at("root"), "--no-emulators"]).refused(2, &line);
}

#[test]
fn tables_that_cannot_be_read() {
    let scratch = Scratch::new();
    scratch
        .tool(["--table", "absent", "list"])
        .refused(2, "absent: cannot read: check the path: no such file or directory");
    scratch.tool(["list", "--table", "/"]).refused(2, "/: cannot read: name a file: is a directory");
    scratch.shell("mkfifo fifo; truncate -s 10G sparse; printf '\\377' >bytes").succeeded();
    for (file, fault) in [
        ("fifo", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("sparse", "larger than 16 MiB"),
        ("bytes", "not UTF-8"),
    ] {
        let seen = scratch.tool(["--table", file, "list"]);
        assert!(seen.exited(2).err().ends_with(&format!("{fault}\n")), "{seen}");
    }
}

#[test]
fn messages_that_cannot_be_written() {
    let scratch = Scratch::new();
    for redirection in ["2>/dev/full", "2>&-"] {
        scratch.shell(&format!("$TOOL explain ./absent {redirection}")).wrote("").exited(1);
    }
}
