//! Interrupted runs: the changes that they undo, and those that the next run completes.

use crate::run;
use crate::support::{Scratch, hanging, need, saying};

#[test]
fn nothing_is_left_of_what_is_interrupted() {
    need!(Namespace, Strace);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r#"
        mkdir new && cd new && echo old >i || exit 1
        # After a write to the new file, of which there are three.
        for write in 1 2 3; do
            strace -qq -o ../trace -e inject=pwrite64:signal=KILL:when=$write $TOOL image --no-emulators -o i
            echo "code $?" $(cat i); ls -A
        done 2>/dev/null
        "#,
    );
    seen.wrote(&"code 137 old\ni\n".repeat(3));
}

#[test]
fn a_signal_while_a_probe_hangs_takes_everything_back() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let (hang, one) = (hanging(), saying("one", 0));
    let seen = run(
        &scratch,
        &format!(
            "HANG={} ONE={}\n{}",
            hang.display(),
            one.display(),
            r#"
        install() { $TOOL install $ROWS --from aarch64=$1 --from s390x=$1 --prefix $PREFIX --seed 1; }
        state() { find $PREFIX -printf '%p %i %s\n' 2>/dev/null | sort; grep -s . $REGISTRY/qemu-* $REGISTRY/binfmt*; }
        # Ends the command by a signal when it tries the first entry.
        ended() {
            local signal=$1; shift; state >before; SECONDS=0
            ("$@") >out 2>&1 & pid=$!
            until [ -e $REGISTRY/binfmt-dispatch.trial.qemu-aarch64 ]; do kill -0 $pid || exit 2; sleep 0.05; done
            kill -$signal $pid; wait $pid; echo "code $?"
            [ $SECONDS -lt 8 ] || echo "$SECONDS seconds"; state | cmp - before; grep -v '^Found 1 emulator in ' out
        }
        hanging() { exec $TOOL install $ROWS --from aarch64=$HANG --from s390x=$HANG --prefix $PREFIX --seed 1; }
        $TOOL image $ROWS --from aarch64=$HANG --from s390x=$HANG -o i
        register() { exec $TOOL register $ROWS --image i "$@"; }
        ended TERM hanging; ended HUP register
        install $ONE >/dev/null 2>&1 || exit 3
        ended TERM hanging; ended TERM register --replace
        # What is ignored interrupts nothing.
        nohup_hanging() { trap '' HUP; hanging; }
        nohup_hanging >out 2>&1 & pid=$!
        until [ -e $REGISTRY/binfmt-dispatch.trial.qemu-aarch64 ]; do kill -0 $pid || exit 2; sleep 0.05; done
        kill -HUP $pid; sleep 0.3; kill -0 $pid && kill -TERM $pid; wait $pid; echo "code $?"
        "#
        ),
    );
    let (terminated, hung_up) = ("code 143\n", "code 129\n");
    seen.wrote(&[terminated, hung_up, terminated, terminated, terminated].concat());
}

#[test]
fn interrupted_changes_are_ended() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let seen = run(
        &scratch,
        r#"
        $TOOL image aarch64 -o i && $TOOL register aarch64 --image i >/dev/null || exit 1
        left() { sed "s/^:qemu-aarch64:/:$TEMPORARY:/" line >$REGISTRY/register; }
        TEMPORARY=binfmt-dispatch.temporary.qemu-aarch64
        $TOOL generate --image i --format register aarch64 >line
        # Before the old entry is removed, and after.
        left; $TOOL status --image i | grep -o "$TEMPORARY was left"
        $TOOL register aarch64 --image i >/dev/null; ls $REGISTRY | grep aarch64
        left; echo -1 >$REGISTRY/qemu-aarch64; ./guest || exit 2
        $TOOL register aarch64 --image i >/dev/null; ls $REGISTRY | grep aarch64; ./guest || exit 3
        left; $TOOL unregister --image i; ls $REGISTRY
        left; rm i; $TOOL unregister --image i; ls $REGISTRY
        "#,
    );
    let expected = "binfmt-dispatch.temporary.qemu-aarch64 was left\nqemu-aarch64\nqemu-aarch64\n\
                    qemu-aarch64: removed\nregister\nstatus\n\
                    binfmt-dispatch.temporary.qemu-aarch64: removed\nregister\nstatus\n";
    seen.wrote(expected);
}

#[test]
fn a_reader_that_goes_away_interrupts_nothing() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let seen = run(
        &scratch,
        &format!(
            "ONE={}\n{}",
            saying("one", 0).display(),
            r#"
        # Standard output and standard error are a pipe without a reader.
        gone() { exec 3> >(exec true); wait $!; "$@" >&3 2>&3; echo "${@:2:1} $?"; exec 3>&-; }
        gone $TOOL install aarch64 --from aarch64=$ONE --prefix $PREFIX --seed 1
        ./guest; $TOOL status | head -n 1; find $PREFIX -name '*.conf' -printf '%f\n'
        gone $TOOL status
        gone $TOOL unregister; ls $REGISTRY
        IMAGE=$PREFIX/libexec/binfmt-dispatch/binfmt-dispatch
        gone $TOOL register aarch64 --image $IMAGE; ./guest
        gone $TOOL register no-such --image $IMAGE
        gone $TOOL uninstall --prefix $PREFIX; ls $REGISTRY; find $PREFIX -type f -o -type l
        # With a reader of one line.
        $TOOL install aarch64 --from aarch64=$ONE --prefix $PREFIX --seed 1 2>/dev/null | head -n 1 | cut -d ' ' -f 1-3
        echo ${PIPESTATUS[@]}; ./guest
        "#
        ),
    );
    let expected = format!(
        "install 0\none\n1 architecture runs through binfmt-dispatch {}.\nzz-binfmt-dispatch.conf\nstatus 141\n\
         unregister 0\nregister\nstatus\nregister 0\none\nregister 2\nuninstall 0\nregister\nstatus\n\
         Found 1 emulator\n0 0 0\none\n",
        env!("CARGO_PKG_VERSION")
    );
    seen.wrote(&expected);
}
