//! The cases. A new case is one more entry here.

/// One way to start programs.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, which is also a file's name.
    pub name: &'static str,
    /// The number of reports, through binfmt-dispatch.
    pub reports: usize,
    /// Its exit code.
    pub code: i32,
    /// A part of standard error; if empty, standard error must be empty.
    pub err: &'static str,
    /// Fields with values that one of the reports must have. They show that the case tests what it
    /// is meant to test.
    pub facts: &'static [(&'static str, &'static str)],
    /// A bash script in a directory that has only `guest`. Its variables: HOST, a program that
    /// starts others in ways that a shell cannot (host.c); BUSYBOX, a foreign busybox; OTHER, a
    /// guest of another architecture; `AS_USER`, a command prefix that becomes an ordinary user,
    /// and runs `env` to drop the capabilities that setpriv leaves; DYNAMIC, the guest with a
    /// dynamic linker, which is below SYSROOT.
    pub body: &'static str,
}

const fn case(name: &'static str, body: &'static str) -> Case {
    Case { name, reports: 1, code: 0, err: "", facts: &[], body }
}

/// A case with several reports.
const fn reports(reports: usize, name: &'static str, body: &'static str) -> Case {
    Case { name, reports, code: 0, err: "", facts: &[], body }
}

/// A case in which no program can be started.
const fn fails(name: &'static str, code: i32, err: &'static str, body: &'static str) -> Case {
    Case { name, reports: 0, code, err, facts: &[], body }
}

impl Case {
    const fn with(mut self, facts: &'static [(&'static str, &'static str)]) -> Self {
        self.facts = facts;
        self
    }
}

