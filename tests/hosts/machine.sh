# What ci/hosts --brief runs as root in a virtual machine, in the machine's own registry:
#
#     machine.sh COMMAND GUESTS ARCHITECTURE...
#
# COMMAND is the built command, GUESTS the directory of the foreign programs. Prints a line for each
# test, as the tests in Rust do, and what was not as expected.
tool=$1 guests=$2
shift 2
status=0

# Runs the function of this name, and compares what it prints with standard input.
holds() {
    local expected seen start=$SECONDS
    expected=$(cat)
    seen=$("$1" 2>&1)
    if [[ $seen == "$expected" ]]; then
        echo "test machine::$1 ... ok"
    else
        printf 'test machine::%s ... FAILED\n--- expected\n%s\n--- seen\n%s\n---\n' "$1" "$expected" "$seen"
        status=1
    fi
    echo "$1: $((SECONDS - start)) s" >&2
}

# The probe of each architecture runs: the entries whose probe did not, and the number of the others.
everything_is_installed() {
    "$tool" install >installed || echo "code $?"
    sed -n '/^ENTRY/,/^$/p' installed | grep '^qemu-' | grep -v ' ok$'
    (($(grep -c '^qemu-.* ok$' installed) >= 31)) && echo "31 or more are ok"
    binfmt-dispatch status >/dev/null || echo "status: $?"
}

programs_run() {
    local architecture busybox
    for architecture; do
        busybox=$guests/$architecture/bin/busybox
        "$busybox" uname -m
        "$busybox" sh -c 'exit 7'
        echo "code $?"
        (exec -a zero "$busybox" sh -c 'tr "\0" "|" </proc/$$/cmdline; echo; echo "$0 $*"' zero one 'two words')
        "$busybox" sh -c 'kill -9 $$'
        echo "code $?"
        "$busybox" ls /proc/self/fd | tr '\n' ' '
        echo
    done
}

programs_start_each_other() {
    local architecture
    mkdir root
    for architecture in $all; do cp "$guests/$architecture/bin/busybox" "root/$architecture"; done
    set -- $all
    # An empty root directory, without /proc, /dev and emulators.
    chroot root "/$1" sh -c 'for name; do exec -a busybox "/$name" sh -c "echo \$1" sh "$name" | cat & wait; done' sh "$@"
}

privileges_are_kept() {
    local architecture
    for architecture in $all; do
        cp "$guests/$architecture/bin/busybox" "privileged"
        chmod 4755 privileged
        setpriv --reuid 1000 --regid 1000 --clear-groups env QEMU_STRACE=1 ./privileged grep '^Uid' /proc/self/status
    done
}

# `explain` says of each file whether it runs, and is right.
explain_agrees() {
    local first=$1 file said did
    cp "$guests/$first/bin/busybox" runs
    cp runs forbidden; chmod 644 forbidden
    head -c 70 runs >short; head -c 30 runs >shorter; head -c 4096 runs >cut
    printf '#!/bin/sh\n' >script; printf '#!%s/runs true\n' "$PWD" >foreign; printf '#!/no/such\n' >nothing
    cp /bin/true native
    chmod +x short shorter cut script foreign nothing
    for file in runs forbidden short shorter cut script foreign nothing native; do
        binfmt-dispatch explain "./$file" >explained 2>&1
        said=$?
        case $file in runs) set -- true ;; *) set -- ;; esac
        env "./$file" "$@" >/dev/null 2>&1 && did=0 || did=1
        if ((said == did)); then echo "$file $said"; else echo "$file: $did, and explain says" && cat explained; fi
    done
}

nothing_is_left() {
    binfmt-dispatch uninstall >/dev/null || echo "code $?"
    ls /proc/sys/fs/binfmt_misc
    "$guests/$1/bin/busybox" true 2>/dev/null
    echo "code $?"
    find / -xdev -newer installed -name '*binfmt-dispatch*' ! -path "$tool" ! -path "/tmp/*"
}

cd "$(mktemp -d)" || exit
all=$* first=$1
holds everything_is_installed <<<"31 or more are ok"
names=
for architecture; do
    case $architecture in
        amd64) names+=" x86_64" ;;
        arm64) names+=" aarch64" ;;
        armhf) names+=" armv7l" ;;
        mipsel) names+=" mips" ;;
        *) names+=" $architecture" ;;
    esac
done
programs() { programs_run $all; }
holds programs < <(for name in $names; do
    printf '%s\n' "$name" "code 7" \
        "zero|sh|-c|tr \"\\0\" \"|\" </proc/\$\$/cmdline; echo; echo \"\$0 \$*\"|zero|one|two words|" "zero one two words" "code 137" "0 1 2 3 "
done)
holds programs_start_each_other < <(printf '%s\n' $all)
holds privileges_are_kept < <(for architecture in $all; do printf 'Uid:\t1000\t0\t0\t0\n'; done)
agreement() { explain_agrees "$first"; }
holds agreement <<<"runs 0
forbidden 1
short 1
shorter 1
cut 1
script 0
foreign 0
nothing 1
native 0"
removal() { nothing_is_left "$first"; }
holds removal <<<"register
status
code 126"
exit $status
