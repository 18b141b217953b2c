//! The image with all installed emulators, where there is nothing else: no emulator, no /proc, no /dev.

use crate::probes;
use crate::programs::NEEDS;
use crate::support::{Namespace, Need, Scratch, for_each, have};

#[test]
fn every_foreign_probe_runs_in_an_empty_root() {
    if !have(&[Need::Namespace, Need::Qemu]) {
        return;
    }
    let names = probes::foreign();
    let expected: String = names.iter().map(|name| format!("{name} 0\n")).collect();
    let scratch = Scratch::new();
    for name in &names {
        scratch.probe(&format!("root.{name}/guest"), name);
    }
    let script = format!("for name in {}; do chroot root.$name /guest; echo $name $?; done", names.join(" "));
    Namespace::full().run(&scratch, &script).printed(&expected);
}

#[test]
fn real_programs_run_in_an_empty_root() {
    if !have(NEEDS) {
        return;
    }
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
    if !have(NEEDS) {
        return;
    }
    let script = "for ARCH in $ARCHITECTURES; do mkdir -p root/$ARCH; cp $GUESTS/$ARCH/bin/busybox root/$ARCH; done
        set -- $ARCHITECTURES
        exec chroot root /$1/busybox sh -c 'for ARCH; do /$ARCH/busybox uname -m; done' sh \"$@\"";
    let machines = for_each(|guest| format!("{}\n", guest.machine));
    Namespace::full().run(&Scratch::new(), script).printed(&machines);
}

#[test]
fn limits_and_layouts_make_no_difference() {
    if !have(NEEDS) {
        return;
    }
    let script = "for ARCH in $ARCHITECTURES; do BB=$GUESTS/$ARCH/bin/busybox
        (ulimit -s unlimited; $BB uname -m); (ulimit -s 256; $BB uname -m); setarch -R $BB uname -m
        (ulimit -s unlimited; setarch -R $BB uname -m); done";
    let expected = for_each(|guest| format!("{}\n", guest.machine).repeat(4));
    Namespace::full().run(&Scratch::new(), script).printed(&expected);
}

#[test]
fn five_hundred_programs_thirty_two_at_once() {
    if !have(NEEDS) {
        return;
    }
    let script = "set -- $ARCHITECTURES
        for i in {1..500}; do eval echo \\${$((i % $# + 1))} $i; done |
        xargs -P 32 -L 1 sh -c '$0/$1/bin/busybox echo $2 >out.$2 || echo failed $2' $GUESTS
        cat out.* | sort -n";
    let expected: String = (1..=500).map(|number| format!("{number}\n")).collect();
    Namespace::full().run(&Scratch::new(), script).printed(&expected);
}

#[test]
fn a_setuid_program_is_where_nobody_knows() {
    if !have(&[NEEDS, &[Need::Root]].concat()) {
        return;
    }
    let scratch = Scratch::new();
    // Where the emulator's part of the image is mapped, by a program without privileges and twice by one with them.
    let script = "cp $GUESTS/arm64/bin/busybox busybox
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
    // Prelinked emulators are below 0x6e00_0000_0000, and the kernel's choice is above that.
    let prelinked =
        |line: &str| places(line).into_iter().find(|place| (0x6000_0000_0000..0x6e00_0000_0000).contains(place));
    assert!(prelinked(plain).is_some() && prelinked(plain) == prelinked(again), "{seen}");
    assert!(prelinked(secure).is_none() && prelinked(other).is_none() && secure != other, "{seen}");
}

#[test]
fn the_code_that_is_generated_is_near_the_emulator() {
    if !have(NEEDS) {
        return;
    }
    const GIB: u64 = 1 << 30;
    // The emulator's own code, and the code that it has generated.
    let script = "for LIMIT in unlimited 16000000; do for ARCH in arm64 s390x arm64; do
            (ulimit -v $LIMIT; exec $GUESTS/$ARCH/bin/busybox sleep 50) & PID=$!
            for i in {1..100}; do grep -q rwxp /proc/$PID/maps && break; sleep 0.05; done
            awk '/ r-xp .*full-image/ || / rwxp / { print $1 }' /proc/$PID/maps | tr '\\n' ' '
            awk '/^VmSize/ { print $2 }' /proc/$PID/status
            kill $PID; wait $PID 2>/dev/null
        done; done; true";
    let seen = Namespace::full().run(&Scratch::new(), script);
    let lines: Vec<Vec<&str>> = seen.succeeded().out().lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 6, "{seen}");
    let mut generated = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let [ranges @ .., size] = &line[..] else { panic!("{seen}") };
        let mut ranges: Vec<(u64, u64)> = ranges
            .iter()
            .map(|range| {
                let [start, end] =
                    [0, 1].map(|side| u64::from_str_radix(range.split('-').nth(side).unwrap(), 16).unwrap());
                (start, end)
            })
            .collect();
        ranges.sort_unstable();
        // The generated code lies below the emulator; ours, which is left behind, above both.
        let [code, emulator, _] = ranges[..] else { panic!("{seen}") };
        if number < 3 {
            assert!(emulator.1 - code.0 < 2 * GIB, "{line:x?}\n{seen}");
            generated.push(code.0);
        } else {
            // Where there is no room for the reservation it runs without.
            assert!(size.parse::<u64>().unwrap() < 16_000_000, "{seen}");
        }
    }
    assert_ne!(generated[0], generated[2], "always in the same place");
}
