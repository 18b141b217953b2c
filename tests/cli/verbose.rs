//! `-v`: the steps of each command, and no messages of the libraries.

use dispatch_table::ArchTable;
use serde_json::json;

use crate::support::{Namespace, Observation, Scratch, need};
use crate::table::aarch64;

/// Asserts that all lines on standard error begin as the command's do, and that these are among
/// them.
#[track_caller]
fn says(run: &Observation, code: i32, expected: &[&str]) {
    run.exited(code);
    let err = run.err();
    let libraries = |line: &str| ["goblin", "DEBUG", "INFO", "[", "::"].iter().any(|mark| line.contains(mark));
    for line in err.lines() {
        assert!(line.starts_with("binfmt-dispatch: ") && !libraries(line), "{line}\n{run}");
        assert!(!line.chars().any(char::is_control), "{run}");
    }
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "a line twice\n{run}");
    for line in expected {
        let line = format!("binfmt-dispatch: {line}");
        assert!(err.lines().any(|found| found == line), "expected the line:\n{line}\n{run}");
    }
}

/// A directory with a program of aarch64, and a table in which cat is its emulator, and is mapped.
fn with_cat() -> Scratch {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    let [_, table] = aarch64(&scratch, "/bin/cat", json!({}));
    // The other rows have no emulators, so that there are few messages.
    let mut rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&table).unwrap()).unwrap();
    let rows = rows["architectures"].as_array_mut().unwrap();
    for row in ArchTable::builtin().architectures().iter().filter(|row| row.name != "aarch64") {
        rows.push(json!({"name": row.name, "emulators": ["/no/such"]}));
    }
    scratch.write("table", json!({"version": 1, "architectures": rows}).to_string());
    scratch
}

#[test]
fn without_it_there_is_nothing() {
    let scratch = with_cat();
    scratch.tool(["--table", "table", "list"]).succeeded();
    scratch.tool(["--table", "table", "run", "./p"]).succeeded();
}

#[test]
fn explain() {
    need!(Namespace);
    let scratch = with_cat();
    for option in ["-v", "-vv"] {
        let run = Namespace::empty().tool(&scratch, ["--table", "table", "explain", option, "./p"]);
        says(
            &run,
            1,
            &[
                "the table: built in",
                "table: rows for the table",
                "./p: opened",
                "/proc/sys/fs/binfmt_misc: looked at; entries: 0",
                "the start gains no privileges",
                "/bin/cat: the emulator, opened",
            ],
        );
    }
    // A program of this machine has notes, about which goblin would write messages.
    says(
        &Namespace::empty().tool(&scratch, ["-vv", "explain", "ls"]),
        0,
        &["ls: found in PATH: /usr/bin/ls", "/usr/bin/ls: opened"],
    );
}

#[test]
fn run() {
    let scratch = with_cat();
    scratch.write("s", format!("#!{}\n", scratch.at("p")));
    let run = scratch.tool(["--table", "table", "run", "-v", "./s"]);
    assert!(!run.err().is_empty(), "{run}");
    let program = scratch.at("p");
    says(
        &scratch.tool(["-v", "--table", "table", "run", "./s"]),
        0,
        &[
            "./s: opened",
            &format!("./s: a script, run by {program}"),
            "/bin/cat: the emulator, opened",
            &format!("/bin/cat: executed as /bin/cat -- {program} ./s"),
        ],
    );
    let native = "/usr/bin/true: a program of this machine, executed";
    says(&scratch.tool(["-v", "run", "true"]), 0, &["true: found in PATH: /usr/bin/true", native]);
    let without = "/usr/bin/true: needs no emulator, so the options for it have no effect";
    says(&scratch.tool(["-v", "run", "--cpu", "max", "true"]), 0, &[without, native]);
}

#[test]
fn list_and_generate() {
    let scratch = with_cat();
    let expected = ["aarch64: emulator /bin/cat", "s390x: no emulator: not at /no/such"];
    says(&scratch.tool(["-v", "--table", "table", "list"]), 0, &expected);
    says(
        &scratch.tool(["-v", "--table", "table", "generate", "arm64", "s390x"]),
        0,
        &["aarch64: entries for hosts of x86_64: 1"],
    );
    says(
        &scratch.tool(["-v", "--table", "table", "generate", "--direct", "arm64", "-o", "."]),
        0,
        &["aarch64: emulator /bin/cat", "./zz-binfmt-dispatch-aarch64.conf: written"],
    );
}

#[test]
fn lint() {
    let scratch = with_cat();
    scratch.write("f", ":e:M::ZZ::/bin/cat:\n");
    let expected = ["f: read", "/bin/cat: looked at, as an interpreter"];
    says(&scratch.tool(["-v", "lint", "f"]), 0, &expected);
}

