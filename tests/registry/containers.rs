//! Tools that make images of containers and root directories, run by a plain user in `unshare`: the
//! command as it was built, which embeds the installed emulators by itself.

use crate::support::{Namespace, Need, Observation, Scratch, guest, need};

/// Runs a script as a plain user with subordinate ids, who has a home directory and the command
/// `binfmt-dispatch`. Below `context/<architecture>` is what an image of a
/// container gets, the foreign busybox.
#[track_caller]
fn by_a_user(script: &str, architectures: &[&str]) -> Observation {
    Need::are_stated_for(script);
    let scratch = Scratch::new();
    for name in architectures {
        scratch.write(format!("context/{name}/bin/busybox"), std::fs::read(guest(name).busybox).unwrap());
        std::os::unix::fs::symlink("busybox", scratch.at(&format!("context/{name}/bin/sh"))).unwrap();
    }
    scratch.write("passwd", "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n");
    scratch.write("subuid", "user:10000:5000\n");
    scratch.write("subgid", "user:20000:5000\n");
    scratch.write("script", format!("set -e\n{script}"));
    let enter = r"
        for file in passwd subuid subgid; do mount --bind $file /etc/$file; done
        mkdir home bin; ln -s $TOOL bin/binfmt-dispatch; mkdir -m 700 run; mkdir -m 1777 tmp
        chown -R 1000:1000 home run context
        cd home
        exec setpriv --reuid 1000 --regid 1000 --clear-groups env -i PATH=$PATH:$PWD/../bin LC_ALL=C \
            HOME=$PWD XDG_RUNTIME_DIR=$PWD/../run TMPDIR=$PWD/../tmp bash ../script
    ";
    Namespace::empty().mapped().run(&scratch, enter)
}

#[test]
fn buildah_builds_for_foreign_architectures() {
    need!(Namespace, Root, Guests, Qemu, Uidmap, Buildah);
    let script = r#"
        cat >Containerfile <<'END'
FROM scratch
ADD . /
RUN ["/bin/busybox", "sh", "-c", "echo : $(busybox uname -m) $(busybox id -u)"]
RUN busybox touch /file && busybox chown 7:8 /file
USER 3:4
RUN echo : $(busybox id -u) $(busybox id -g) $(busybox stat -c '%u %g' /file)
END
        buildah() { binfmt-dispatch unshare "${options[@]}" -- buildah --storage-driver vfs "$@"; }
        options=()
        for architecture in arm64 riscv64 s390x; do
            buildah bud --isolation chroot --arch $architecture --tag $architecture --file Containerfile \
                ../context/$architecture | grep ^:
            # Those named are embedded sooner than all.
            options=(-a riscv64 -a s390x)
        done
        echo "$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' s390x)"
    "#;
    let expected = ["aarch64", "riscv64", "s390x"].map(|machine| format!(": {machine} 0\n: 3 4 7 8\n")).concat();
    by_a_user(script, &["arm64", "riscv64", "s390x"]).wrote(&(expected + "s390x\n")).exited(0);
}

#[test]
fn mmdebstrap_runs_foreign_programs_in_the_root_directory() {
    need!(Namespace, Root, Guests, Qemu, Uidmap, Mmdebstrap);
    // A mirror without packages suffices. The check that is skipped needs the package arch-test.
    let script = r#"
        mkdir mirror; : >mirror/Packages
        binfmt-dispatch unshare -- mmdebstrap --quiet --mode=root --variant=custom --architectures=arm64 \
            --skip=check/qemu --setup-hook='cp -a ../context/arm64/bin "$1"' \
            --customize-hook='chroot "$1" /bin/busybox uname -m' \
            --customize-hook='chroot "$1" /bin/busybox chown 5:6 /bin/busybox' '' root \
            "deb [trusted=yes] copy:$PWD/mirror ./" 2>&1
        binfmt-dispatch unshare -a arm64 -- stat -c '%u %g' root/bin/busybox
        stat -c '%u %g' root/bin/busybox
    "#;
    by_a_user(script, &["arm64"]).printed("aarch64\n5 6\n10004 20005\n");
}
