//! The commands that `status` names: they fit the installation that is there, and put it right.

use serde_json::json;

use crate::support::{Namespace, Row, Scratch, need, saying};

/// Functions of the scripts. `remedy` runs the command that `status` names last, and shows it.
const PRELUDE: &str = r#"
    PREFIX=$PWD/prefix IMAGE=$PWD/prefix/libexec/binfmt-dispatch/binfmt-dispatch
    dispatch() { $TOOL install "$@" --no-docs >/dev/null 2>&1 || exit 1; }
    said() { status=$($TOOL status "$@" | grep -e '^qemu-[a-z0-9, -]*: ' -e 'turned off' -e ': there is no ' -e ' is turned '); echo "$status" | sed "s,$PWD,/PWD,g"; }
    binfmt-dispatch() { $TOOL "$@" >/dev/null 2>&1; }
    follow() { eval "$(echo "$status" | tail -n 1 | sed 's/.*run `\([^`]*\)`.*/\1/')"; echo "code $?"; }
"#;

#[track_caller]
fn expect(script: &str, expected: &[&str]) {
    let scratch = Scratch::new();
    scratch.probe("alpha", "alpha");
    scratch.probe("hppa", "hppa");
    let one = saying("one", 0).display().to_string();
    scratch.write("table", Row::new("alpha", &one).table());
    let seen = Namespace::empty().run(&scratch, &format!("ONE={one}\n{PRELUDE}\n{script}"));
    seen.wrote(&expected.iter().map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn of_an_image_that_differs() {
    need!(Namespace, Compiler);
    expect(
        r"
        dispatch alpha --from alpha=$ONE --prefix $PREFIX
        $TOOL image alpha --from alpha=$ONE -o $IMAGE; said; follow; said
        # The image on disk embeds another emulator alone.
        $TOOL image hppa --from hppa=$ONE -o $IMAGE; said --table table
        # Below /usr/local, and not at the place of an installation.
        $TOOL unregister >/dev/null; $TOOL image alpha --from alpha=$ONE -o other
        $TOOL register alpha --image other >/dev/null; $TOOL image alpha --from alpha=$ONE -o other
        said; follow; said
        ",
        &[
            "qemu-alpha: the registered image differs from the one on disk: run `binfmt-dispatch register --replace \
             --image /PWD/prefix/libexec/binfmt-dispatch/binfmt-dispatch alpha`",
            "code 0",
            "",
            "qemu-alpha: the registered image is not on disk any more, and the file there does not embed the emulator: \
             run `binfmt-dispatch install --prefix /PWD/prefix alpha`",
            "qemu-alpha: the registered image differs from the one on disk: run `binfmt-dispatch register --replace \
             --image /PWD/other alpha`",
            "code 0",
            "",
        ],
    );
}

#[test]
fn of_an_image_that_is_gone() {
    need!(Namespace, Qemu, Compiler);
    expect(
        r"
        # Plain install would register all architectures whose emulators are found.
        dispatch s390x aarch64 --prefix $PREFIX
        rm $IMAGE; said; binfmt-dispatch install --prefix $PREFIX aarch64 s390x --no-docs; echo code $?; said
        $TOOL unregister >/dev/null; $TOOL image s390x -o other; $TOOL register s390x --image other >/dev/null
        rm other; said; follow; said
        ",
        &[
            "qemu-aarch64, qemu-s390x: the registered image is not on disk any more, and works until the next boot: run \
             `binfmt-dispatch install --prefix /PWD/prefix aarch64 s390x` or `binfmt-dispatch unregister aarch64 s390x`",
            "code 0",
            "",
            "qemu-s390x: the registered image is not on disk any more, and works until the next boot: run \
             `binfmt-dispatch image -o /PWD/other s390x && binfmt-dispatch register --replace --image /PWD/other s390x` or \
             `binfmt-dispatch unregister s390x`",
            "code 0",
            "",
        ],
    );
}

#[test]
fn of_entries_that_are_off_or_belong_to_others() {
    need!(Namespace, Compiler);
    expect(
        r"
        dispatch alpha --from alpha=$ONE --prefix $PREFIX
        echo 0 >$REGISTRY/qemu-alpha; said; follow; said
        echo 0 >$REGISTRY/status; said; follow; said
        printf '%s' ':old:E::old::/no/such/file:' >$REGISTRY/register; said; follow; ls $REGISTRY
        # An entry of others, with an image that embeds the emulator, and without an image.
        echo -1 >$REGISTRY/qemu-alpha; printf '%s' ':qemu-alpha:M:18:\x26\x90::/bin/true:' >$REGISTRY/register
        said --image $IMAGE; follow; said
        echo -1 >$REGISTRY/qemu-alpha; printf '%s' ':qemu-alpha:M:18:\x26\x90::/bin/true:' >$REGISTRY/register
        said --image /usr/local/libexec/binfmt-dispatch/binfmt-dispatch --table table
        ",
        &[
            "qemu-alpha is turned off: as root, run `echo 1 > /proc/sys/fs/binfmt_misc/qemu-alpha`",
            "code 0",
            "",
            "All entries are turned off. 1 does not run: alpha.",
            "all entries are turned off: as root, run `echo 1 > /proc/sys/fs/binfmt_misc/status`",
            "code 0",
            "",
            "old: there is no /no/such/file: install it, or remove the entry: as root, run `echo -1 > \
             /proc/sys/fs/binfmt_misc/old`",
            "code 0",
            "qemu-alpha",
            "register",
            "status",
            "qemu-alpha: belongs to other software: to take it over, run `binfmt-dispatch register --replace --image \
             /PWD/prefix/libexec/binfmt-dispatch/binfmt-dispatch alpha`",
            "code 0",
            "",
            "qemu-alpha: belongs to other software: to take it over, run `binfmt-dispatch install --prefix /usr/local \
             --replace alpha`",
        ],
    );
}

#[test]
fn of_emulators_of_directories() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let (one, two) = (saying("one", 0), saying("two", 0));
    let below = json!([{ "directory": "/srv/old", "emulators": [scratch.at("old")] }]);
    scratch.write("table", Row::new("alpha", &one.display().to_string()).with("below", below).table());
    scratch.write("old", std::fs::read(&one).unwrap());
    let script = format!(
        "{PRELUDE}
        dispatch alpha --table table --prefix $PREFIX; said --image $IMAGE --table table
        cp {} old; said --image $IMAGE --table table; follow; said",
        two.display()
    );
    // The table is not part of the command.
    let script = script.replace("follow;", "dispatch alpha --table table --prefix $PREFIX;");
    let seen = Namespace::empty().run(&scratch, &script);
    seen.wrote(
        "\nqemu-alpha: the installed emulators differ from the embedded ones: run `binfmt-dispatch install --prefix \
         /PWD/prefix alpha`\n\n",
    );
}

#[test]
fn of_containers() {
    need!(Namespace);
    let scratch = Scratch::new();
    let seen = Namespace::empty().run(
        &scratch,
        r"
        exec 2>&1
        confined() { setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin $TOOL status; }
        # A registry that is mounted, and cannot be changed.
        mount -o remount,bind,ro $REGISTRY || exit 1
        $TOOL unregister alpha
        umount $REGISTRY || exit 2
        confined; $TOOL status
        ",
    );
    seen.wrote(
        "binfmt-dispatch: /proc/sys/fs/binfmt_misc: cannot be written: run `binfmt-dispatch` on the host of this \
         container, or use `binfmt-dispatch unshare`: read-only file system\n\
         binfmt-dispatch: /proc/sys/fs/binfmt_misc: no binfmt_misc is mounted, and root of this container cannot mount \
         it: run `binfmt-dispatch install` on the host, or start single programs with `binfmt-dispatch run`\n\
         binfmt-dispatch: /proc/sys/fs/binfmt_misc: no binfmt_misc is mounted: as root, run `mount -t binfmt_misc \
         binfmt_misc /proc/sys/fs/binfmt_misc`, or use `binfmt-dispatch unshare`\n",
    );
}

#[test]
fn of_a_limit_on_the_size_of_files() {
    need!(Namespace);
    let scratch = Scratch::new();
    let seen = Namespace::empty().run(
        &scratch,
        r"
        exec 2>&1; ulimit -f 100
        $TOOL unshare true; echo code $?
        $TOOL image --no-emulators -o image; echo code $?; ls -A
        ",
    );
    seen.wrote(
        "binfmt-dispatch: a file in memory: cannot write: raise the limit on the size of files, `ulimit -f`: file too \
         large\ncode 1\n\
         binfmt-dispatch: image: cannot write: raise the limit on the size of files, `ulimit -f`: file too large\n\
         code 1\n",
    );
}
