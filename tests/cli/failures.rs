//! What each command says in each situation in which it fails: `failures.sh` brings them about, and
//! `failures.golden` has every word. Then the situations that take a namespace of their own.

use crate::support::{Namespace, Scratch, need};
use serde_json::json;

use crate::table::aarch64;

/// Runs a script as a plain user after `prepare`, with a copy of the tool in its directory.
const AS_USER: &str = "cp $TOOL tool; chmod 755 tool
    user() { setpriv --reuid 1000 --regid 1000 --clear-groups ./tool \"$@\"; }\n";

/// The output of the script.
const GOLDEN: &str = include_str!("failures.golden");

#[test]
fn each_command_says_what_is_wrong_and_what_to_do() {
    need!(Namespace, Root);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let seen = Namespace::empty().mapped().run(&scratch, include_str!("failures.sh"));
    let text = seen.out().replace(scratch.path().to_str().unwrap(), "DIR");
    let known = std::env::var_os("BINFMT_DISPATCH_GOLDEN").map(|directory| {
        std::fs::write(std::path::Path::new(&directory).join("failures.golden"), &text).unwrap();
    });
    if known.is_none() {
        for (number, (line, expected)) in (1..).zip(text.lines().zip(GOLDEN.lines())) {
            assert_eq!(line, expected, "tests/cli/failures.golden:{number}");
        }
        assert_eq!(text.lines().count(), GOLDEN.lines().count(), "{text}");
    }
    assert!(seen.err().is_empty(), "{seen}");
}

#[test]
fn nothing_is_mounted() {
    need!(Namespace);
    let scratch = Scratch::new();
    let line = "/: no binfmt_misc is mounted: as root, run `mount -t binfmt_misc binfmt_misc /`, or use \
                `binfmt-dispatch unshare`";
    Namespace::empty().tool(&scratch, ["status", "--mount", "/"]).refused(1, line);
}

#[test]
fn this_machines_programs_are_not_registered() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.tool(["image", "--no-emulators", "-o", "i"]).succeeded();
    let name = std::env::consts::ARCH;
    let run = Namespace::empty().tool(&scratch, ["register", "--image", "i", name]);
    let line = format!("{name}: not registered, as this machine runs such programs natively: leave it out");
    assert_eq!(run.exited(1).err(), format!("binfmt-dispatch: {line}\n"), "{run}");
}

#[test]
fn there_is_no_image() {
    need!(Namespace);
    let scratch = Scratch::new();
    let register = |image: &str| Namespace::empty().tool(&scratch, ["register", "--image", image, "arm64"]);
    let absent = scratch.at("absent");
    let line = format!("{absent}: no such image: make it with `binfmt-dispatch image -o {absent}`");
    register("absent").refused(1, &line);
    register("/bin/true").refused(1, "/bin/true: is not an image: make one with `binfmt-dispatch image -o FILE`");
}

#[test]
fn a_registered_emulator_stopped_to_work() {
    need!(Namespace);
    let scratch = Scratch::new();
    aarch64(&scratch, "/bin/false", json!({}));
    let script = "$TOOL --table table image --no-emulators -o i
        register() { $TOOL --table table register --image i arm64 \"$@\"; }
        register --no-probe >/dev/null; register >/dev/null";
    let line = "aarch64: registered before, but its probe exited with 1: use `--replace`";
    Namespace::empty().run(&scratch, script).refused(1, line);
}

#[test]
fn namespaces_are_forbidden() {
    need!(Namespace);
    let scratch = Scratch::new();
    let script = "echo 0 >/proc/sys/user/max_user_namespaces; setpriv --bounding-set=-sys_admin $TOOL unshare -- true";
    Namespace::empty().run(&scratch, script).refused(
        1,
        "user.max_user_namespaces forbids user namespaces: as root, run `sysctl -w user.max_user_namespaces=15000`",
    );
}

#[test]
fn namespaces_are_forbidden_to_plain_users() {
    need!(Namespace, Root);
    let scratch = Scratch::new();
    for (setting, forbidding, allowing) in
        [("unprivileged_userns_clone", "0", "1"), ("apparmor_restrict_unprivileged_userns", "1", "0")]
    {
        // Kernels of distributions have these settings. Here a chroot forbids the namespaces.
        let run = |value: &str| {
            let script = format!(
                "{AS_USER}
                mkdir root; mount --rbind / root; mount -t tmpfs none root/proc/sys/kernel
                echo {value} >root/proc/sys/kernel/{setting}
                exec chroot root setpriv --reuid 1000 --regid 1000 --clear-groups $PWD/tool unshare -- true"
            );
            let seen = Namespace::empty().mapped().run(&scratch, &script);
            scratch.clear();
            seen
        };
        let remedy = format!("as root, run `sysctl -w kernel.{setting}={allowing}`");
        run(forbidding).refused(1, &format!("kernel.{setting} forbids user namespaces: {remedy}"));
        let seen = run(allowing);
        assert!(seen.exited(1).err().contains("cannot make a user namespace: leave the container, "), "{seen}");
    }
}

#[test]
fn programs_in_memory_are_forbidden() {
    need!(Namespace, Kernel(6, 7));
    let scratch = Scratch::new();
    let script = "unshare --pid --fork --mount-proc bash -c '
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        echo 2 >/proc/sys/vm/memfd_noexec; exec \"$0\" unshare -- true' $TOOL";
    let line = "vm.memfd_noexec forbids programs in memory: as root, run `sysctl -w vm.memfd_noexec=1`";
    Namespace::empty().run(&scratch, script).refused(1, line);
}

#[test]
fn a_step_is_forbidden() {
    need!(Namespace);
    let scratch = Scratch::new();
    let script = "mkdir -p root; mount --rbind / root; exec chroot root/ $TOOL unshare -- true";
    Namespace::empty().run(&scratch, script).refused(
        1,
        "cannot make a user namespace: leave the container, sandbox or chroot that forbids it: operation not permitted",
    );
}

#[test]
fn no_emulator_at_all() {
    need!(Namespace);
    let scratch = Scratch::new();
    let rows = dispatch_table::ArchTable::builtin();
    let rows: Vec<_> =
        rows.architectures().iter().map(|row| json!({"name": row.name, "emulators": ["/no/such"]})).collect();
    scratch.write("table", json!({"version": 1, "architectures": rows}).to_string());
    scratch.tool(["--table", "table", "unshare", "--", "true"]).refused(
        1,
        "nothing was registered: install an emulator; `binfmt-dispatch list` shows which ones are supported",
    );
}

#[test]
fn files_of_somebody_else() {
    need!(Namespace, Root);
    let scratch = Scratch::new();
    scratch.write("secret", "{}");
    scratch.mode("secret", 0o600);
    let user = |command: &str| Namespace::empty().mapped().run(&scratch, &format!("{AS_USER}user {command}"));
    user("--table secret list").refused(2, "secret: cannot read: make it readable or become root: permission denied");
    user("image --no-emulators -o i")
        .refused(1, "i: cannot write: choose another directory or become root: permission denied");
}
