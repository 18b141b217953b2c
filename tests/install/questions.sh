# What each answer of docs/questions.md needs: after a line with the question, the commands that make
# the state in which the shown commands run. The directory is empty, and nothing is registered.
dynamic() { echo 'int main() { return 0; }' >main.c; aarch64-linux-gnu-gcc -o "$1" main.c || exit 95; rm main.c; }
user() { printf '%s:/bin/sh\n' root:x:0:0::/ user:x:1000:1000::/ >/etc/passwd; }

## Exec format error: what is wrong?
cp $GUESTS/arm64/bin/busybox app

## The file is there. Why "No such file or directory"?
dynamic app; cp app hello; rm -rf /usr/aarch64-linux-gnu; install arm64
printf '#!/usr/bin/python4\n' >tool.py; chmod +x tool.py

## I installed QEMU or box64, and now it does not run any more. Which entry gets my program?
cp $GUESTS/arm64/bin/busybox app
install arm64
entry box-arm64 /usr/bin/box64

## Does it run in an empty container or chroot?
cp $GUESTS/arm64/bin/busybox app; mkdir -p root; cp app root/busybox
install arm64

## It runs here. Why not in a chroot?
cp $GUESTS/arm64/bin/busybox app
entry qemu-aarch64 /usr/bin/qemu-aarch64-static P
mkdir -p root/{bin,proc}; cp app root/bin

## sudo in a foreign container does not become root. Why?
cp $GUESTS/arm64/bin/busybox su; chmod u+s su
entry qemu-aarch64 /usr/bin/qemu-aarch64-static POF

## Is it safe to register QEMU with flag C?
printf ':qemu-aarch64:M:18:\\xb7\\x00:\\xff\\xff:/usr/bin/qemu-aarch64-static:OCF\n' >qemu.conf

## The program sees its path as argv[0], not the name that it was called by. Why?
cp $GUESTS/arm64/bin/busybox app
entry qemu-aarch64 /usr/bin/qemu-aarch64-static F

## Is everything that I registered in effect?
install arm64 s390x
echo 0 >$REGISTRY/qemu-s390x

## Could an entry take over the programs of this machine?
printf ':mine:M::\\x7fELF\\x02\\x01\\x01:\\xff\\xff\\xff\\xff\\xff\\xff\\xff:/usr/bin/qemu-aarch64-static:F\n' >mine.conf

## Does this machine run 32-bit programs by itself?
cp ../i386 app

## Debian's QEMU has the entries. How do I take them over?
entry qemu-aarch64 /usr/libexec/qemu-binfmt/aarch64-binfmt-P
entry qemu-s390x /usr/libexec/qemu-binfmt/s390x-binfmt-P

## What would uninstalling remove?
install arm64 s390x
entry box-i386 /usr/bin/box86

## Which version of QEMU runs my program?
cp $GUESTS/arm64/bin/busybox app
install arm64

## I upgraded QEMU. Is the new version in use?
install arm64
cp /usr/bin/qemu-s390x-static /usr/bin/qemu-aarch64-static

## One bad line makes systemd-binfmt fail. Which one?
{
    echo ':i386:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00::/usr/bin/env:'
    echo 'qemu-arm:M::\x7fELF::/usr/bin/qemu-arm-static:F'
    echo ':qemu-cris:M:18:\x4c\x00:\xff\xff:/usr/bin/qemu-cris-gone:F'
} >bad.conf

## Where does a dynamic program find its libraries?
dynamic app
install arm64

## Why does this AppImage not run?
cp $GUESTS/arm64/bin/busybox tool.AppImage
printf 'AI\002' | dd of=tool.AppImage bs=1 seek=8 conv=notrunc 2>/dev/null
# Debian 12's.
printf ':qemu-aarch64:%s:%s:%s:/usr/bin/qemu-aarch64-static:OPF' \
    'M:' '\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' \
    '\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff' >$REGISTRY/register

## Does a file run that has no name, as a memfd or a descriptor?
cp $GUESTS/arm64/bin/busybox app
install arm64

## Does /proc/self/exe lead to the program or to the emulator?
cp $GUESTS/arm64/bin/busybox busybox
install arm64

## Which CPU does the program get, and how do I change that?
cp $GUESTS/arm64/bin/busybox busybox
install arm64

## Can the programs of one directory have another emulator, or another CPU?
mkdir -p /usr/lib/legacy /usr/local/lib/qemu-7.2 /etc/binfmt-dispatch
cp $GUESTS/arm64/bin/busybox /usr/lib/legacy/app
cp /usr/bin/qemu-aarch64-static /usr/local/lib/qemu-7.2/qemu-aarch64
cat >/etc/binfmt-dispatch/legacy.json <<'EOF'
{"version": 1, "architectures": [{"name": "aarch64", "below": [
  {"directory": "/usr/lib/legacy", "emulators": ["/usr/local/lib/qemu-7.2/qemu-aarch64"], "cpu": "cortex-a57"}]}]}
EOF

## How do I run one program without changing the system?
cp $GUESTS/s390x/bin/busybox busybox-s390x

## How do I build a container for another architecture, without root and without an entry?
cp $GUESTS/arm64/bin/busybox .; mkdir home run; chown 1000:1000 home run
printf 'FROM scratch\nADD busybox /bin/\nRUN ["/bin/busybox", "uname", "-m"]\n' >Containerfile
user; echo user:10000:5000 | tee /etc/subuid >/etc/subgid
export HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/run TMPDIR=$PWD/run STORAGE_DRIVER=vfs

## buildah says "insufficient UIDs or GIDs", or mmdebstrap fails at chown. Why?
user; : >/etc/subuid; : >/etc/subgid

## This system has no systemd. How are the entries made at boot?
:

## How do I turn it off, for one architecture or for all?
install arm64 s390x

## Can I forbid the programs of one architecture?
cp $GUESTS/armhf/bin/busybox hello; mkdir /etc/binfmt-dispatch
echo '{"version": 1, "architectures": [{"name": "arm", "disabled": true}]}' >/etc/binfmt-dispatch/off.json

## Can a program read all this?
install arm64 s390x
cp $GUESTS/arm64/bin/busybox app

## What kind of file is this?
echo '<!DOCTYPE html><html><body>404 Not Found</body></html>' >download