#[test]
fn image() {
    let scratch = with_cat();
    let emulator = scratch.probe("e", "x86_64").display().to_string();
    let image = scratch.at("i");
    let run = scratch.tool(["-v", "image", "-o", &image, "--from", &format!("arm64={emulator}"), "arm64"]);
    says(
        &run,
        0,
        &[
            &format!("aarch64: emulator {emulator}"),
            &format!("{emulator}: version not known"),
            &format!("{emulator}: put into the image"),
            &format!("{image}: written"),
        ],
    );
    // Only named architectures are looked for, and only their emulators are asked.
    assert!(!run.err().contains("riscv64"), "{run}");
}

#[test]
fn install_from_an_image() {
    need!(Namespace);
    let scratch = Scratch::new();
    let emulator = scratch.probe("emulator", "x86_64");
    aarch64(&scratch, emulator.to_str().unwrap(), json!({"strategy": "map"}));
    scratch.tool(["--table", "table", "image", "arm64", "-o", "i"]).exited(0);
    std::fs::remove_file(&emulator).unwrap();
    let prefix = scratch.at("prefix");
    let install = format!("./i -v --table table install arm64 --no-site --prefix {prefix}");
    let run = Namespace::empty().run(&scratch, &install);
    says(
        &run,
        0,
        &[
            "aarch64: emulator emulator of the image of this command",
            "emulator of the image of this command: put into the image",
            "aarch64: emulator embedded in the image",
            "aarch64: its probe ran",
        ],
    );
    // An emulator that is reported as embedded is not also reported as missing or as a file.
    let elsewhere = |line: &str| line.contains("no emulator") || line.contains(emulator.to_str().unwrap());
    assert!(!run.err().lines().any(elsewhere), "{run}");
}

#[test]
fn install_and_uninstall() {
    need!(Namespace);
    let scratch = with_cat();
    let prefix = scratch.at("prefix");
    let image = format!("{prefix}/libexec/binfmt-dispatch/binfmt-dispatch");
    let emulator = scratch.probe("e", "x86_64").display().to_string();
    let install = format!("$TOOL -v install arm64 --no-site --prefix {prefix} --from arm64={emulator}");
    let uninstall = format!("$TOOL -v uninstall --prefix {prefix}");
    let run = Namespace::empty().run(&scratch, &install);
    says(
        &run,
        0,
        &[
            &format!("{prefix}/bin: directory made"),
            &format!("{emulator}: put into the image"),
            &format!("{image}: written"),
            &format!("{prefix}/lib/binfmt.d/zz-binfmt-dispatch.conf: written"),
            &format!("{prefix}/bin/binfmt-dispatch: link made, to ../libexec/binfmt-dispatch/binfmt-dispatch"),
            &format!("qemu-aarch64: registered for {image}"),
            "aarch64: its probe ran",
        ],
    );
    let run = Namespace::empty().run(&scratch, &format!("{install} >/dev/null 2>&1; {uninstall}"));
    says(
        &run,
        0,
        &[
            "qemu-aarch64: removed from the registry",
            &format!("{prefix}/bin/binfmt-dispatch: removed"),
            &format!("{image}: removed"),
        ],
    );
    says(&Namespace::empty().run(&scratch, &uninstall), 0, &[&format!("{image}: not there")]);
}

#[test]
fn register_status_and_unregister() {
    need!(Namespace);
    let scratch = with_cat();
    let image = scratch.at("i");
    scratch.tool(["--table", "table", "image", "--no-emulators", "-o", &image]).exited(0);
    let register = format!("$TOOL -v register arm64 --image {image}");
    let run = Namespace::empty().run(&scratch, &register);
    says(
        &run,
        0,
        &[
            "/proc/sys/fs/binfmt_misc: looked at; entries: 0",
            "aarch64: emulator /bin/cat",
            &format!("qemu-aarch64: registered for {image}"),
            "aarch64: its probe ran",
        ],
    );
    let run = Namespace::empty().run(&scratch, &format!("{register} >/dev/null 2>&1; $TOOL -v status --image {image}"));
    says(
        &run,
        0,
        &[
            "/proc/sys/fs/binfmt_misc: looked at; entries: 1",
            "aarch64: emulator /bin/cat",
            "s390x: no emulator: not at /no/such",
        ],
    );
    let answer = concat!(
        "qemu-aarch64: its interpreter was asked: binfmt-dispatch, version ",
        env!("CARGO_PKG_VERSION"),
        ", image "
    );
    assert!(run.err().contains(answer), "{run}");
    let run =
        Namespace::empty().run(&scratch, &format!("{register} >/dev/null 2>&1; $TOOL -v unregister --image {image}"));
    says(&run, 0, &["/proc/sys/fs/binfmt_misc: looked at; entries: 1", "qemu-aarch64: removed from the registry"]);
}

