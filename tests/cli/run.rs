//! `run`: the guest finds descriptors and environment unchanged.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Foreign, Namespace, Scratch, TOOL, dynamic_guest, need};
use crate::table::aarch64;

/// The guest's file is what cat prints first.
fn after_guest<'o>(output: &'o [u8], guest: &[u8]) -> &'o [u8] {
    output.strip_prefix(guest).expect("cat prints the guest first")
}

#[test]
fn arguments_and_exit_status() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("e", "#!/bin/sh\nfor word; do echo \"<$word>\"; done; exit 42");
    let [option, table] = aarch64(&scratch, &scratch.at("e"), json!({"argv0": "dash-zero", "options": ["-o"]}));
    let expected = "<-o>\n<-0>\n<./p>\n<-->\n<./p>\n<-a>\n<--json>\n<-->\n<>\n<--table>\n";
    let guest = ["./p", "-a", "--json", "--", "", "--table"];
    for before in [&["run"][..], &["run", "--"]] {
        let arguments = [&[&*option, &*table], before, &guest[..]].concat();
        scratch.tool(arguments).wrote(expected).exited(42);
        let arguments = [&["run", &option, &table], &before[1..], &guest[..]].concat();
        scratch.tool(arguments).wrote(expected).exited(42);
    }
}

#[test]
fn death_by_signal_is_the_guests() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("e", "#!/bin/sh\nkill -TERM $$");
    aarch64(&scratch, &scratch.at("e"), json!({}));
    scratch.shell("$TOOL --table table run ./p; echo $?").wrote("143\n");
}

#[test]
fn environment() {
    let scratch = Scratch::new();
    let guest = std::fs::read(scratch.probe("p", "aarch64")).unwrap();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"environment": {"B": "ours", "ADDED": "1"}}));
    let odd = std::ffi::OsStr::from_bytes(b"\xff=");
    let mut command = scratch.command(TOOL);
    command.args([&option, &table, "run", "./p", "/proc/self/environ"]).env_clear();
    command.env("B", "callers").env("A", odd).env("EMPTY", "").env("QEMU_CPU", "max");
    let output = command.output().unwrap();
    let expected = b"ADDED=1\0A=\xff=\0B=callers\0EMPTY=\0QEMU_CPU=max\0";
    assert!(after_guest(&output.stdout, &guest) == expected, "{command:?}: {output:?}");
}

#[test]
fn odd_environment() {
    let scratch = Scratch::new();
    let guest = std::fs::read(scratch.probe("p", "aarch64")).unwrap();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let mut command = scratch.command("env");
    command.args(["-i", "=x=y", "A=1", TOOL, &option, &table, "run", "./p", "/proc/self/environ"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert!(after_guest(&output.stdout, &guest) == b"=x=y\0A=1\0", "{command:?}: {output:?}");
}

#[test]
fn signals_are_not_ignored() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    for ignored in ["", "trap '' PIPE TERM; "] {
        let direct = scratch.shell(&format!("{ignored}grep -a -E '^Sig(Ign|Blk)' /proc/self/status"));
        let ours = scratch
            .shell(&format!("{ignored}$TOOL {option} {table} run ./p /proc/self/status | grep -a -E '^Sig(Ign|Blk)'"));
        ours.printed(direct.out());
    }
}

#[test]
fn closed_descriptors_stay_closed() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [option, table] = aarch64(&scratch, "/bin/ls", json!({}));
    let tool = format!("$TOOL {option} {table} run ./p /proc/self/fd");
    for redirections in ["<&-", "<&- 2>&-", "7</dev/null", "2>&- 7</dev/null"] {
        // Descriptors that the tests were started with are the same in both listings. Each listing
        // also has the directory itself open.
        let direct = scratch.shell(&format!("ls /proc/self/fd >direct {redirections}; cat direct"));
        scratch.shell(&format!("{tool} >ours {redirections}; tail -n +4 ours")).printed(direct.out());
    }
}

#[test]
fn the_process_is_the_same() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    scratch.write("e", "#!/bin/sh\necho $$");
    let [option, table] = aarch64(&scratch, &scratch.at("e"), json!({}));
    let mut command = scratch.command(TOOL);
    command.args([&option, &table, "run", "./p"]).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id.to_string());
}

#[test]
fn something_must_be_run() {
    let run = Scratch::new().tool(["run"]);
    run.exited(2);
    assert!(run.err().contains("<FILE>"), "{run}");
}

#[test]
fn options_for_the_emulator() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    std::fs::create_dir(scratch.at("row")).unwrap();
    std::fs::create_dir(scratch.at("callers")).unwrap();
    let row = json!({"options": ["-o", "-cpu", "rows"], "sysroots": [scratch.at("row")]});
    let [option, table] = aarch64(&scratch, "/bin/echo", row);
    for (options, expected) in [
        (&[][..], ""),
        (&["-L", "callers"], " -L callers"),
        (&["-Lcallers"], " -L callers"),
        (&["--cpu", "max"], " -cpu max"),
        (&["--emulator-option", "-d", "--emulator-option", "in_asm"], " -d in_asm"),
        (&["--emulator-option=-strace", "--"], " -strace"),
        (&["--emulator-option", "--cpu", "-v"], " --cpu"),
        (&["--emulator-option", "-one", "-L", "callers", "--cpu=a b"], " -cpu a b -one -L callers"),
        (&["--emulator-option", ""], " "),
    ] {
        // Behind the program's name, the same words are its own.
        let guest = ["./p", "-L", "/no/such", "--cpu", "", "--emulator-option"];
        let run = scratch.tool([&[&*option, &table, "run"], options, &guest].concat());
        let expected = format!("-o -cpu rows{expected} -- ./p -L /no/such --cpu  --emulator-option\n");
        run.exited(0).wrote(&expected);
    }
}

