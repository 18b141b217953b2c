//! Programs that are started while entries are replaced, and many runs at once.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::{Scratch, need};
use crate::{run, with_probes};

#[test]
fn many_at_once_wait_for_each_other() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    // Into another root, below a prefix, and with entries. The first runs make the directories.
    let seen = run(
        &scratch,
        r#"
        $TOOL image aarch64 -o i --seed 1
        $TOOL install --root all --no-emulators >/dev/null; all=$(find all -type f -o -type l | wc -l)
        state() { find r $PREFIX -type f -o -type l; ls $REGISTRY; }
        for place in "--root r --no-emulators" "--prefix $PREFIX --no-register --no-emulators" \
                "--prefix $PREFIX --seed 1 aarch64"; do
            removed=${place//--no-register/--mount /}; removed=${removed//--no-emulators/}; removed=${removed//--seed 1 aarch64/}
            for run in {1..12}; do
                { $TOOL install $place >/dev/null 2>err.$run || echo "install $?: $(cat err.$run)"; } &
                { $TOOL uninstall $removed >out.$run 2>&1 || echo "uninstall $?: $(cat out.$run)"; } &
            done
            wait
            [ "$place" = "${place%aarch64}" ] && entries=0 || entries=1
            case "$(state | grep -c binfmt-dispatch) $(state | grep -c ^qemu)" in
                "0 0" | "$all $entries") echo whole ;;
                *) state ;;
            esac
            $TOOL uninstall $removed >/dev/null; state | grep -v -e ^register -e ^status
        done
        true
        "#,
    );
    seen.wrote("whole\nwhole\nwhole\n");
}

#[test]
fn entries_are_replaced_without_a_gap() {
    need!(Namespace, Qemu, Strace);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let seen = run(
        &scratch,
        r#"
        $TOOL image aarch64 -o i && $TOOL register aarch64 --image i >/dev/null || exit 1
        worker() { n=0 bad=0; until [ -e stop ]; do ./guest 2>/dev/null || bad=$((bad + 1)); n=$((n + 1)); done; echo "$n $bad"; }
        for i in 1 2 3 4; do worker >counts.$i & done
        # A gap would last some microseconds; strace makes it 20 ms after each write to the registry.
        slowly() { strace -qq -o trace -e trace=write -e inject=write:delay_exit=20000 "$@"; }
        for i in {1..20}; do slowly $TOOL register aarch64 --image i --replace --no-probe >/dev/null || exit 2; done
        touch stop; wait
        ls $REGISTRY
        "#,
    );
    seen.wrote("qemu-aarch64\nregister\nstatus\n");
    let (mut started, mut failed) = (0, 0);
    for worker in 1..=4 {
        let counts = fs::read_to_string(scratch.at(&format!("counts.{worker}"))).unwrap();
        let counts: Vec<u32> = counts.split_whitespace().map(|count| count.parse().unwrap()).collect();
        (started, failed) = (started + counts[0], failed + counts[1]);
    }
    assert!(started > 40 && failed == 0, "{failed} of {started} failed");
}

#[test]
fn a_load_of_programs_during_an_install() {
    need!(Namespace, Qemu);
    let scratch = with_probes();
    let seen = run(
        &scratch,
        r#"
        $TOOL install $ROWS --prefix $PREFIX --seed 1 >/dev/null || exit 1
        { for i in {1..2500}; do echo ./aarch64; echo ./s390x; done; } |
            xargs -P 64 -n 1 sh -c '"$0" && echo done || echo failed' >counts &
        while [ $(wc -l <counts) -lt 400 ]; do sleep 0.01; done
        $PREFIX/bin/binfmt-dispatch install $ROWS --prefix $PREFIX --seed 2 >/dev/null || exit 2
        [ $(wc -l <counts) -lt 5000 ] && echo in the middle
        wait
        grep -c done counts
        "#,
    );
    seen.wrote("in the middle\n5000\n");
    assert_eq!(
        fs::metadata(scratch.at("prefix/libexec/binfmt-dispatch/binfmt-dispatch")).unwrap().mode() & 0o777,
        0o755
    );
}
