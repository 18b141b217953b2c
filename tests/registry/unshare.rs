//! `unshare`: a private registry for one command.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::alpha::Alpha;
use crate::support::{Namespace, Observation, REGISTRY, Row, Scratch, need};

#[test]
fn the_command_takes_the_place_of_the_tool() {
    need!(Namespace);
    let alpha = Alpha::new();
    let seen = alpha.run("kill -TERM $$");
    assert_eq!(seen.status.signal(), Some(15), "{seen}");
    for (command, code) in [("true", 0), ("false", 1), ("no-such-command", 127), ("/etc/passwd", 126)] {
        alpha.unshare(&[command]).exited(code);
    }
}

#[test]
fn the_host_sees_nothing_of_it() {
    need!(Namespace);
    let listing = || fs::read_dir(REGISTRY).map(std::iter::Iterator::count).ok();
    let before = listing();
    Alpha::new().run("ls $REGISTRY").printed("qemu-alpha\nregister\nstatus\n");
    assert_eq!(listing(), before);
}

#[test]
fn this_machine_is_never_captured() {
    need!(Namespace);
    let made = Alpha::new();
    made.run("true").printed("");
    // Simulates mixed-up rows: alpha's row has this machine's numbers, and this machine's row has
    // others.
    let [own, alpha] = [std::env::consts::ARCH, "alpha"].map(|name| Row::new(name, "/bin/false"));
    let numbers = ["machine", "class", "data"];
    let alpha = numbers.into_iter().fold(alpha, |alpha, field| alpha.with(field, own.get(field).clone()));
    let class = if *own.get("class") == 32 { 64 } else { 32 };
    made.scratch.write("table", Row::table_of(&[&own.with("class", class.into()), &alpha]));
    let seen = made.unshare(&["true"]);
    assert!(seen.exited(1).err().contains("qemu-alpha: would capture this machine's own "), "{seen}");
}

/// Runs a script in a namespace with the ids 0 to 65535. Its function `unshare` is the command of
/// that name, run by the user 1000, who has these subordinate ids.
#[track_caller]
fn by_a_user(users: &str, groups: &str, script: &str) -> Observation {
    let alpha = Alpha::new();
    alpha.scratch.write("passwd", "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n");
    alpha.scratch.write("subuid", users);
    alpha.scratch.write("subgid", groups);
    let prelude = r#"
        for file in passwd subuid subgid; do mount --bind $file /etc/$file; done
        unshare() {
            setpriv --reuid 1000 --regid 1000 --clear-groups \
                "$TOOL" unshare --table table -a alpha -- sh -c "$@"
        }
        maps() { unshare "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map"; }
    "#;
    Namespace::empty().mapped().run(&alpha.scratch, &format!("{prelude}\n{script}"))
}

#[test]
fn subordinate_ids_follow_root() {
    need!(Namespace, Root, Uidmap);
    let users = "other:40000:1000\nuser:10000:500\n1000:20000:5\n";
    let groups = "user:30000:600";
    by_a_user(users, groups, "maps").printed(" 0 1000 1\n 1 10000 500\n 501 20000 5\n 0 1000 1\n 1 30000 600\n");
    // Root of the namespace makes files of other users and groups, and becomes other users.
    let script = r#"
        mkdir -m 777 d
        unshare 'touch d/f && chown 500:600 d/f && setpriv --reuid 3 --regid 4 --groups 5,6 sh -c "id -u; id -g; id -G"'
        stat -c '%u %g' d/f
        unshare 'cat $REGISTRY/status; cat /proc/self/setgroups; id -u'
    "#;
    let expected = "3\n4\n4 5 6\n10499 30599\nenabled\nallow\n0\n";
    by_a_user(users, groups, &format!("export REGISTRY\n{script}")).printed(expected);
}

#[test]
fn without_subordinate_ids_there_is_root_alone() {
    need!(Namespace, Root, Uidmap);
    let one = " 0 1000 1\n 0 1000 1\n";
    for (users, groups) in [
        ("", ""),
        ("user:10000:500\n", ""),
        ("", "user:10000:500\n"),
        ("other:10000:500\n", "other:10000:500\n"),
        ("user:10000\nuser:x:1\nuser:5:0\n", "user:10000:500\n"),
    ] {
        by_a_user(users, groups, "maps").printed(one);
    }
    // Ids that do not exist here: the set-user-ID programs fail.
    by_a_user("user:100000:65536\n", "user:10000:5\n", "maps").printed(one);
    by_a_user("user:10000:5\n", "user:100000:65536\n", "maps").printed(" 0 1000 1\n 1 10000 5\n 0 1000 1\n");
}

#[test]
fn container_tools_learn_who_the_user_is() {
    need!(Namespace, Root, Uidmap);
    let variables = "unshare 'env | grep -a ^_CONTAINERS | sort'";
    let expected = "_CONTAINERS_ROOTLESS_GID=1000\n_CONTAINERS_ROOTLESS_UID=1000\n_CONTAINERS_USERNS_CONFIGURED=done\n";
    by_a_user("", "", variables).printed(expected);
    let callers = format!("export _CONTAINERS_ROOTLESS_UID=7\n{variables}");
    by_a_user("", "", &callers).printed(&expected.replace("UID=1000", "UID=7"));
    // Root is a plain user of nothing.
    Alpha::new().run("env | grep -c ^_CONTAINERS").wrote("0\n");
}