#[test]
fn options_replace_what_the_row_says() {
    let scratch = Scratch::new();
    // A dynamic program, whose dynamic linker is below the row's sysroot.
    let probe = std::fs::read(scratch.probe("probe", "aarch64")).unwrap();
    scratch.write("p", dynamic_guest(probe, "/lib/no-such-linker.so"));
    scratch.write("row/lib/no-such-linker.so", "");
    std::fs::create_dir(scratch.at("callers")).unwrap();
    let row = json!({"cpu": "rows", "sysroots": [scratch.at("row")]});
    let [option, table] = aarch64(&scratch, "/bin/echo", row);
    let run = |options: &[&str]| scratch.tool([&[&*option, &table, "run"], options, &["./p"]].concat());
    let row = scratch.at("row");
    run(&[]).printed(&format!("-cpu rows -L {row} -- ./p\n"));
    run(&["-L", "callers"]).printed("-cpu rows -L callers -- ./p\n");
    run(&["--cpu", "max"]).printed(&format!("-cpu max -L {row} -- ./p\n"));
}

#[test]
fn options_win_over_the_callers_variables() {
    need!(Namespace, Guests, Qemu);
    let scratch = Scratch::new();
    scratch.write("root/only/here", "found\n");
    let run = "$TOOL run -L root --cpu max $GUESTS/arm64/bin/busybox cat /only/here";
    let namespace = Namespace::empty();
    namespace.run(&scratch, run).printed("found\n");
    namespace.run(&scratch, &format!("export QEMU_LD_PREFIX=/no/such QEMU_CPU=no-such; {run}")).printed("found\n");
    // The variables have these effects without the options.
    let without = "$TOOL run $GUESTS/arm64/bin/busybox cat /only/here";
    let seen = namespace.run(&scratch, &format!("QEMU_LD_PREFIX=root {without}; QEMU_CPU=no-such {without}"));
    assert!(seen.wrote("found\n").err().contains("'no-such'"), "{seen}");
}

#[test]
fn options_change_how_a_dynamic_program_runs() {
    need!(Qemu, CrossCompilers);
    let scratch = Scratch::new();
    let shared = ["-shared", "-fPIC", "-DLIBRARY", "-Wl,-soname,libdynamic.so"];
    let library = Foreign::Aarch64.build_as("libdynamic.so", "tests/cli/dynamic.c", &shared);
    let library = library.to_str().unwrap();
    let program = Foreign::Aarch64.build_as("dynamic", "tests/cli/dynamic.c", &["-Wl,--no-as-needed", library]);
    // The library, dynamic linker and C library are below `root`; the row's sysroot has only these.
    let sysroot = "/usr/aarch64-linux-gnu/lib";
    let script = format!(
        "mkdir -p root/lib; cp {library} root/lib/libdynamic.so; cp -L {sysroot}/ld-linux-aarch64.so.1 {sysroot}/libc.so.6 root/lib"
    );
    scratch.shell(&script).succeeded();
    scratch.write("p", std::fs::read(program).unwrap());
    let run = |options: &[&str]| scratch.tool([&["run"], options, &["./p"]].concat());
    let without = run(&[]);
    assert!(without.exited(127).err().contains("cannot open shared object file"), "{without}");
    run(&["-L", "root"]).printed("library found, without SVE, GIVEN=\n");
    run(&["-L", "root", "--cpu", "max"]).printed("library found, with SVE, GIVEN=\n");
    let given = ["-L", "root", "--emulator-option", "-E", "--emulator-option", "GIVEN=1"];
    run(&given).printed("library found, without SVE, GIVEN=1\n");
    let refused = run(&["-L", "root", "--cpu", "no-such"]);
    assert!(refused.exited(1).err().contains("'no-such'"), "{refused}");
    assert!(run(&["--cpu", "help"]).out().contains("cortex-a53"));
}

#[test]
fn options_that_no_emulator_could_use() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let directory = "cannot be used: name a directory";
    for (options, line) in [
        (&["-L", "/no/such"][..], format!("-L /no/such: {directory}: no such file or directory")),
        (&["-L", "p"], format!("-L p: {directory}: not a directory")),
        (&["-L", "p/q"], format!("-L p/q: {directory}: not a directory")),
        (&["--cpu", ""], "--cpu: the model is empty: name one, or use `help` for a list".to_owned()),
        (&["--cpu="], "--cpu: the model is empty: name one, or use `help` for a list".to_owned()),
    ] {
        scratch.tool([&["run"], options, &["./p"]].concat()).refused(2, &line);
    }
    let run = scratch.tool(["run", "-L", "", "./p"]);
    assert!(run.exited(2).err().contains("a value is required for '-L <DIR>'"), "{run}");
    for misspelt in ["--cpus", "--emulator-options", "-l"] {
        let run = scratch.tool(["run", misspelt, "x", "./p"]).exited(2).clone();
        assert!(run.out().is_empty() && run.err().contains("unexpected argument"), "{run}");
    }
}
