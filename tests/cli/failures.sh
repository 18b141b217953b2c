# Each command in each situation in which it fails. `say` prints the command, what it prints, and its
# exit code. The files and users of this namespace alone are changed.
cp $TOOL binfmt-dispatch; chmod 755 . binfmt-dispatch; PATH=$PATH:$PWD
title() { echo; echo "== $*"; }
say() { echo "\$ $*"; eval "$*" </dev/null 2>&1; echo "code $?"; }
user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
all="explain run list generate lint image install uninstall register unregister status unshare tune container"
here=$PWD
mkdir place small closed; chmod 755 place; chmod 700 closed
cp guest place; chmod 711 place/guest
binfmt-dispatch image --no-emulators --seed 1 -o i
# Its payload ends too early; then one byte of the payload's header is another one.
head -c 90000 i >short; cp i changed; printf x | dd of=changed bs=1 seek=65636 conv=notrunc 2>/dev/null
chmod 755 i short changed
echo '{"version": 1, "architectures": [{"name": "arm64"}]}' >broken
echo '{"version": 1, "architectures": [{"name": "aarch64", "disabled": true}]}' >off
echo '{}' >secret; chmod 600 secret
mount -t tmpfs -o size=16k none small

title 'an option that does not exist'
for command in $all; do say binfmt-dispatch $command --no-such; done
title 'nothing is named'
for command in explain run image tune; do say binfmt-dispatch $command; done
title 'options that exclude each other, or need another'
say binfmt-dispatch --json
say binfmt-dispatch --explain ./guest list
say binfmt-dispatch generate --all
say binfmt-dispatch generate --direct --image i
say binfmt-dispatch image --no-emulators --from . -o j
say binfmt-dispatch image --no-emulators -o j arm64
say binfmt-dispatch image --no-emulators --sources s -o j
say binfmt-dispatch image --from arm64=guest --sources j -o j
say binfmt-dispatch install --only
say binfmt-dispatch register --credentials --no-credentials
say binfmt-dispatch unregister --all arm64
say binfmt-dispatch tune --compare --write --root / arm64
say binfmt-dispatch install --prefix relative
say binfmt-dispatch run --cpu "''" ./guest
say binfmt-dispatch run -L /no/such ./guest
say binfmt-dispatch generate --format elf
title 'an unknown architecture'
for command in list generate "image -o j" "install --root place" "register --image i" unregister status; do
    say binfmt-dispatch $command aarch65
done
say binfmt-dispatch explain --host aarch65 ./guest
say binfmt-dispatch lint --host aarch65 i
say binfmt-dispatch unshare --arch aarch65 true
say binfmt-dispatch tune --root / aarch65
title 'a file that is not there'
say binfmt-dispatch explain ./absent
say binfmt-dispatch explain absent
say binfmt-dispatch explain --root absent /guest
say binfmt-dispatch run ./absent
say binfmt-dispatch run absent
say binfmt-dispatch list --image absent
say binfmt-dispatch generate --image absent
say binfmt-dispatch lint absent
say binfmt-dispatch lint --root absent
say binfmt-dispatch image --from absent -o j
say binfmt-dispatch image --from arm64=absent -o j arm64
say binfmt-dispatch image --no-emulators -o absent/j
say binfmt-dispatch image --from arm64=guest --sources absent/s -o j
say binfmt-dispatch install --root absent --from absent
say binfmt-dispatch generate --output absent arm64
say binfmt-dispatch register --image absent
say binfmt-dispatch unshare absent
say binfmt-dispatch tune --root absent arm64
say binfmt-dispatch tune --root / --emulator absent arm64
say binfmt-dispatch tune --root / --json absent/f arm64
with_table() {
    for command in "explain ./guest" "run ./guest" list generate "lint i" "image -o j" "install --root place" \
        "uninstall --root place" "register --image i" unregister status "unshare true" "tune --root / arm64"; do
        say binfmt-dispatch --table $1 $command
    done
}
with_table absent
title 'a file that may not be read'
say user binfmt-dispatch explain ./closed/guest
say user binfmt-dispatch explain ./place/guest
say user binfmt-dispatch run ./place/guest
say user binfmt-dispatch lint secret
say user binfmt-dispatch list --image secret
say user binfmt-dispatch --table secret list
say user binfmt-dispatch explain --root closed /guest
title 'a file that is something else'
say binfmt-dispatch explain . ./place /dev/null
say binfmt-dispatch run ./place
say binfmt-dispatch run ./secret
say binfmt-dispatch list --image guest
say binfmt-dispatch generate --image guest
say binfmt-dispatch lint place
say binfmt-dispatch image --from guest -o j
say binfmt-dispatch image --from arm64=secret -o j arm64
say binfmt-dispatch image --no-emulators -o place
say binfmt-dispatch register --image guest
say binfmt-dispatch unshare ./secret
say binfmt-dispatch unshare ./place
title 'no registry'
for command in "install --no-emulators --prefix $here/place" "register --image i" unregister status; do
    say binfmt-dispatch $command --mount /
done
title 'all entries are turned off'
echo 0 >$REGISTRY/status
for command in "install --no-emulators --prefix $here/place" "register --image i" status; do say binfmt-dispatch $command; done
echo 1 >$REGISTRY/status
title 'no rights'
say user binfmt-dispatch install --no-emulators --prefix $here/place
say user binfmt-dispatch install --no-emulators --no-register --prefix $here/place
say user binfmt-dispatch register --image i
say user binfmt-dispatch image --no-emulators -o place/j
say user binfmt-dispatch generate --output place arm64
say user binfmt-dispatch tune --root / --json place/f arm64
say user binfmt-dispatch unregister
title 'a table with a mistake'
with_table broken
say binfmt-dispatch --table off generate --direct arm64
title 'an image that is damaged'
for image in short changed; do
    for command in list generate "register" status unregister; do say binfmt-dispatch $command --image $image; done
done
title 'files of others are in the way'
mkdir -p theirs/bin theirs/lib/binfmt.d; echo >theirs/bin/binfmt-dispatch; echo >theirs/lib/binfmt.d/zz-binfmt-dispatch.conf
say binfmt-dispatch install --no-emulators --no-register --prefix $here/theirs
say binfmt-dispatch uninstall --prefix $here/theirs
title 'entries of others'
printf '%s' ':qemu-aarch64:M:18:\xb7\x00::/bin/true:' >$REGISTRY/register
say binfmt-dispatch register --image i aarch64
say binfmt-dispatch install --no-emulators --prefix $here/place
say binfmt-dispatch unregister arm64
say binfmt-dispatch unregister s390x
say binfmt-dispatch explain --no-probe ./guest
echo -1 >$REGISTRY/qemu-aarch64
title 'programs that hosts run natively'
say binfmt-dispatch register --image i $(uname -m)
say binfmt-dispatch generate $(uname -m)
say binfmt-dispatch generate --host aarch64 arm arm64
title 'a disk that is full'
for command in "explain --no-probe ./guest" list generate "lint i" status "tune --help"; do
    say "binfmt-dispatch $command >/dev/full"
done
say binfmt-dispatch image --no-emulators -o small/i
say binfmt-dispatch install --no-emulators --root small
say "binfmt-dispatch install --no-emulators --no-register --prefix $here/place >/dev/full"
title 'files that are in use'
exec 3>>i
say binfmt-dispatch register --image i --no-probe aarch64
exec 3>&-
find place small -type f | sort
ls $REGISTRY
