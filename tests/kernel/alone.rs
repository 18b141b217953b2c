//! The image with all installed emulators, in a system without emulators, /proc and /dev.

use crate::probes;
use crate::support::{Namespace, Scratch, TOOL, for_each, need, prelinked};

#[test]
fn every_foreign_probe_runs_in_an_empty_root() {
    need!(Namespace, Qemu);
    let names = probes::foreign();
    let expected: String = names.iter().map(|name| format!("{name} 0\n")).collect();
    let scratch = Scratch::new();
    for name in &names {
        scratch.probe(format!("root.{name}/guest"), name);
    }
    let script = format!("for name in {}; do chroot root.$name /guest; echo $name $?; done", names.join(" "));
    Namespace::full().run(&scratch, &script).printed(&expected);
}

#[test]
fn real_programs_run_in_an_empty_root() {
    need!(Namespace, Guests, Qemu);
    let script = "for ARCH in $ARCHITECTURES; do mkdir $ARCH; cp $GUESTS/$ARCH/bin/busybox $ARCH
        chroot $ARCH /busybox uname -m
        chroot $ARCH /busybox ls /
        chroot $ARCH /busybox sh -c 'for i in 1 2 3; do /busybox echo $i; done | /busybox wc -l; exit 7'; echo $?
        done";
    let expected = for_each(|guest| format!("{}\nbusybox\n3\n7\n", guest.machine));
    Namespace::full().run(&Scratch::new(), script).printed(&expected);
}

#[test]
fn foreign_programs_start_each_other_through_it() {
    need!(Namespace, Guests, Qemu);
    let script = "for ARCH in $ARCHITECTURES; do mkdir -p root/$ARCH; cp $GUESTS/$ARCH/bin/busybox root/$ARCH; done
        set -- $ARCHITECTURES
        exec chroot root /$1/busybox sh -c 'for ARCH; do /$ARCH/busybox uname -m; done' sh \"$@\"";
    let machines = for_each(|guest| format!("{}\n", guest.machine));
    Namespace::full().run(&Scratch::new(), script).printed(&machines);
}

#[test]
fn limits_and_layouts_make_no_difference() {
    need!(Namespace, Guests, Qemu);
    let script = "for ARCH in $ARCHITECTURES; do BB=$GUESTS/$ARCH/bin/busybox
        (ulimit -s unlimited; $BB uname -m); (ulimit -s 256; $BB uname -m); setarch -R $BB uname -m
        (ulimit -s unlimited; setarch -R $BB uname -m); done";
    let expected = for_each(|guest| format!("{}\n", guest.machine).repeat(4));
    Namespace::full().run(&Scratch::new(), script).printed(&expected);
}

