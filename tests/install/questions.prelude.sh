# The beginning of each section of questions.sh and of the files for other pages. In this namespace only, /usr and /etc are writable,
# and systemd-binfmt has no files.
mkdir usr usr.work etc etc.work q
mount -t overlay overlay -o lowerdir=/usr,upperdir=usr,workdir=usr.work,userxattr /usr || exit 98
mount -t overlay overlay -o lowerdir=/etc,upperdir=etc,workdir=etc.work,userxattr /etc || exit 98
mkdir -p /usr/lib/binfmt.d /etc/binfmt.d; rm -rf {/usr/lib,/etc}/binfmt.d/*
# The command; once it is installed, the installed one.
ln -s $TOOL /usr/local/bin/binfmt-dispatch; chmod 755 .; export PATH=$PATH:/usr/local/bin LC_ALL=C.UTF-8
cd q; chown 1000:1000 .
install() { $TOOL install "$@" --no-docs >/dev/null || exit 97; rm /usr/local/bin/binfmt-dispatch; }
entry() { printf '%s' ":$1:M:18:\\xb7\\x00:\\xff\\xff:$2:${3:-}" >$REGISTRY/register || exit 96; }
# Prompts: `#` is root's, `$` a plain user's.
run_as_root() { eval "$1" 2>&1; }
run_as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups bash -c "$1" 2>&1; }
