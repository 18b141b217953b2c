//! Strict accounting of memory, `vm.overcommit_memory=2`. A program needs no more than with QEMU
//! registered directly, and if there is too little, a message says so.

use crate::support::{FOREIGN, Kind, Namespace, Observation, Scratch, need, reporting};

/// Memory that may be needed beyond what QEMU registered directly needs, in KiB: the kernel counts
/// promised memory in units of this size.
fn lot() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    total.expect("the kernel tells it").parse::<u64>().expect("a number") / 256
}

/// Functions for scripts, which set $program. `promise KIB` lets the kernel promise so much more
/// memory than it has promised already, runs a program, and prints the outcome: runs; line, the
/// interpreter's message about memory; words, another message; or silence. `least` finds the
/// smallest amount with which the program runs, to 128 KiB.
const FUNCTIONS: &str = r#"
cd /proc/sys/vm
trap 'echo 0 >overcommit_memory; echo 50 >overcommit_ratio' EXIT
echo 0 >user_reserve_kbytes
echo 0 >admin_reserve_kbytes
# Sets $committed: what is promised by now, in KiB.
count() { while read -r name committed _; do [ "$name" != Committed_AS: ] || break; done </proc/meminfo; }
# Sets $total: the memory, in KiB.
measure() { while read -r name total _; do [ "$name" != MemTotal: ] || break; done </proc/meminfo; }
# In the process that becomes the program, so that none is made after it: a small one, as its memory is there for the
# program too. Through a pipe: what is written to a file in memory would need some.
inner='
    echo 2 >overcommit_memory
    while read -r name committed _; do [ "$name" != Committed_AS: ] || break; done </proc/meminfo
    echo $((committed + $1)) >overcommit_kbytes
    exec "$2" uname -m 2>&1'
promise() {
    said=$(exec busybox sh -c "$inner" sh "$1" "$program")
    status=$?
    echo 0 >overcommit_memory
    case "$status $said" in
    "0 "*) outcome=runs ;;
    "126 binfmt-dispatch: $program: cannot map the emulator "*": out of memory: raise the limits ("*) outcome=line ;;
    *" ") outcome=silence ;;
    *) outcome=words ;;
    esac
    echo "$outcome with $1 KiB: $status ${said%%$'\n'*}"
}
least() {
    local low=2048 high=4096 middle
    promise $high
    while [ $outcome != runs ]; do
        low=$high high=$((high * 2))
        [ $high -le 4000000 ] || exit
        promise $high
    done
    while [ $((high - low)) -gt 128 ]; do
        middle=$(((low + high) / 2))
        promise $middle
        if [ $outcome = runs ]; then high=$middle; else low=$middle; fi
    done
    echo "least $high"
}
"#;

/// The amount that `least` found.
#[track_caller]
fn least(seen: &Observation) -> u64 {
    let line = seen.out().lines().find_map(|line| line.strip_prefix("least "));
    line.unwrap_or_else(|| panic!("it never runs\n{seen}")).parse().expect("a number")
}

#[test]
fn what_suffices_directly_suffices() {
    need!(Namespace, Guests, Qemu, Disposable);
    let functions = format!("program=$GUESTS/$FOREIGN/bin/busybox\n{FUNCTIONS}");
    let direct = least(&Namespace::direct().run(&Scratch::new(), &format!("{functions}\nleast")));
    // The last start has the limit set in the usual way, by the ratio.
    let enough = direct + lot();
    let script = format!(
        "{functions}\nleast
        count; measure; echo $(((committed + {enough}) * 100 / total + 1)) >overcommit_ratio
        echo 2 >overcommit_memory; \"$program\" uname -m"
    );
    let seen = Namespace::full().run(&Scratch::new(), &script);
    let ours = least(&seen);
    assert!(ours <= enough, "{ours} KiB, and directly {direct}\n{seen}");
    assert!(seen.code() == 0 && seen.out().ends_with(&format!("\n{FOREIGN}\n")), "{seen}");
}

#[test]
fn less_than_the_emulator_needs_is_told() {
    need!(Namespace, Compiler, Disposable);
    // The amount shrinks: first the emulator does not get its data, and in the end the kernel does
    // not even start the interpreter, so that the shell reports the reason. Unlike QEMU, the
    // reporting emulator has more data than the kernel's unit.
    let (scratch, _) = reporting(Kind::Pie);
    let script = format!(
        "program=$PWD/guest\n{FUNCTIONS}
        for ((kib = 16384; kib >= -512; kib -= 512)); do promise $kib; done"
    );
    let seen = Namespace::embedding(&scratch, &[]).run(&scratch, &script);
    let outcomes = |outcome: &str| seen.out().lines().filter(|line| line.starts_with(outcome)).count();
    assert!(outcomes("runs ") > 0 && outcomes("line ") > 0 && outcomes("silence ") == 0, "{seen}");
}
