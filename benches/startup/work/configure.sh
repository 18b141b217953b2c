# Does the work of a configure script: starts many short programs from the directory $1, most of
# them for their output. Looks for $2 features.
set -e
bin=$1 wanted=$2
cat() { "$bin/cat" "$@"; }
expr() { "$bin/expr" "$@"; }
grep() { "$bin/grep" "$@"; }
sed() { "$bin/sed" "$@"; }
tr() { "$bin/tr" "$@"; }

# Defines HAVE_… for $1, if the list of existing features has it.
check() {
    name=$(echo "HAVE_$1" | tr 'a-z./' 'A-Z__')
    if grep -q "^$1\$" available; then
        echo "#define $name 1" >>confdefs.h
    else
        echo "/* #undef $name */" >>confdefs.h
    fi
    checks=$(expr "$checks" + 1)
    "$bin/test" -s confdefs.h
}

checks=0
: >confdefs.h
cat >available <<LIST
fork
memcpy
stdint.h
sys/mman.h
unistd.h
LIST
cat >config.h.in <<TEMPLATE
#define PACKAGE "@PACKAGE@"
#define CHECKS @CHECKS@
TEMPLATE
while [ "$checks" -lt "$wanted" ]; do
    for feature in fork memcpy stdint.h sys/mman.h unistd.h alloca bcopy getrandom io.h strlcpy sys/socket.h vfork \
        dirent.h dlfcn.h epoll_create fcntl.h inotify_init limits.h memmem mmap poll.h pthread.h semget termios.h; do
        [ "$checks" -lt "$wanted" ] || break
        check "$feature"
    done
done
sed -e 's/@PACKAGE@/example/' -e "s/@CHECKS@/$checks/" config.h.in >config.h
cat confdefs.h >>config.h
grep -q '^#define HAVE_FORK 1$' config.h
grep -q "^#define CHECKS $wanted\$" config.h
