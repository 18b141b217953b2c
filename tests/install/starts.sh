# What each section needs of those in docs/start-*.md whose commands starts.rs runs, as in questions.sh.
# All emulators would take long.
few() { find /usr/bin -name 'qemu-*' -regextype egrep ! -regex '.*-(aarch64|riscv64|s390x)(-static)?' -delete; }
# A context for builders. Old ones do not say TARGETARCH without --platform.
context() {
    few
    for guest in arm64 riscv64 s390x; do cp $GUESTS/$guest/bin/busybox busybox-$guest; done
    printf '%s\n' 'FROM scratch' "ARG TARGETARCH=$1" 'ADD busybox-${TARGETARCH} /bin/busybox' \
        'RUN ["/bin/busybox", "uname", "-m"]' >Containerfile
    mkdir home run; chown 1000:1000 home run
    export HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/run TMPDIR=$PWD/run STORAGE_DRIVER=vfs
}
# crun wants cgroups as systemd makes them.
in_cgroups() { unshare --mount --cgroup sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' sh "$@" 2>&1; }

## Jobs that may not register anything
cp $GUESTS/arm64/bin/busybox busybox
# The job's own command.
printf '#!/bin/sh\nexec ./busybox uname -m\n' >/usr/bin/make; chmod +x /usr/bin/make

## Machines of your own
few
entry qemu-aarch64 /bin/cat F

## I maintain a distribution
few
cp -r $PROJECT/binfmt.d .
export tool=$TOOL

## I package an emulator
few
$TOOL generate --direct >qemu-user.conf

## Let it be found
mount -t tmpfs tmpfs /opt; mkdir -p /opt/qemu-11/bin
cp $(command -v qemu-aarch64-static qemu-aarch64 | head -n 1) /opt/qemu-11/bin/qemu-aarch64
rm /usr/bin/qemu-*

## Choose a faster CPU model
:

## On a machine where you are root
context riscv64
# Root's images are not those of the machine.
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$HOME" "$TMPDIR" >storage.conf
export CONTAINERS_STORAGE_CONF=$PWD/storage.conf
run_as_root() { in_cgroups bash -c "$1"; }

## As a plain user
context arm64
printf '%s:/bin/sh\n' root:x:0:0::/ user:x:1000:1000::/ >/etc/passwd
echo user:10000:5000 | tee /etc/subuid >/etc/subgid
run_as_user() { in_cgroups setpriv --reuid 1000 --regid 1000 --clear-groups bash -c "$1"; }
