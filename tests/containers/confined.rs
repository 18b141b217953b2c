//! Containers that may do too little, and kernels that refuse: one line with the remedy, the exit
//! code as documented, and nothing registered.

use crate::container::{codes, image, image_saying, run, run_in, run_with, warned};
use crate::support::{Namespace, Scratch, need};

const DIRECTORY: &str = "/proc/sys/fs/binfmt_misc";
const PRIVILEGED: &str = "start the container as root, with `--privileged`";

/// Asserts that the only line on standard error is `line`, and that nothing was registered: the last
/// line on standard output is empty.
#[track_caller]
fn refuses(script: &str, code: &str, line: &str) {
    let seen = run(&Scratch::new(), &format!("{script}\nentries"));
    assert_eq!(seen.out(), format!("code {code}\n\n"), "{seen}");
    assert_eq!(seen.err(), format!("binfmt-dispatch: {line}\n"), "{seen}");
}

/// Starts the container with other mounts: `$1` is a script that makes them.
const MOUNTED: &str = r#"
    mounted() {
        unshare --mount --pid --fork bash -c "mount -t proc proc root/proc && $1"' && shift &&
            exec chroot root /usr/bin/binfmt-dispatch container "$@"' bash "$@"
    }
"#;

#[test]
fn what_is_mounted_read_only_is_not_written_to() {
    need!(Namespace, Qemu);
    let script = format!(
        "{MOUNTED} run mounted 'mount -t binfmt_misc none root{DIRECTORY} && mount -o remount,bind,ro root{DIRECTORY}' \
         --install all"
    );
    refuses(&script, "1", &format!("{DIRECTORY}: cannot be written: {PRIVILEGED}: read-only file system"));
}

#[test]
fn a_container_without_the_capability_cannot_mount() {
    need!(Namespace, Qemu);
    let script = "unprivileged() { unshare --mount --pid --fork --mount-proc=root/proc \
        setpriv --bounding-set -sys_admin chroot root /usr/bin/binfmt-dispatch container \"$@\"; }";
    let line = format!("{DIRECTORY}: binfmt_misc is not mounted there, and cannot be: {PRIVILEGED}");
    refuses(&format!("{script}\nrun unprivileged --install all"), "1", &format!("{line}: operation not permitted"));
    refuses(&format!("{script}\nrun unprivileged --uninstall all"), "1", &format!("{line}: operation not permitted"));
    // What runs can be told all the same.
    let seen = run(&Scratch::new(), &format!("{script}\ncontainer --install arm64 >log 2>&1; run unprivileged"));
    assert_eq!(codes(seen.out()), ["0"], "{seen}");
    assert!(seen.out().contains("\"linux/arm64\"") && seen.out().contains("\"emulators\": []"), "{seen}");
    warned(&seen, &format!("the entries cannot be seen: {line}: operation not permitted"));
}

#[test]
fn the_capability_to_mount_is_enough() {
    need!(Namespace, Qemu);
    // As a runtime makes it for a container that is not privileged, with CAP_SYS_ADMIN added:
    // /proc/sys is read-only. chroot(1) needs the other capability.
    let script = "unshare --mount --pid --fork --mount-proc=root/proc bash -c '
            mount --bind root/proc/sys root/proc/sys && mount -o remount,bind,ro root/proc/sys &&
            exec setpriv --bounding-set -all,+sys_admin,+sys_chroot \
                chroot root /usr/bin/binfmt-dispatch container --install all' >log; echo code $?; entries";
    let seen = run(&Scratch::new(), script);
    let all = "qemu-aarch64 qemu-arm qemu-arm-osabi65 qemu-arm-osabi97 qemu-s390x ";
    assert_eq!(seen.out(), format!("code 0\n{all}\n"), "{seen}");
}

#[test]
fn where_proc_is_masked_there_is_no_place_to_mount() {
    need!(Namespace, Qemu);
    let line = format!(
        "{DIRECTORY}: there is no such directory to mount binfmt_misc on: {PRIVILEGED}, and without anything over /proc"
    );
    refuses(&format!("{MOUNTED} run mounted 'mount -t tmpfs none root/proc/sys' --install all"), "1", &line);
    refuses("run chroot root /usr/bin/binfmt-dispatch container --install all", "1", &line);
    // Another place will do, even without a /proc.
    let seen = run(
        &Scratch::new(),
        "mkdir root/m; run chroot root /usr/bin/binfmt-dispatch container --mount /m --install arm64 | tail -1; entries",
    );
    assert_eq!(seen.out(), "code 0\nqemu-aarch64 \n", "{seen}");
}

