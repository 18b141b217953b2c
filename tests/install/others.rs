//! No command changes others' entries, whatever their names are.

use crate::run;
use crate::support::{Scratch, need, saying};

/// Functions of the scripts. `state` shows the registry in the kernel's order, which is that of
/// age. `stranger` registers another's entry for alpha's programs.
const PRELUDE: &str = r#"
    state() { ls -U $REGISTRY; for entry in $REGISTRY/*; do case $entry in */register) ;; *) cat $entry ;; esac; done; }
    stranger() { printf '%s' ":$1:M:18:\\x26\\x90::$PWD/theirs:" >$REGISTRY/register || exit 2; }
    install() { $TOOL install alpha --from alpha=$EMULATOR --prefix $PREFIX --seed 1 "$@"; echo "install $?"; }
    TEMPORARY=binfmt-dispatch.temporary.qemu-alpha TRIAL=binfmt-dispatch.trial.qemu-alpha
    $TOOL image alpha --from alpha=$EMULATOR --seed 1 -o i || exit 1
"#;

/// Runs a script with emulators that print "ours" and "theirs", and compares its output.
#[track_caller]
fn expect(script: &str, expected: &str) {
    let scratch = Scratch::new();
    scratch.probe("guest", "alpha");
    scratch.write("theirs", std::fs::read(saying("theirs", 0)).unwrap());
    let [ours, broken] = [saying("ours", 0), saying("broken", 1)];
    let emulators = format!("EMULATOR={} BROKEN={}", ours.display(), broken.display());
    let seen = run(&scratch, &format!("{emulators}\n{PRELUDE}\n{script}"));
    seen.wrote(expected);
}

#[test]
fn stay_untouched_under_every_name() {
    need!(Namespace, Compiler);
    expect(
        r#"
        for name in qemu-alpha qemu-alpha.old qemu-alpha.new old.qemu-alpha $TEMPORARY $TRIAL other; do stranger $name; done
        echo 0 >$REGISTRY/qemu-alpha.old
        state >before
        same() { state | cmp - before || exit 3; [ $# = 0 ] || echo "$@"; }
        $TOOL unregister --image i; same unregister $?
        $TOOL unregister alpha 2>/dev/null; same unregister $?
        $TOOL register alpha --image i 2>/dev/null; same register $?
        install 2>/dev/null | tail -n 1; same; [ ! -e $PREFIX ] || exit 4
        install --no-register >/dev/null 2>&1; same
        $TOOL uninstall --prefix $PREFIX >/dev/null; same uninstall $?
        "#,
        "unregister 0\nunregister 1\nregister 1\ninstall 1\nuninstall 0\n",
    );
}

#[test]
fn leave_other_names_for_temporary_entries() {
    need!(Namespace, Compiler);
    expect(
        r#"
        for name in qemu-alpha $TEMPORARY $TRIAL $TEMPORARY.2; do stranger $name; done
        echo -1 >$REGISTRY/qemu-alpha; state >before
        same() { echo "$@"; state >after; diff after before | grep -v '^[<0-9]'; }
        stranger qemu-alpha
        $TOOL register alpha --image i --replace >/dev/null 2>&1; ./guest; same register
        $TOOL register alpha --image i --replace --no-probe >/dev/null 2>&1; ./guest; same again
        # What a run that was killed would leave under such a name.
        $TOOL generate --image i --format register alpha | sed "s/^:qemu-alpha:/:$TEMPORARY.3:/" >$REGISTRY/register
        $TOOL status --image i | grep -o "^$TEMPORARY.*was left"
        $TOOL unregister --image i; state | cmp - before
        "#,
        "ours\nregister\nours\nagain\nbinfmt-dispatch.temporary.qemu-alpha.3 was left\nqemu-alpha: removed\n",
    );
}

#[test]
fn stay_untouched_beside_ours() {
    need!(Namespace, Compiler);
    expect(
        r#"
        for name in qemu-alpha.old qemu-alpha.new other; do stranger $name; done
        state >before
        # Ours is the newest, and the directory begins with it.
        same() { echo "$1"; state >after; diff after before | grep -v '^[<0-9]'; }
        install 2>/dev/null | tail -n 1; ./guest; same installed
        install 2>/dev/null | tail -n 1; ./guest; same upgraded
        $TOOL uninstall --prefix $PREFIX >/dev/null; ./guest; state | cmp - before; [ ! -e $PREFIX/libexec/* ] || exit 3
        "#,
        "install 0\nours\ninstalled\ninstall 0\nours\nupgraded\ntheirs\n",
    );
}

#[test]
fn stay_untouched_if_what_is_to_replace_them_does_not_work() {
    need!(Namespace, Compiler);
    expect(
        r"
        stranger qemu-alpha
        state >before
        $TOOL image alpha --from alpha=$BROKEN -o bad || exit 3
        $TOOL register alpha --image bad --replace 2>&1 | grep 'not registered'; state | cmp - before; ./guest
        $TOOL install alpha --from alpha=$BROKEN --prefix $PREFIX --replace 2>&1 | grep 'not registered'; state | cmp - before; ./guest
        grep -c qemu-alpha $PREFIX/lib/binfmt.d/*; true
        ",
        "binfmt-dispatch: alpha: not registered, as its probe exited with 1: check the emulator\ntheirs\n\
         binfmt-dispatch: alpha: not registered, as its probe exited with 1: check the emulator\ntheirs\n0\n",
    );
}

#[test]
fn come_back_if_the_kernel_refuses_what_is_to_replace_them() {
    need!(Namespace, Compiler, Strace);
    expect(
        r"
        stranger qemu-alpha; echo 0 >$REGISTRY/qemu-alpha
        # The first write to the file asks for flag T, the second one registers the entry that is
        # tried, the third one the temporary one.
        strace -qq -o trace -P $REGISTRY/register -e trace=write -e inject=write:error=EIO:when=4 \
            $TOOL register alpha --image i --replace 2>&1 | grep -c 'i/o error$'
        ls $REGISTRY; head -n 1 $REGISTRY/qemu-alpha; tail -n 3 $REGISTRY/qemu-alpha
        ",
        "1\nqemu-alpha\nregister\nstatus\ndisabled\noffset 18\nmagic 2690\nmask ffff\n",
    );
}
