//! Tests that concern a whole machine: its registry from the first registration to the removal of
//! the last entry, a kernel without `binfmt_misc`, one with the same registry for all, and one that
//! promises no more memory than it has.

use crate::support::{Namespace, Scratch, image_flags, kernel_since, need};

/// The architectures, as Debian calls them, for an aarch64 host, and for others.
const NAMES: &str = if cfg!(target_arch = "aarch64") { "mipsel riscv64 s390x" } else { "arm64 armhf s390x" };

/// The expected output of the script below: `register`, the entries, `status`, the programs and
/// `explain`, and in the end no entries.
#[cfg(target_arch = "aarch64")]
const REGISTERED: &str = "\
ARCHITECTURE RESULT
mipsel ok
riscv64 ok
s390x ok
qemu-mipsel:flags: FLAGS
qemu-riscv64:flags: FLAGS
qemu-s390x:flags: FLAGS
1
3
mips
entry qemu-mipsel takes it
through binfmt-dispatch
riscv64
entry qemu-riscv64 takes it
through binfmt-dispatch
s390x
entry qemu-s390x takes it
through binfmt-dispatch
register
status
126
";
#[cfg(not(target_arch = "aarch64"))]
const REGISTERED: &str = "\
ARCHITECTURE RESULT
aarch64 ok
arm ok
s390x ok
qemu-aarch64:flags: FLAGS
qemu-arm:flags: FLAGS
qemu-arm-osabi65:flags: FLAGS
qemu-arm-osabi97:flags: FLAGS
qemu-s390x:flags: FLAGS
1
5
aarch64
entry qemu-aarch64 takes it
through binfmt-dispatch
armv7l
entry qemu-arm takes it
through binfmt-dispatch
s390x
entry qemu-s390x takes it
through binfmt-dispatch
register
status
126
";

#[test]
fn what_is_registered_runs_until_it_is_unregistered() {
    need!(Namespace, Guests, Qemu);
    let scratch = Scratch::new();
    let script = r#"set -e
        $TOOL image --no-site --seed 0 -o image $names
        ./image register --image "$PWD/image" $names | awk '{ print $1, $2 }'
        cd $REGISTRY
        grep -H flags *-*
        cd - >/dev/null
        ./image status --all >status
        grep -c 'binfmt_misc on /proc/sys/fs/binfmt_misc: enabled' status
        grep -c ' ours .* FLAGS *runs .*/image *embedded in the image$' status
        for name in $names; do
            program=$GUESTS/$name/bin/busybox
            $program uname -m
            ./image explain $program >explained
            grep -o 'entry qemu-[a-z0-9]* takes it, with .*/image (flags FLAGS)' explained | cut -d, -f1
            grep -o 'through binfmt-dispatch' explained
        done
        ./image unregister >/dev/null
        ls $REGISTRY
        $GUESTS/$FOREIGN/bin/busybox uname -m || echo $?"#;
    let script = format!("names='{NAMES}'\n{script}").replace("FLAGS", image_flags());
    let seen = Namespace::empty().run(&scratch, &script);
    assert_eq!((seen.code(), seen.out()), (0, &*REGISTERED.replace("FLAGS", image_flags())), "{seen}");
    assert!(seen.err().contains("Exec format error"), "{seen}");
}

#[test]
fn a_registry_of_ones_own_is_there_or_it_is_said_that_there_is_none() {
    need!(Namespace, Guests, Qemu);
    let script = "exec $TOOL unshare -a s390x -- $GUESTS/s390x/bin/busybox uname -m";
    let seen = Namespace::empty().run(&Scratch::new(), script);
    if kernel_since(6, 7) {
        seen.printed("s390x\n");
    } else {
        assert!(seen.code() == 1 && seen.stdout.is_empty(), "{seen}");
        assert!(seen.err().contains(" has one binfmt_misc for all, "), "{seen}");
    }
}

/// Removes `binfmt_misc` from the kernel while the script runs.
const WITHOUT_BINFMT_MISC: &str = r"
back() {
    busybox insmod /binfmt_misc.ko
    nsenter --target 1 --mount mount -t binfmt_misc binfmt_misc $REGISTRY
}
trap back EXIT
while umount $REGISTRY 2>/dev/null; do :; done
nsenter --target 1 --mount umount $REGISTRY
busybox rmmod binfmt_misc || exit 98
";

#[test]
fn a_kernel_without_binfmt_misc_is_told_and_run_needs_none() {
    need!(Namespace, Guests, Qemu, Disposable);
    let scratch = Scratch::new();
    let script = format!(
        "$TOOL image --no-site --seed 0 -o image s390x || exit
        {WITHOUT_BINFMT_MISC}
        ./image status; echo $?
        ./image register --image \"$PWD/image\"; echo $?
        ./image run $GUESTS/s390x/bin/busybox uname -m"
    );
    let seen = Namespace::empty().run(&scratch, &script);
    assert_eq!((seen.code(), seen.out()), (0, "1\n1\ns390x\n"), "{seen}");
    let line = "binfmt-dispatch: this kernel has no binfmt_misc: as root, run `modprobe binfmt_misc`";
    assert_eq!(seen.err().lines().collect::<Vec<_>>(), [line; 2], "{seen}");
}

#[test]
fn without_dev_programs_are_registered_and_run() {
    need!(Namespace, Guests, Qemu);
    // The emulator and the probe are files in memory. Without /dev their descriptors have no names
    // in /dev/fd.
    let script = "$TOOL image --no-site --seed 0 -o image s390x || exit
        mount -t tmpfs none /dev
        ./image run $GUESTS/s390x/bin/busybox uname -m
        ./image register --image \"$PWD/image\" s390x >shown || cat shown
        $GUESTS/s390x/bin/busybox uname -m";
    Namespace::empty().run(&Scratch::new(), script).printed("s390x\ns390x\n");
}