#[test]
fn entries_that_would_end_with_the_container_are_refused() {
    need!(Namespace, Qemu);
    let line = "binfmt_misc is mounted in this container alone, and its entries end with the container: on the host, \
                as root, run `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc`, and start it again";
    refuses("umount $REGISTRY; run container --install all", "1", line);
    // A process beside others in a container may use them as long as the container lives.
    let script = "umount $REGISTRY
        unshare --mount bash -c 'mount --rbind /proc root/proc; chroot root /usr/bin/binfmt-dispatch container \
            --install arm64 >log; echo code $?; chroot root /usr/bin/binfmt-dispatch status | head -1'";
    let seen = run(&Scratch::new(), script);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(seen.out(), format!("code 0\n1 architecture runs through binfmt-dispatch {version}.\n"), "{seen}");
    warned(&seen, line);
    // A volume that propagates mounts to the host keeps them.
    let script = "umount $REGISTRY; mkdir -p volume root/volume; mount --bind volume volume; mount --make-shared volume
        mount --rbind volume root/volume
        volume() {
            unshare --mount --propagation unchanged --pid --fork --mount-proc=root/proc \
                chroot root /usr/bin/binfmt-dispatch container --mount /volume \"$@\"
        }
        quiet volume --install arm64; ls volume; quiet volume --install all
        quiet volume --uninstall all; ls volume";
    let seen = run(&Scratch::new(), script);
    let left = "register\nstatus\n";
    assert_eq!(seen.out(), format!("code 0\nqemu-aarch64\n{left}code 0\ncode 0\n{left}"), "{seen}");
}

#[test]
fn a_kernel_without_the_module_is_named() {
    need!(Namespace, Qemu, Strace);
    let script = "umount $REGISTRY
        run strace -o /dev/null -e inject=fsopen:error=ENODEV root/usr/bin/binfmt-dispatch container --install all
        mount -t binfmt_misc none $REGISTRY";
    refuses(script, "1", "this kernel has no binfmt_misc: on the host, as root, run `modprobe binfmt_misc`");
}

#[test]
fn a_limit_on_interpreters_leaves_the_entries_as_they_were() {
    need!(Namespace, Compiler, Strace);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let [one, two] = ["one", "two"].map(image_saying);
    // The kernel refuses the entry for the time of the change, and then the lasting one: the old entry
    // is restored, and the kernel opens the file of this process.
    let script = r"
        cp $IMAGE one; cp $OTHER two; ./one container --install all >log 2>&1; ls $REGISTRY >before
        for first in 3 4; do
            run strace -o /dev/null -P $REGISTRY/register -e inject=write:error=ENOSPC:when=$first \
                ./two container --install all
            ./guest; ls $REGISTRY | cmp - before
        done
    ";
    let seen = run_in(&Namespace::empty(), &scratch, (&one, &two), script);
    assert_eq!(codes(seen.out()), ["1", "1"], "{seen}");
    let said: Vec<&str> = seen.out().lines().filter(|line| !line.starts_with("code ")).collect();
    assert_eq!(said, ["one", "two"], "{seen}");
    let line = "binfmt-dispatch: qemu-aarch64: the kernel's limit on interpreters is reached: remove entries, or, as \
                root, raise user.max_binfmt_misc_interpreters with sysctl\n";
    assert_eq!(seen.err(), line.repeat(2), "{seen}");
}

#[test]
fn a_wrong_request_changes_nothing() {
    need!(Namespace, Qemu);
    let names =
        |option: &str| format!("{option} names no platform: name some, as in `{option} arm64,riscv64`, or `all`");
    refuses("run container --install arm64,z80", "2", "unknown architecture z80: see `binfmt-dispatch list`");
    refuses("run container --install ,", "2", &names("--install"));
    refuses("run container --uninstall ' '", "2", &names("--uninstall"));
    refuses("run container --uninstall z80", "2", "unknown architecture z80: see `binfmt-dispatch list`");
    refuses(
        "echo 0 >$REGISTRY/status; run container --install all",
        "1",
        &format!("all entries are turned off: as root, run `echo 1 > {DIRECTORY}/status`"),
    );
    let seen = run(&Scratch::new(), "run container --install all --uninstall 'qemu-[' ; run container --report x");
    assert_eq!(codes(seen.out()), ["2", "2"], "{seen}");
    assert!(seen.err().starts_with("binfmt-dispatch: --uninstall: qemu-[: is no pattern: "), "{seen}");
}

#[test]
fn an_architecture_without_an_emulator_does_not_keep_the_others() {
    need!(Namespace, Qemu);
    let seen = run(&Scratch::new(), "quiet container --install arm64,riscv64; entries");
    assert_eq!(seen.out(), "code 127\nqemu-aarch64 \n", "{seen}");
    let line = "binfmt-dispatch: riscv64: the image has no emulator for it: leave it out, or use another image; \
                `binfmt-dispatch list --image` shows what it has\n";
    assert_eq!(seen.err(), line.to_owned() + "binfmt-dispatch: aarch64: installed\n", "{seen}");
}

#[test]
fn the_bare_command_has_nothing_to_register() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let tool_itself = std::path::PathBuf::from(crate::support::TOOL);
    let seen = run_with(&scratch, (&tool_itself, &image()), "run container --install all; run container --version");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(seen.out(), format!("code 125\nbinfmt-dispatch/{version}\ncode 0\n"), "{seen}");
    let line = "this program is not in an image, which embeds emulators: make one with `binfmt-dispatch image`";
    assert_eq!(seen.err(), format!("binfmt-dispatch: {line}\n"), "{seen}");
}
