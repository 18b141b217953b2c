//! Many nodes, each a namespace of its own, in which an image is registered and foreign programs
//! start again and again. A new image is installed in waves, as in a cluster. `ci/waves` runs it
//! with more nodes.

use crate::container::run_in;
use crate::support::{Namespace, Need, Scratch, artefact, need, tool};

/// Time limit of the script, in seconds.
const PATIENCE: u32 = 500;

/// Nodes if `BINFMT_DISPATCH_NODES` does not give another number, and waves.
const NODES: u32 = 8;
const WAVES: u32 = 4;

/// In every fourth node a program of the old image runs until the end. The images are in a file
/// system in memory, whose size shows whether the old one is still there.
const SCRIPT: &str = r#"
    mkdir memory && mount -t tmpfs none memory && cp $IMAGE memory/old && cp $OTHER memory/new && cd memory
    guest=$GUESTS/arm64/bin/busybox
    used() { df --output=used -B1 . | tail -1; }
    node() {
        local number=$1 starts=0 failed=0 lasting=
        mount -t binfmt_misc none $REGISTRY
        ./old container --install all >log.$number 2>&1 || failed=1000
        if ((number % 4 == 0)); then $guest sleep 1000 & lasting=$!; fi
        : >ready.$number
        until [ -e stop ]; do
            $guest true || ((++failed)); ((++starts))
            if [ -e wave.$number ]; then
                : >busy.$number; rm wave.$number
                { ./new container --install all >log.$number 2>&1; echo $? >code.$number; rm busy.$number; } &
            fi
            # Programs start all the time while the image changes.
            [ -e busy.$number ] || sleep 0.5
        done
        grep -q 'aarch64: installed in place of another image' log.$number || failed=2000
        [ -z "$lasting" ] || kill -0 $lasting || failed=3000
        echo "$starts $failed $(cat code.$number)" >done.$number; mv done.$number end.$number
        until [ -e over ]; do sleep 0.2; done
        # The shell says by which signal it ended.
        [ -z "$lasting" ] || { kill $lasting; wait $lasting 2>/dev/null; }
    }
    files() { local found=("$1".*); [ -e "${found[0]}" ] && echo ${#found[@]} || echo 0; }
    for ((number = 0; number < NODES; number++)); do
        (exec unshare --user --map-root-user --mount bash -c "$(declare -f node); guest=$guest REGISTRY=$REGISTRY; node $number") &
    done
    until [ $(files ready) = $NODES ]; do sleep 0.1; done
    for ((wave = 0; wave < WAVES; wave++)); do
        for ((number = wave; number < NODES; number += WAVES)); do : >wave.$number; done
        until [ $(files wave) = 0 ] && [ $(files busy) = 0 ]; do sleep 0.1; done
    done
    sleep 1; : >stop
    until [ $(files end) = $NODES ]; do sleep 0.1; done
    cat end.*
    before=$(used); rm old; kept=$(used); : >over; wait; after=$(used)
    echo "size $(stat -c %s $IMAGE) before $before kept $kept after $after"
"#;

fn image(seed: &str) -> std::path::PathBuf {
    Need::Qemu.is_stated();
    artefact(&format!("node-image-{seed}"), |path| {
        tool(&["image", "--seed", seed, "-o", path, "arm64"]);
    })
}

#[test]
fn no_start_fails_on_any_node() {
    need!(Namespace, Qemu, Guests);
    let nodes = std::env::var("BINFMT_DISPATCH_NODES").map_or(NODES, |number| number.parse().expect("a number"));
    let script = format!("NODES={nodes} WAVES={WAVES}\n{SCRIPT}");
    let namespace = Namespace::empty().within(PATIENCE);
    let seen = run_in(&namespace, &Scratch::new(), (&image("1"), &image("2")), &script);
    let (ends, figures) = seen.out().trim_end().rsplit_once('\n').unwrap();
    let ends: Vec<Vec<u32>> =
        ends.lines().map(|end| end.split(' ').map(|number| number.parse().unwrap()).collect()).collect();
    assert_eq!(ends.len(), nodes as usize, "{seen}");
    assert!(ends.iter().all(|end| end[0] > 2 && end[1..] == [0, 0]), "starts, failures, exit code: {ends:?}\n{seen}");
    let figures: Vec<u64> = figures.split(' ').filter_map(|word| word.parse().ok()).collect();
    let &[size, before, kept, after] = &figures[..] else { panic!("{seen}") };
    // The running programs keep the old image, and nothing else does.
    assert!(
        before.abs_diff(kept) < size / 10 && kept - after > size / 10 * 9 && kept - after < size / 10 * 11,
        "{seen}"
    );
    let starts: u32 = ends.iter().map(|end| end[0]).sum();
    println!(
        "{nodes} nodes, {starts} starts, none failed; an old image of {size} bytes takes {} until its last program ends",
        kept - after
    );
}
