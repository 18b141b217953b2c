# What each section of docs/migration.md needs, as in questions.sh.
# Debian's package with an entry, and the service that makes it.
debian() { echo ':qemu-aarch64:M:18:\xb7\x00:\xff\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OP' >/usr/lib/binfmt.d/qemu-aarch64.conf; }
systemctl() { [ "$*" = 'restart systemd-binfmt' ] && /usr/lib/systemd/systemd-binfmt; }

## Taking over
debian; systemctl restart systemd-binfmt

## Going back
debian; systemctl restart systemd-binfmt
install --replace arm64 2>/dev/null

## tonistiigi/binfmt
cp /usr/bin/qemu-aarch64-static /usr/bin/qemu-aarch64
entry qemu-aarch64 /usr/bin/qemu-aarch64 CFP
rm /usr/bin/qemu-aarch64

## multiarch/qemu-user-static
entry qemu-aarch64 /usr/bin/qemu-aarch64-static F

## NixOS
mount -t tmpfs tmpfs /var/lib || exit 94
