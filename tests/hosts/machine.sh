#!/bin/bash
# What `ci/hosts --brief` runs as root in a virtual machine, in the machine's own registry:
#
#     machine.sh COMMAND GUESTS ARCHITECTURE...
#
# COMMAND is the built command, GUESTS the directory of the foreign programs. Prints a line for each
# test, as the tests in Rust do, and after a failure what was not as expected.
# shellcheck disable=SC2016,SC2317 # the programs' shells expand variables; `holds` calls functions
tool=$1 guests=$2
shift 2
all=("$@")
status=0

# Compares what the function of this name prints with standard input.
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
    echo "$1 took $((SECONDS - start)) s"
}

# The foreign program of an architecture.
busybox() {
    echo "$guests/$1/bin/busybox"
}

# `install` starts the probe of each architecture. Prints the entries whose probe does not run.
installed() {
    "$tool" install >found || echo "code $?"
    grep '^qemu-' found | grep -v ' ok$'
    (($(grep -c '^qemu-.* ok$' found) >= 31)) && echo "31 entries or more are ok"
    binfmt-dispatch status >/dev/null || echo "status: $?"
}

programs_run() {
    local architecture program
    for architecture in "${all[@]}"; do
        program=$(busybox "$architecture")
        "$program" uname -m
        "$program" sh -c 'exit 7'
        echo "code $?"
        (exec -a zero/busybox "$program" sh -c 'tr "\0" "|" </proc/$$/cmdline; echo; echo "$0 $*"' one 'two words')
        "$program" sh -c 'kill -9 $$'
        echo "code $?"
        "$program" ls /proc/self/fd | tr '\n' ' '
        echo
    done
}

# In an empty root directory, without /proc, /dev and emulators.
programs_start_each_other() {
    local architecture
    for architecture in "${all[@]}"; do install -D "$(busybox "$architecture")" "root/$architecture/busybox"; done
    chroot root "/${all[0]}/busybox" sh -c 'for name; do "/$name/busybox" uname -m; done' sh "${all[@]}"
}

# For each program: as a user's own, it is traced as the variable says; as a set-user-ID program it
# is not. busybox itself gives up such privileges.
variables_steer_no_privileged_program() {
    local architecture mode
    for architecture in "${all[@]}"; do
        for mode in 755 4755; do
            install -m "$mode" "$(busybox "$architecture")" privileged
            setpriv --reuid 1000 --regid 1000 --clear-groups env QEMU_STRACE=1 \
                bash -c 'exec -a busybox ./privileged true' 2>&1 | grep -c exit_group
        done
    done
}

# `explain` says of each file whether it runs, and is right.
explain_agrees() {
    local file said did
    cp "$(busybox "${all[0]}")" busybox
    cp busybox forbidden
    chmod 644 forbidden
    head -c 70 busybox >short
    head -c 30 busybox >shorter
    printf '#!/bin/sh\n' >script
    printf '#!%s/busybox true\n' "$PWD" >foreign
    printf '#!/no/such\n' >nothing
    cp /bin/true native
    chmod 755 short shorter script foreign nothing
    for file in busybox forbidden short shorter script foreign nothing native; do
        binfmt-dispatch explain "./$file" >explained 2>&1
        said=$?
        (exec "./$file" true) >/dev/null 2>&1
        did=$?
        if ((said == (did != 0))); then echo "$file $said"; else echo "$file ended with $did" && cat explained; fi
    done
}

nothing_is_left() {
    binfmt-dispatch uninstall >/dev/null || echo "code $?"
    ls /proc/sys/fs/binfmt_misc
    (exec "$(busybox "${all[0]}")" true) 2>/dev/null
    echo "code $?"
    find / -xdev -newer found -name '*binfmt-dispatch*' ! -path '/tmp/*'
}

# Of each program, by its name in `uname -m`.
machines() {
    printf '%s\n' "${all[@]}" | sed 's/^amd64$/x86_64/; s/^arm64$/aarch64/; s/^armhf$/armv7l/; s/^mipsel$/mips/'
}

cd "$(mktemp -d)" || exit
chmod 755 .
holds installed <<<"31 entries or more are ok"
holds programs_run <<<"$(for machine in $(machines); do
    printf '%s\n' "$machine" "code 7" 'zero/busybox|sh|-c|tr "\0" "|" </proc/$$/cmdline; echo; echo "$0 $*"|one|two words|' \
        "one two words" "code 137" "0 1 2 3 "
done)"
holds programs_start_each_other <<<"$(machines)"
holds variables_steer_no_privileged_program <<<"$(printf '1\n0\n%.0s' "${all[@]}")"
holds explain_agrees <<<"busybox 0
forbidden 1
short 1
shorter 1
script 0
foreign 0
nothing 1
native 0"
holds nothing_is_left <<<"register
status
code 126"
exit $status
