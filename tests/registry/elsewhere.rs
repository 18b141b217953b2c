//! Remedies of `explain` where the usual ones cannot work: in user namespaces, in containers, below
//! root directories.

use serde_json::{Value, json};

use crate::support::{Namespace, Observation, Row, Scratch, need};

/// Functions of the scripts. `explain` explains `./guest`, or what its arguments name, with a table
/// that has an emulator of aarch64, and of another architecture. `user` runs a command as a plain
/// user.
const PRELUDE: &str = r#"
    explain() { [ $# != 0 ] || set -- ./guest; $TOOL --table table explain --json "$@"; }
    user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
    container() { setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"; }
    export -f explain; export TOOL REGISTRY
"#;

/// A directory with a program for aarch64, a root directory that has it too, and the table.
fn furnish() -> Scratch {
    let scratch = Scratch::new();
    let rows = ["aarch64", "alpha"].map(|name| Row::new(name, "/bin/true"));
    scratch.write("table", Row::table_of(&[&rows[0], &rows[1]]));
    scratch.probe("guest", "aarch64");
    scratch.probe("root/guest", "aarch64");
    scratch.write("root/proc/.keep", "");
    scratch
}

/// Runs a script that explains one program.
#[track_caller]
fn explained(scratch: &Scratch, script: &str) -> (Observation, Value) {
    let seen = Namespace::empty().mapped().run(scratch, &format!("{PRELUDE}\n{script}"));
    let verdict = seen.json()["verdict"].take();
    (seen, verdict)
}

/// Asserts the remedy, and what runs the program without it.
#[track_caller]
fn advises(scratch: &Scratch, script: &str, remedy: &str, now: impl Into<Value>) {
    let (seen, verdict) = explained(scratch, script);
    let now = now.into();
    assert!(verdict["remedy"] == *remedy && verdict["now"] == now, "expected {remedy}, {now}\n{seen}");
}

const RUN: &str = "binfmt-dispatch run ./guest";

#[test]
fn in_the_namespace_of_a_plain_user() {
    need!(Namespace, Root);
    let scratch = furnish();
    let within = |more: &str, command: &str| format!("user $TOOL --table table unshare {more} -- {command}");
    let further = "binfmt-dispatch unshare -a aarch64 -- ./guest";
    let below = format!("binfmt-dispatch unshare -a aarch64 -- chroot {} /guest", scratch.at("root"));
    advises(&scratch, &within("-a alpha", "bash -c explain"), further, RUN);
    // Root of this one is root of the one above, which is nobody special.
    advises(&scratch, &within("-a alpha", "unshare -Ur bash -c explain"), further, RUN);
    let root = "bash -c 'explain --root root /guest'";
    advises(&scratch, &within("-a alpha", root), &below, below.as_str());
    // The private image gets the program, and finds no emulator there.
    advises(&scratch, &within("--no-emulators -a arm64", root), &below, below.as_str());
    // A user that does not exist there can make no namespace.
    let strange = "user unshare -U bash -c explain";
    let (seen, verdict) = explained(&scratch, strange);
    let remedy = verdict["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("outside this user namespace: sudo ") && remedy.ends_with(" install aarch64"), "{seen}");
}

#[test]
fn in_a_container() {
    need!(Namespace, Root);
    let scratch = furnish();
    let host = "on the host of this container: sudo binfmt-dispatch install aarch64";
    advises(&scratch, "umount $REGISTRY; container bash -c explain", host, RUN);
    advises(&scratch, "mount -o remount,bind,ro $REGISTRY; explain", host, RUN);
    advises(&scratch, "umount $REGISTRY; container setpriv --reuid 1000 --clear-groups bash -c explain", host, RUN);
    let other = r"printf '%s' ':other:M:18:\xb7\x00::/no/such:' >$REGISTRY/register";
    let replace = host.replace("install", "install --replace");
    advises(&scratch, &format!("{other}; container bash -c explain"), &replace, RUN);
    let off = "on the host of this container: echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status";
    advises(&scratch, "echo 0 >$REGISTRY/status; mount -o remount,bind,ro $REGISTRY; explain", off, RUN);
    // Where nothing is missing, nobody else is needed.
    let mount = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && binfmt-dispatch install aarch64";
    advises(&scratch, "umount $REGISTRY; explain", mount, RUN);
}

#[test]
fn what_is_off_is_turned_on_together() {
    need!(Namespace, Root);
    let scratch = furnish();
    let other = r"printf '%s' ':other:M:18:\xb7\x00::/bin/true:F' >$REGISTRY/register; echo 0 >$REGISTRY/status";
    let all = "echo 1 > /proc/sys/fs/binfmt_misc/status";
    advises(&scratch, &format!("{other}; explain"), all, RUN);
    let both = format!("{all} && echo 1 > /proc/sys/fs/binfmt_misc/other");
    advises(&scratch, &format!("{other}; echo 0 >$REGISTRY/other; explain"), &both, RUN);
    // The remedy works.
    let script = format!("{other}; echo 0 >$REGISTRY/other; {both}; explain");
    let (seen, verdict) = explained(&scratch, &script);
    assert!(verdict["runs"] == true, "{seen}");
}

#[test]
fn below_a_root_directory_without_emulators() {
    need!(Namespace, Root);
    let scratch = furnish();
    let ours = "$TOOL --table table image --no-emulators -o image; ./image register --no-probe --image $PWD/image \
                aarch64 >/dev/null";
    let below = format!("unshare -a aarch64 -- chroot {} /guest", scratch.at("root"));
    // The emulator is installed outside, where the image would find it.
    let script = format!("{ours}; explain --root root /guest");
    advises(&scratch, &script, "binfmt-dispatch install aarch64", format!("binfmt-dispatch {below}"));
    // It may be run without an entry, too.
    let now = format!("binfmt-dispatch {below}");
    advises(&scratch, "explain --root root /guest", "binfmt-dispatch install aarch64", now.as_str());
    let (seen, verdict) = explained(&scratch, "user bash -c 'explain --root root /guest'");
    let remedy = verdict["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("sudo ") && remedy.ends_with(" install aarch64"), "{seen}");
    assert_eq!(verdict["now"], now, "{seen}");
}

#[test]
fn the_interpreter_of_an_entry_without_flag_f_is_outside() {
    need!(Namespace, Root);
    let scratch = furnish();
    scratch.write("interpreter", std::fs::read("/bin/true").unwrap());
    let other = r#"printf '%s' ":other:M:18:\xb7\x00::$PWD/interpreter:" >$REGISTRY/register"#;
    let (seen, verdict) = explained(&scratch, &format!("{other}; explain --root root /guest"));
    let (root, interpreter) = (scratch.at("root"), scratch.at("interpreter"));
    let reason = format!(
        "entry other gets it, and its interpreter {interpreter} is not in {root}, where the kernel looks for it, as the \
         entry lacks flag F"
    );
    assert!(verdict["reason"] == reason, "{seen}");
    assert!(verdict["remedy"] == "binfmt-dispatch install --replace aarch64", "{seen}");
    // Seen from there, the entry is not.
    let script = format!(
        "{other}; cp $TOOL tool; for name in usr proc; do mkdir -p root/$name; mount --bind /$name root/$name; done
        for link in bin lib lib64; do [ ! -e /$link ] || ln -sfn usr/$link root/$link; done
        cp tool table root; chroot root /tool --table table explain --json ./guest"
    );
    let (seen, verdict) = explained(&scratch, &script);
    let reason = "an entry that cannot be seen from here gets it, and its interpreter is not in this root directory, where \
                  the kernel looks for it, as the entry lacks flag F";
    let remedy = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && /tool install --replace aarch64";
    assert!(verdict["reason"] == reason && verdict["remedy"] == remedy && verdict["exit_code"] == 127, "{seen}");
}

#[test]
fn a_private_image_is_one_without_a_test_too() {
    need!(Namespace, Qemu, Guests);
    let scratch = Scratch::new();
    let busybox = std::fs::read(crate::support::guest("arm64").busybox).unwrap();
    scratch.write("guest", &busybox);
    scratch.write("root/guest", &busybox);
    let run = |options: &str, arguments: &str| {
        scratch.shell(&format!("$TOOL unshare {options} -a arm64 -- $TOOL explain --no-probe {arguments}"))
    };
    let seen = run("", "./guest");
    seen.verdict("it runs by entry qemu-aarch64, through binfmt-dispatch", "");
    seen.has("strategy    the emulator is embedded in the private image, unless unshare had --no-emulators");
    let note = "the registered image is private to unshare, and cannot be seen: the plan is that of this command";
    assert!(seen.out().contains(note) && !seen.out().contains("--seed"), "{seen}");
    assert_eq!(run("", "--json ./guest").json()["plan"]["strategy"], "image");
    // Nothing is known of the emulator there.
    let seen = run("--no-emulators", "--root root /guest").exited(0).clone();
    assert!(seen.out().starts_with("/guest: may run in "), "{seen}");
    seen.has("why         if its interpreter has an emulator for it");
}

#[test]
fn a_directory_without_its_emulator() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let below = json!([{"directory": scratch.path(), "emulators": ["/opt/none/qemu", "/opt/none/other"]}]);
    scratch.write("table", Row::new("aarch64", "/bin/true").with("below", below).table());
    Namespace::empty().tool(&scratch, ["--table", "table", "explain", "./guest"]).verdict(
        &format!(
            "it does not run: no emulator for aarch64 below {} at /opt/none/qemu or /opt/none/other",
            scratch.path().display()
        ),
        "put an emulator at /opt/none/qemu, or change `below` in the table",
    );
}

#[test]
fn the_command_is_called_by_its_path_where_its_name_would_not_do() {
    need!(Namespace, Root);
    let scratch = furnish();
    let advice = |prefix: &str| {
        let script = format!(
            "cp $TOOL binfmt-dispatch; chmod 755 binfmt-dispatch
            exec {prefix} ./binfmt-dispatch --table table explain --json ./guest"
        );
        let (_, verdict) = explained(&scratch, &script);
        ["remedy", "now"].map(|field| verdict[field].as_str().unwrap().to_owned())
    };
    let path = scratch.at("binfmt-dispatch");
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups env PATH=/usr/bin:$PWD";
    assert_eq!(advice("env PATH=/usr/bin"), [format!("{path} install aarch64"), format!("{path} run ./guest")]);
    assert_eq!(advice("env PATH=/usr/bin:$PWD"), ["binfmt-dispatch install aarch64", RUN]);
    // sudo does not look there.
    assert_eq!(advice(user), [format!("sudo {path} install aarch64"), RUN.to_owned()]);
}

#[test]
fn a_row_that_is_disabled_in_a_private_image() {
    need!(Namespace, Root);
    let scratch = furnish();
    scratch.write("off", Row::new("aarch64", "/bin/true").with("disabled", json!(true)).table());
    let script = "user $TOOL --table off unshare -a arm64 -- $TOOL --table off explain --json ./guest";
    advises(&scratch, script, "enable it there, then run binfmt-dispatch unshare", Value::Null);
}