const CASES: &[Case] = &[
    // Arguments.
    case("plain", "./guest one 'two words' '' -three").with(&[("argc", "5"), ("comm", "guest"), ("out", "")]),
    case("argc-0", "$HOST plain ./guest").with(&[("argc", "1"), ("argv", "")]),
    case("argv0-with-spaces", "exec -a ' with  spaces ' ./guest one").with(&[("argv", " with  spaces  | one")]),
    case("argv0-empty", "exec -a '' ./guest one").with(&[("argv", " | one")]),
    case("argv0-100-kb", "exec -a \"$(printf '%102400s' end)\" ./guest one"),
    case("argv0-an-option", "exec -a -E ./guest -E -version --").with(&[("argv", "-E | -E | -version | --")]),
    case("argv0-not-ascii", "exec -a $'\\xff\\n\\\\' ./guest $'\\xfe'").with(&[("argv", "\\xff\\x0a\\x5c | \\xfe")]),
    // Paths.
    case("name-E", "mv guest ./-E; exec $HOST plain -E X=1 one").with(&[("argv", "X=1 | one"), ("aux.31", "-E")]),
    case("name-L", "mv guest ./-L; exec $HOST plain -L . one").with(&[("argv", ". | one"), ("aux.31", "-L")]),
    case("name-version", "mv guest ./-version; exec $HOST plain -version zero one").with(&[("argv", "zero | one")]),
    case("name-two-hyphens", "mv guest ./--; exec $HOST plain -- -- one")
        .with(&[("argv", "-- | one"), ("aux.31", "--")]),
    case("name-option-by-path", "mv guest ./-E; ./-E one"),
    case("relative", "mkdir sub; mv guest sub; sub/guest"),
    case("bare", "exec $HOST plain guest zero").with(&[("aux.31", "guest")]),
    case("absolute", "$PWD/guest"),
    case("symlink", "mkdir sub; mv guest sub; ln -s sub/guest link; ./link"),
    case("symlink-absolute", "ln -s $PWD/guest link; ./link; rm link"),
    case("symlink-to-directory", "mkdir sub; mv guest sub; ln -s sub link; link/guest"),
    case("dot-dot", "mkdir sub; cd sub; ../sub/../guest"),
    case("name-with-spaces", "mv guest ' a  b'; './ a  b'"),
    case("deleted", "exec 9<guest; rm guest; exec /proc/self/fd/9 one"),
    case("dev-fd", "$HOST path ./guest zero one").with(&[("aux.31", "/dev/fd/3")]),
    case("descriptor", "$HOST descriptor ./guest zero one"),
    case("memfd", "$HOST memfd ./guest zero one").with(&[("aux.31", "/dev/fd/4")]),
    case("memfd-path", "$HOST memfd-path ./guest zero one"),
    fails("close-on-exec", 1, "close-on-exec: ENOENT", "$HOST close-on-exec ./guest zero one"),
    case("close-on-exec-path", "$HOST close-on-exec-path ./guest zero one"),
    // Descriptors.
    case("closed-0", "./guest <&-"),
    case("closed-1", "./guest >&-"),
    case("closed-2", "./guest 2>&-"),
    case("closed-0-1", "./guest <&- >&-"),
    case("closed-0-2", "./guest <&- 2>&-"),
    case("closed-1-2", "./guest >&- 2>&-"),
    case("closed-0-1-2", "./guest <&- >&- 2>&-").with(&[("descriptor", "absent")]),
    case("descriptors-1000", "ulimit -n 4096; for i in {10..1009}; do eval \"exec $i</dev/null\"; done; ./guest"),
    case("descriptors-few", "ulimit -n 12; exec 3<guest 5>>out 7<>/dev/null; ./guest"),
    // Environment.
    case("environment-empty", "exec env -i REPORT=$REPORT ./guest").with(&[("argc", "1")]),
    case("environment-odd", "exec env '=x' 'A=' REPORT= 'B=1' 'B=2' noequals=1 REPORT=$REPORT ./guest"),
    case("environment-2000", "for i in {1..2000}; do export V$i=$i; done; exec ./guest"),
    case("environment-arg-max", "V=$(printf %122000s); for i in {1..17}; do export V$i=$V; done; exec ./guest"),
    case("environment-qemu", "QEMU_UNAME=1.2.3 QEMU_ANY=1 ./guest"),
    case("environment-qemu-argv0", "QEMU_ARGV0=theirs exec -a zero ./guest one")
        .with(&[("argv", "theirs | one"), ("host.cmdline", "zero\\x00one\\x00")]),
    fails("environment-cpu", 1, "unable to find CPU model 'none'", "QEMU_CPU=none exec ./guest"),
    // What a process inherits.
    case("signals", "env --block-signal=TERM,USR1,CHLD,RTMIN --ignore-signal=INT,PIPE,HUP,USR2 ./guest")
        .with(&[("signal-ignored", "1 | 2 | 12 | 13")]),
    case("stack-small", "ulimit -s 256; ./guest").with(&[("limit.3", "40000 40000")]),
    case("stack-unlimited", "ulimit -s unlimited; ./guest"),
    case("limits", "ulimit -c 0 -t 99 -f 100000 -l 7 -i 50 -q 1000 -x 5; ./guest"),
    case("no-random-addresses", "setarch -R ./guest").with(&[("personality", "40000")]),
    case("umask", "umask 027; ./guest").with(&[("umask", "27")]),
    // From the priority of the tests to the lowest one.
    case("nice", "nice -n 39 ./guest").with(&[("nice", "19")]),
    case("directory-deleted", "mkdir sub; cd sub; rmdir ../sub; $OLDPWD/guest").with(&[("cwd", "error 2")]),
    // Programs that start programs.
    case("script", "printf '#!%s/guest\\n' $PWD >script; chmod 755 script; ./script one two")
        .with(&[("argc", "4"), ("comm", "script")]),
    case("script-option", "printf '#!%s/guest -x  y\\n' $PWD >script; chmod 755 script; ./script one two"),
    case("script-relative", "printf '#!./guest\\n' >script; chmod 755 script; exec -a zero ./script one"),
    case(
        "script-nested",
        "printf '#!%s/guest -x\\n' $PWD >inner; printf '#!%s/inner -y\\n' $PWD >outer; chmod 755 inner outer
        ./outer one",
    )
    .with(&[("argc", "6"), ("comm", "outer")]),
    reports(2, "foreign-shell", "cp $OTHER other; $BUSYBOX sh -c './guest one; /bin/echo native; ./other two'")
        .with(&[("out", "native")]),
    reports(3, "vfork", "ACTION=vfork ./guest").with(&[("argv", "again | started by itself"), ("result", "0")]),
    reports(3, "exec", "ACTION=exec ./guest").with(&[("argv", "again | started by itself"), ("result", "0")]),
    reports(2, "threads", "ACTION=threads ./guest").with(&[("result", "8000")]),
    reports(2, "fork", "ACTION=fork ./guest").with(&[("result", "4950")]),
    case("strace", "strace -f -qq -o /dev/null ./guest one"),
    // Dynamic programs, whose libraries are only below $SYSROOT on this machine.
    case("dynamic", "cp $DYNAMIC guest; LOOK=/lib ./guest one && grep -qx \"look $SYSROOT/lib\" $REPORT/report"),
    case(
        "dynamic-prefix",
        "cp $DYNAMIC guest; export LOOK=/lib QEMU_LD_PREFIX=$SYSROOT
        ./guest one && grep -qx \"look $SYSROOT/lib\" $REPORT/report",
    ),
    fails(
        "dynamic-prefix-elsewhere",
        255,
        "Could not open '/lib/ld",
        "cp $DYNAMIC guest; QEMU_LD_PREFIX=/nowhere exec ./guest one",
    ),
    fails(
        "dynamic-setuid",
        255,
        "Could not open '/lib/ld",
        "cp $DYNAMIC guest; chmod 4755 guest; $AS_USER env ./guest",
    ),
    case("static-look", "LOOK=/lib ./guest && ! grep -q \"look $SYSROOT\" $REPORT/report"),
    // Privileges.
    case("user", "$AS_USER env ./guest").with(&[("uids", "1000 1000 1000"), ("aux.23", "0")]),
    case("setuid", "chown 60:60 guest; chmod 4755 guest; $AS_USER env ./guest").with(&[
        ("uids", "1000 60 60"),
        ("aux.23", "1"),
        ("dumpable", "0"),
    ]),
    case("setuid-root", "chmod 4755 guest; $AS_USER env ./guest").with(&[("uids", "1000 0 0"), ("aux.23", "1")]),
    case("setuid-by-root", "chmod 4755 guest; ./guest").with(&[("uids", "0 0 0"), ("aux.23", "0")]),
    case("setuid-unreadable", "chown 60:60 guest; chmod 4711 guest; $AS_USER env ./guest")
        .with(&[("uids", "1000 60 60"), ("aux.23", "1")]),
    case("setuid-closed-0-1-2", "chown 60:60 guest; chmod 4711 guest; exec $AS_USER env ./guest <&- >&- 2>&-")
        .with(&[("uids", "1000 60 60")]),
    case("setuid-stack-unlimited", "chown 60:60 guest; chmod 4755 guest; ulimit -s unlimited; $AS_USER env ./guest")
        .with(&[("uids", "1000 60 60"), ("aux.23", "1")]),
    case(
        "setuid-environment",
        "chmod 4755 guest
        $AS_USER env LD_PRELOAD=x LD_LIBRARY_PATH=/ GLIBC_TUNABLES=a=b TMPDIR=/tmp OTHER=1 ./guest",
    )
    .with(&[("uids", "1000 0 0"), ("aux.23", "1")]),
    case("setuid-qemu", "chmod 4755 guest; QEMU_UNAME=1.2.3 QEMU_ANY=1 OTHER=1 $AS_USER env ./guest")
        .with(&[("uids", "1000 0 0"), ("aux.23", "1")]),
    case("setgid", "chown 60:60 guest; chmod 2755 guest; $AS_USER env ./guest").with(&[
        ("uids", "1000 1000 1000"),
        ("gids", "1000 60 60"),
        ("aux.23", "1"),
    ]),
    case("setuid-setgid", "chown 60:60 guest; chmod 6755 guest; $AS_USER env ./guest")
        .with(&[("uids", "1000 60 60"), ("gids", "1000 60 60")]),
    case("setuid-script", "printf '#!%s/guest\\n' $PWD >s; chown 60:60 s; chmod 6755 s; $AS_USER env ./s one")
        .with(&[("uids", "1000 1000 1000")]),
    case("file-capabilities", "setcap cap_net_raw+ep guest; $AS_USER env ./guest")
        .with(&[("aux.23", "1"), ("capabilities", "0 e 0000000000002000 p 0000000000002000 i 0000000000000000")]),
    case("file-capabilities-permitted", "setcap cap_net_raw,cap_chown+p guest; $AS_USER env ./guest")
        .with(&[("capabilities", "0 e 0000000000000000 p 0000000000002001 i 0000000000000000")]),
    case(
        "file-capabilities-inherited",
        "setcap cap_net_raw+ei guest; $AS_USER --inh-caps +net_raw,+chown --ambient-caps +chown env ./guest",
    )
    .with(&[("capabilities", "0 e 0000000000002000 p 0000000000002000 i 0000000000002001")]),
    case("mode-0111", "chmod 0111 guest; $AS_USER env ./guest").with(&[("dumpable", "0"), ("aux.23", "0")]),
    case("mode-0711", "chmod 0711 guest; $AS_USER env ./guest").with(&[("dumpable", "0"), ("aux.23", "0")]),
    case("mode-0111-closed-0", "chmod 0111 guest; $AS_USER env ./guest <&-"),
    case("no-new-privs", "chmod 4755 guest; $AS_USER --no-new-privs env ./guest").with(&[
        ("uids", "1000 1000 1000"),
        ("no-new-privs", "1"),
        ("aux.23", "0"),
    ]),
    case("no-new-privs-capabilities", "setcap cap_net_raw+ep guest; $AS_USER --no-new-privs env ./guest")
        .with(&[("no-new-privs", "1"), ("capabilities", "0 e 0000000000000000 p 0000000000000000 i 0000000000000000")]),
    case("setuid-mount", "mkdir m; mount -t tmpfs t m; cp guest m; chmod 4755 m/guest; $AS_USER env m/guest")
        .with(&[("uids", "1000 0 0")]),
    case("nosuid-mount", "mkdir m; mount -t tmpfs -o nosuid t m; cp guest m; chmod 4755 m/guest; $AS_USER env m/guest")
        .with(&[("uids", "1000 1000 1000"), ("aux.23", "0")]),
    fails("noexec-mount", 126, "Permission denied", "mkdir m; mount -t tmpfs -o noexec t m; cp guest m; m/guest"),
    case("ambient-capabilities", "$AS_USER --inh-caps +net_raw --ambient-caps +net_raw env ./guest")
        .with(&[("ambient", "13"), ("aux.23", "0")]),
    case("securebits", "setpriv --securebits +noroot ./guest"),
    case("bounding-set", "setpriv --bounding-set -all,+chown ./guest"),
    case("ids-65536", "setpriv --reuid 65535 --regid 65535 --groups 1,1000,65535 ./guest")
        .with(&[("uids", "65535 65535 65535"), ("group", "1 | 1000 | 65535")]),
    case("ids-real-and-effective", "setpriv --ruid 1000 --euid 60 --rgid 1000 --egid 60 --clear-groups ./guest")
        .with(&[("uids", "1000 60 60"), ("aux.23", "1")]),
    case("ids-one", "unshare --user --map-root-user ./guest")
        .with(&[("uids", "0 0 0"), ("proc.status.Uid", "0\\x090\\x090\\x090")]),
    case("ids-one-setuid", "chmod 4755 guest; $AS_USER unshare --user ./guest")
        .with(&[("uids", "65534 65534 65534"), ("aux.23", "0")]),
];

/// All of them.
pub fn all() -> Vec<Case> {
    CASES.to_vec()
}