#[test]
fn unshare() {
    need!(Namespace);
    let scratch = with_cat();
    says(
        &scratch.tool(["-v", "--table", "table", "unshare", "--", "true"]),
        0,
        &[
            "/proc/sys/fs/binfmt_misc: mounted, in a mount namespace of its own",
            "aarch64: emulator /bin/cat",
            "s390x: left out, as there is no emulator",
            "true: executed",
        ],
    );
}

#[test]
fn unshare_for_a_plain_user() {
    need!(Namespace, Root, Uidmap);
    let scratch = with_cat();
    // `user` runs the tool as a user with these ranges; the first argument is PATH.
    let prelude = r#"
        user() {
            echo user:x:1000:1000::/:/bin/sh >passwd
            printf "$2" >subuid
            printf "$3" >subgid
            for file in passwd subuid subgid; do mount --bind $file /etc/$file; done
            setpriv --reuid 1000 --regid 1000 --clear-groups env PATH="$1" \
                "$TOOL" -v --table table unshare -- /bin/true
        }
    "#;
    let mapped = |users: u32, groups: u32| {
        format!("in a user namespace of its own, with user ids: {users}, group ids: {groups}")
    };
    let user = |call: &str, expected: &[&str]| {
        let seen = Namespace::empty().mapped().run(&scratch, &format!("{prelude}user {call}"));
        says(&seen, 0, expected);
    };
    let group_map = "newgidmap: mapped the group ids 0 1000 1 1 9000 5";
    user(
        "$PATH user:7000:10 user:9000:5",
        &["newuidmap: mapped the user ids 0 1000 1 1 7000 10", group_map, &mapped(11, 6)],
    );
    let missing = "newuidmap: is not in PATH: for more than one id, install the package uidmap";
    user("/no/such user:7000:10 user:9000:5", &[missing, &mapped(1, 1)]);
    let users = "/etc/subuid: has no ids for user: as root, run `usermod --add-subuids 100000-165535 user`";
    let groups = "/etc/subgid: has no ids for user: as root, run `usermod --add-subgids 100005-165540 user`";
    user("$PATH '' other:100000:5", &[users, groups, &mapped(1, 1)]);
    user("$PATH user:7000:10 other:100000:5", &[groups, &mapped(1, 1)]);
    // These ids do not exist here, so nobody can map them.
    let failed = "newuidmap: failed, so the user ids are one: write to uid_map failed: Operation not permitted";
    user("$PATH user:100000:65536 user:9000:5", &[failed, &mapped(1, 1)]);
    let failed = "newgidmap: failed, so the group ids are one: write to gid_map failed: Operation not permitted";
    user("$PATH user:7000:10 user:100000:65536", &[failed, &mapped(11, 1)]);
    let copied = "mkdir bin; cp /usr/bin/newuidmap /usr/bin/newgidmap bin; user $PWD/bin user:7000:10 user:9000:5";
    let seen = Namespace::empty().mapped().run(&scratch, &format!("{prelude}{copied}"));
    let path = scratch.at("bin/newuidmap");
    let failed = "newuidmap: failed, so the user ids are one";
    let failed = format!("{failed}: {path} is not set-user-ID: as root, run `chmod u+s {path}`");
    says(&seen, 0, &[&failed, &mapped(1, 1)]);
}

#[test]
fn tune() {
    let scratch = with_cat();
    let root = scratch.at("");
    let run = scratch.tool([
        "-v",
        "--table",
        "table",
        "tune",
        "arm64",
        "--root",
        &root,
        "--json",
        "/no/such/directory/file",
        "--cpu",
        "max",
    ]);
    run.exited(1);
    let expected = [format!("aarch64: programs of the root {root}"), "/bin/cat: the emulator".to_owned()];
    for line in expected {
        assert!(run.err().contains(&format!("binfmt-dispatch: {line}\n")), "{line}\n{run}");
    }
}

#[test]
fn container() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.tool(["image", "--no-emulators", "-o", "i"]).succeeded();
    // The registry of the namespace is mounted elsewhere too.
    let script = "mkdir m; ./i -v container --mount $PWD/m --install arm64 --uninstall s390x";
    let expected = [
        &*format!("{}: mounted", scratch.at("m")),
        &*format!("{}: entries stay when it is unmounted", scratch.at("m")),
        "s390x: is not registered",
    ];
    says(&Namespace::empty().run(&scratch, script), 127, &expected);
}

#[test]
fn every_command_is_here() {
    let help = Scratch::new().tool(["--help"]);
    let commands = help.out().split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let known = [
        "explain",
        "run",
        "list",
        "generate",
        "lint",
        "image",
        "install",
        "uninstall",
        "register",
        "unregister",
        "status",
        "unshare",
        "tune",
        "container",
        "help",
        "",
    ];
    assert!(names.len() > 12, "{help}");
    assert!(names.iter().all(|name| known.contains(name)), "a command without a test of -v: {names:?}");
}
