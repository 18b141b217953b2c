//! Tools that make images of containers and root directories, run by a plain user in `unshare`: the
//! command as it was built, which embeds the installed emulators by itself.

use std::collections::BTreeSet;

use crate::support::{Namespace, Need, Observation, Scratch, guest, need, packages};

/// A scratch directory with what images of containers get below `context/<architecture>`, the
/// foreign busybox.
fn with_busybox(architectures: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    for name in architectures {
        scratch.write(format!("context/{name}/bin/busybox"), std::fs::read(guest(name).busybox).unwrap());
        std::os::unix::fs::symlink("busybox", scratch.at(&format!("context/{name}/bin/sh"))).unwrap();
    }
    scratch
}

/// Runs a script as a plain user with subordinate ids, who has a home directory and the command
/// `binfmt-dispatch`. The directory `context` is theirs.
#[track_caller]
fn by_a_user(scratch: &Scratch, seconds: u32, script: &str) -> Observation {
    Need::are_stated_for(script);
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
    Namespace::empty().mapped().within(seconds).run(scratch, enter)
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
    by_a_user(&with_busybox(&["arm64", "riscv64", "s390x"]), 60, script).wrote(&(expected + "s390x\n")).exited(0);
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
    by_a_user(&with_busybox(&["arm64"]), 60, script).printed("aarch64\n5 6\n10004 20005\n");
}

/// Packages of every architecture are unpacked by mmdebstrap, as a root directory without an
/// emulator, and one more is installed there by the architecture's own dpkg.
#[test]
fn one_build_is_for_all_platforms() {
    need!(Namespace, Root, Qemu, Uidmap, Buildah, Mmdebstrap, Packages);
    let scratch = Scratch::new();
    let platforms = packages::platforms();
    for platform in &platforms {
        // The build knows a platform by this word, and mmdebstrap by Debian's name.
        let directory = format!("context/{}", platform.word());
        scratch.write(format!("{directory}/debian"), platform.debian);
        let mut index = String::new();
        for package in platform.packages() {
            let name = package.file_name().unwrap().to_str().unwrap();
            let place = scratch.write(format!("{directory}/{name}"), std::fs::read(&package).unwrap());
            index += &packages::paragraph(&place);
        }
        scratch.write(format!("{directory}/Packages"), index);
    }
    let script = r#"
        cat >Containerfile <<'END'
FROM scratch
ARG TARGETARCH
ARG TARGETVARIANT
ADD ${TARGETARCH}${TARGETVARIANT}/base.tar /
COPY ${TARGETARCH}${TARGETVARIANT}/hello_*.deb /
RUN ["/bin/sh", "-c", "ls /usr/bin/qemu*; dpkg --force-depends --install /hello_*.deb && echo : $(hello) $(uname -m)"]
END
        for mirror in ../context/*; do
            binfmt-dispatch unshare --no-emulators -- mmdebstrap --quiet --mode=root --variant=extract \
                --architectures=$(cat $mirror/debian) --skip=check/qemu \
                --include=base-files,coreutils,dash,diffutils,dpkg,libc-bin,tar '' $mirror/base.tar \
                "deb [trusted=yes] copy:$(realpath $mirror) ./" 2>log || { cat log; exit 1; }
        done
        binfmt-dispatch unshare $ARCH -- buildah --storage-driver vfs bud --isolation chroot \
            --platform $PLATFORMS --manifest all --file Containerfile ../context >log 2>&1 || { cat log; exit 1; }
        grep -e ^: -e qemu- log | sort
        buildah --storage-driver vfs manifest inspect all | grep -c '"architecture"'
    "#;
    let names: Vec<&str> = platforms.iter().map(|platform| platform.name).collect();
    let greeting = |platform: &packages::Platform| format!(": Hello, world! {}\n", platform.machine);
    let greetings: BTreeSet<String> = platforms.iter().map(greeting).collect();
    let expected: String = greetings.into_iter().collect();
    let architectures: String = names.iter().map(|name| format!("-a {name} ")).collect();
    let script = script.replace("$PLATFORMS", &names.join(",")).replace("$ARCH", &architectures);
    by_a_user(&scratch, 300, &script).wrote(&format!("{expected}{}\n", names.len())).exited(0);
}
