//! `container --install` is killed before its system calls. Each time programs run as before or as
//! after, and the next run leaves what it would have left without the interruption.

use crate::container::{image_saying, run_in};
use crate::support::{Namespace, Scratch, killer, need};

/// Time limit of the script, in seconds.
const PATIENCE: u32 = 300;

#[test]
fn an_interrupted_installation_is_completed_by_the_next_run() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let [one, two] = ["one", "two"].map(image_saying);
    let script = r#"
        cp $IMAGE one; cp $OTHER two
        # In a container that has to mount the registry, and in one that has it.
        mounts() { unshare --mount bash -c 'umount $0 && exec "$@"' $REGISTRY "$@"; }
        finds() { "$@"; }
        state() { grep -s . $REGISTRY/qemu-*; ls $REGISTRY; }
        wrong() { echo "$as, before call $call ($what): $*"; cat out; }
        ./one container --install all >out 2>&1; state >expected
        old=one new=two
        for as in mounts finds; do
            for ((call = 0; ; call += 7)); do
                $as $KILL $call 9 $PWD/$new container --install all 3>log >out 2>&1; read -r what <log
                said=$(./guest); [[ $said = one || $said = two ]] || wrong "the program says $said"
                $as ./$new container --install all >out 2>&1 || wrong "the next run ends with $?"
                said=$(./guest); [[ $said = $new ]] || wrong "the program says $said, not $new"
                state | cmp -s - expected || wrong "$(state | diff expected -)"
                word=$old old=$new new=$word
                [[ $what != ended ]] || break
            done
            echo $as $call
        done
    "#;
    let namespace = Namespace::empty().within(PATIENCE);
    let seen = run_in(&namespace, &scratch, (&one, &two), &format!("KILL={}\n{script}", killer().display()));
    let counts: Vec<(&str, u32)> = seen
        .out()
        .lines()
        .filter_map(|line| line.split_once(' ').and_then(|(as_, n)| Some((as_, n.parse().ok()?))))
        .collect();
    assert!(seen.out().lines().count() == 2 && counts.len() == 2, "{seen}");
    assert!(counts.iter().all(|(_, calls)| *calls > 200) && counts[0].1 > counts[1].1, "{seen}");
}