#[test]
fn what_keeps_other_users_out_is_said_where_they_are_needed() {
    need!(Namespace, Root, Uidmap);
    let tools = r#"
        mkdir tools; for name in buildah debootstrap mmdebstrap podman other; do cp /bin/true tools/$name; done
        user() {
            setpriv --reuid 1000 --regid 1000 --clear-groups "$TOOL" unshare --table table -a alpha "$@" </dev/null
        }
    "#;
    let users = "/etc/subuid: has no ids for user: as root, run `usermod --add-subuids 100000-165535 user`";
    let groups = "/etc/subgid: has no ids for user: as root, run `usermod --add-subgids 100000-165535 user`";
    let warned = |lines: &[&str], call: &str, users: &str, groups: &str| {
        let seen = by_a_user(users, groups, &format!("{tools}\n{call}"));
        let expected: String = lines.iter().map(|line| format!("binfmt-dispatch: warning: {line}\n")).collect();
        assert!(seen.exited(0).err() == expected, "expected:\n{expected}{seen}");
    };
    for name in ["buildah", "debootstrap", "mmdebstrap", "podman"] {
        warned(&[users, groups], &format!("user -- tools/{name}"), "", "");
        warned(&[], &format!("user -- tools/{name}"), "user:10000:5\n", "user:10000:5\n");
    }
    warned(&[], "user -- tools/other", "", "");
    // A shell may start anything.
    warned(&[users, groups], "SHELL=/bin/sh user", "", "");
    warned(&[groups], "user -- tools/podman", "user:10000:5\n", "");
    let missing = "newuidmap: is not in PATH: for more than one id, install the package uidmap";
    warned(&[missing], "mkdir bin; cp /usr/bin/setpriv bin; PATH=$PWD/bin user -- tools/podman", "", "");
}

#[test]
fn programs_that_may_not_map_ids_are_said_to_have_no_privileges() {
    need!(Namespace, Root, Uidmap);
    let failed = |script: &str| {
        let script = format!(
            r#"
            mkdir bin; cp /usr/bin/newuidmap /usr/bin/newgidmap /bin/true bin; mv bin/true bin/podman
            user() {{
                setpriv $OPTIONS --reuid 1000 --regid 1000 --clear-groups env PATH=$PWD/bin \
                    "$TOOL" unshare --table table -a alpha -- podman
            }}
            {script}; user
        "#
        );
        let seen = by_a_user("user:10000:5\n", "user:10000:5\n", &script);
        let line = seen.exited(0).err();
        let problem = line.strip_prefix("binfmt-dispatch: warning: newuidmap: failed, so the user ids are one: ");
        let problem = problem.and_then(|problem| problem.strip_suffix('\n'));
        problem.unwrap_or_else(|| panic!("{seen}")).replace(seen.cwd.to_str().unwrap(), "")
    };
    let set_user_id = "/bin/newuidmap is not set-user-ID: as root, run `chmod u+s /bin/newuidmap`";
    assert_eq!(failed(":"), set_user_id);
    assert_eq!(failed("chown 1000 bin/newuidmap; chmod u+s bin/newuidmap"), set_user_id);
    let set = "chmod u+s bin/new*";
    assert_eq!(
        failed(&format!("{set}; OPTIONS=--no-new-privs")),
        "no_new_privs takes its privileges away: leave the sandbox that sets it"
    );
    assert_eq!(
        failed(&format!("{set}; mount --bind bin bin; mount -o remount,bind,nosuid bin")),
        "nosuid takes its privileges away: mount the file system of /bin/newuidmap without"
    );
}

#[test]
fn explain_names_commands_that_a_private_root_can_run() {
    need!(Namespace, Root);
    let scratch = Scratch::new();
    for (name, emulator) in [("with", "/bin/true"), ("without", "/no/such")] {
        let (aarch64, alpha) = (Row::new("aarch64", emulator), Row::new("alpha", "/bin/true"));
        scratch.write(name, Row::table_of(&[&aarch64, &alpha]));
    }
    scratch.probe("guest", "aarch64");
    let explain = |table: &str| {
        let script = format!(
            "chmod 755 .; exec setpriv --reuid 1000 --regid 1000 --clear-groups \
             \"$TOOL\" --table {table} unshare -a alpha -- \"$TOOL\" --table {table} explain --json ./guest"
        );
        let seen = Namespace::empty().mapped().run(&scratch, &script);
        let remedy =
            seen.out().lines().find_map(|line| line.trim().strip_prefix("\"remedy\": \"")?.strip_suffix("\","));
        remedy.unwrap_or_else(|| panic!("{seen}")).to_owned()
    };
    assert_eq!(explain("with"), "binfmt-dispatch unshare -a aarch64 -- ./guest");
    // The package's name is the distribution's.
    let fix = explain("without");
    assert!(fix.starts_with("outside this user namespace: sudo ") && fix.contains("qemu"), "{fix}");
}