#[test]
fn five_hundred_programs_thirty_two_at_once() {
    need!(Namespace, Guests, Qemu);
    let script = "set -- $ARCHITECTURES
        for i in {1..500}; do eval echo \\${$((i % $# + 1))} $i; done |
        xargs -P 32 -L 1 sh -c '$0/$1/bin/busybox echo $2 >out.$2 || echo failed $2' $GUESTS
        cat out.* | sort -n";
    let expected: String = (1..=500).map(|number| format!("{number}\n")).collect();
    Namespace::full().run(&Scratch::new(), script).printed(&expected);
}

#[test]
fn a_setuid_program_is_where_nobody_knows() {
    need!(Namespace, Guests, Qemu, Root);
    let scratch = Scratch::new();
    // The address of the emulator's part of the image, from one start without privileges and two
    // with privileges.
    let script = "cp $GUESTS/$FOREIGN/bin/busybox busybox
        where() {
            setpriv --reuid 1000 --regid 1000 --clear-groups ./busybox sleep 50 & PID=$!
            for i in {1..100}; do grep -q '^./busybox' /proc/$PID/cmdline && break; sleep 0.05; done; sleep 0.3
            grep ' r-xp .*full-image' /proc/$PID/maps | cut -d- -f1 | tr '\\n' ' '; echo
            kill $PID; wait $PID 2>/dev/null
        }
        where; where; chmod 4755 busybox; where; where; true";
    let seen = Namespace::full().flags("POCF").mapped().run(&scratch, script);
    let lines: Vec<&str> = seen.succeeded().out().lines().collect();
    let [plain, again, secure, other] = lines[..] else { panic!("{seen}") };
    let places = |line: &str| -> Vec<u64> {
        line.split_whitespace().map(|address| u64::from_str_radix(address, 16).unwrap()).collect()
    };
    let prelinked = |line: &str| places(line).into_iter().find(|place| prelinked::BASES.contains(place));
    let known = prelinked(plain).is_some() && prelinked(plain) == prelinked(again);
    assert_eq!(known, prelinked::is_in_reach(), "{seen}");
    assert!(prelinked(secure).is_none() && prelinked(other).is_none() && secure != other, "{seen}");
}

/// Starts a program of $ARCH, and prints the addresses of code: the generated code, the emulator's,
/// the interpreter's, and the table, which remains of the image. Then prints the virtual size, in
/// KiB.
const WHERE: &str = "where() {
        $GUESTS/$ARCH/bin/busybox sleep 50 & PID=$!
        for i in {1..200}; do grep -q rwxp /proc/$PID/maps && break; sleep 0.02; done
        awk '$2 == \"r-xp\" && $5 || $2 == \"rwxp\" { print $1 }' /proc/$PID/maps | tr '\\n' ' '
        awk '/^VmSize/ { print $2 }' /proc/$PID/status
        kill $PID; wait $PID 2>/dev/null
    }";

/// The addresses in such a line, in ascending order, and the size.
fn code(line: &str) -> ([std::ops::Range<u64>; 4], u64) {
    let (ranges, size) = line.rsplit_once(' ').unwrap();
    let mut ranges: Vec<_> = ranges
        .split(' ')
        .map(|range| {
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            start..end
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    (ranges.try_into().unwrap_or_else(|_| panic!("{line}")), size.parse().unwrap())
}

/// Starts of programs of two architectures, 16 of each.
const STARTS: &str = "for ARCH in $FOREIGN s390x; do for n in {1..16}; do where; done; done; true";

/// Asserts that the generated code is near the emulator in all starts of the script.
#[track_caller]
fn near(script: &str) {
    let seen = Namespace::full().run(&Scratch::new(), &format!("{WHERE}\n{script}"));
    let places: Vec<_> = seen.succeeded().out().lines().map(code).collect();
    assert_eq!(places.len(), 32, "{seen}");
    for ([generated, emulator, ..], size) in &places {
        assert!(emulator.end - generated.start < 1 << 31, "{seen}");
        // The reserved part is never larger than the window in which the kernel chooses addresses.
        assert!(*size < (1 << 30) + (1 << 22), "{seen}");
    }
    // The address is not always the same.
    assert!(places[..16].iter().any(|(place, _)| place[0] != places[0].0[0]), "{seen}");
}

#[test]
fn the_code_that_is_generated_is_near_the_emulator() {
    need!(Namespace, Guests, Qemu);
    near(STARTS);
}

#[test]
fn the_code_that_is_generated_is_near_the_emulator_of_a_file_in_memory() {
    // `unshare` registers such a file. Where the kernel puts the vDSO depends on the file system.
    need!(Namespace, Guests, Qemu, Kernel(6, 7));
    let unshare = format!("{TOOL} unshare -a $FOREIGN -a s390x");
    near(&format!("export GUESTS FOREIGN; export -f where; {unshare} -- bash -c '{STARTS}'"));
}

#[test]
fn without_room_for_the_addresses_around_it_the_emulator_runs_too() {
    need!(Namespace, Guests, Qemu);
    let script = format!("{WHERE}\nulimit -v 16000000; for ARCH in $FOREIGN s390x; do where; done; true");
    let seen = Namespace::full().run(&Scratch::new(), &script);
    let sizes: Vec<u64> = seen.succeeded().out().lines().map(|line| code(line).1).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size < 16_000_000), "{seen}");
}
