//! The inherited state of a process, and its appearance to others: as if the kernel had started the
//! program itself.

use crate::programs::{each, times};
use crate::support::{FOREIGN, Namespace, Scratch, both, for_each, guests, need};

/// Starts a foreign shell that waits, shows with `look` how the host sees it, and lets it end.
fn while_waiting(look: &str) -> String {
    format!(
        "mkfifo up go; env -i A=1 $BB sh -c 'echo >up; read line <go' one 'two words' & PID=$!; read line <up
        {look}
        echo >go; wait; rm up go"
    )
}

#[test]
fn directory_and_umask_are_kept() {
    need!(Namespace, Guests, Qemu);
    let seen = each(
        "(cd /usr/bin; $BB readlink /proc/self/cwd); (cd /; env -i $BB pwd)
        (umask 027; $BB sh -c umask; $BB touch made; $BB mkdir sub; stat -c '%a %n' made sub)",
    );
    seen.printed(&times("/usr/bin\n/\n0027\n640 made\n750 sub\n"));
}

#[test]
fn ignored_signals_stay_ignored() {
    need!(Namespace, Guests, Qemu);
    let seen = each(
        "try() { $BB sh -c 'kill -INT $$; kill -PIPE $$; echo alive'; echo $?; }
        { try; (trap '' INT; try); (trap '' INT PIPE; try); } 2>/dev/null",
    );
    seen.printed(&times("130\n141\nalive\n0\n"));
}

#[test]
fn blocked_signals_stay_blocked() {
    need!(Namespace, Guests, Qemu);
    let seen = each(
        "try() { \"$@\" $BB sh -c 'kill -TERM $$; echo alive'; echo $?; }
        { try env --block-signal=TERM; try env; } 2>/dev/null",
    );
    seen.printed(&times("alive\n0\n143\n"));
}

#[test]
fn limits_are_kept() {
    need!(Namespace, Guests, Qemu);
    let seen = each(
        "(ulimit -n 77; ulimit -c 0; ulimit -s 4096; ulimit -t 99; $BB cat /proc/self/limits)
        (ulimit -s 256; $BB echo small stack); (ulimit -s unlimited; $BB echo any stack)
        setarch -R $BB echo no random addresses",
    );
    assert_eq!(seen.succeeded().out().matches("small stack\nany stack\nno random").count(), guests().len(), "{seen}");
}

#[test]
fn the_process_has_the_programs_name() {
    need!(Namespace, Guests, Qemu);
    each("ln -s $BB cat; ./cat /proc/self/comm; $BB cat /proc/self/comm").printed(&times("cat\nbusybox\n"));
}

#[test]
fn others_see_the_programs_own_command_line() {
    need!(Namespace, Guests, Qemu);
    let script = format!(
        "for ARCH in $ARCHITECTURES; do BB=$GUESTS/$ARCH/bin/busybox; {}; done",
        while_waiting("tr '\\0' '|' </proc/$PID/cmdline; echo; ps -o args= $PID")
    );
    let ours = Namespace::ours().run(&Scratch::new(), &script);
    let expected = for_each(|guest| {
        let program = guest.busybox.to_str().unwrap();
        let all = [program, "sh", "-c", "echo >up; read line <go", "one", "two words"];
        format!("{}|\n{}\n", all.join("|"), all.join(" "))
    });
    ours.printed(&expected);
    // The difference: with QEMU registered directly others see the emulator, and the program's path
    // in place of its name.
    let direct = Namespace::direct().run(&Scratch::new(), &script);
    assert!(direct.succeeded().out().starts_with("/usr/bin/qemu-"), "{direct}");
}

#[test]
fn others_see_the_programs_own_environment() {
    need!(Namespace, Guests, Qemu);
    let seen = each(&while_waiting("tr '\\0' '\\n' </proc/$PID/environ"));
    seen.printed(&times("A=1\n"));
}

#[test]
fn no_descriptor_is_left_open() {
    need!(Namespace, Guests, Qemu);
    // The fourth is the directory itself.
    let seen = each("$BB ls /proc/self/fd; (exec 7<$BB; $BB ls /proc/self/fd)");
    seen.printed(&times("0\n1\n2\n3\n0\n1\n2\n3\n7\n"));
}

#[test]
fn closed_standard_descriptors_stay_closed() {
    need!(Namespace, Guests, Qemu);
    let list = "$BB sh -c 'for f in 0 1 2 3; do [ -e /proc/self/fd/$f ] && echo $f >&9; done' 9>list";
    let but_stdin = format!("{list} >&-; cat list; {list} 2>&-; cat list; {list} >&- 2>&-; cat list");
    each(&but_stdin).printed(&times("0\n2\n0\n1\n0\n"));
    let stdin = format!("BB=$GUESTS/$FOREIGN/bin/busybox; {list} <&-; cat list; {list} <&- >&- 2>&-; cat list");
    Namespace::ours().run(&Scratch::new(), &stdin).printed("1\n2\n");
}

#[test]
fn execute_only_programs_run() {
    need!(Namespace, Guests, Qemu, Root);
    let script = "for ARCH in $ARCHITECTURES; do cp $GUESTS/$ARCH/bin/busybox busybox-$ARCH; chmod 0111 busybox-$ARCH
        setpriv --reuid 1000 --regid 1000 --clear-groups sh -c \"cat busybox-$ARCH 2>/dev/null; ./busybox-$ARCH uname -m\"; done";
    let (ours, direct) = (Namespace::ours().mapped(), Namespace::direct().mapped());
    let scratch = Scratch::new();
    let ours = ours.run(&scratch, script);
    ours.printed(&for_each(|guest| format!("{}\n", guest.machine)));
    scratch.clear();
    ours.agrees_with(&direct.run(&scratch, script));
}

#[test]
fn a_program_may_start_itself_again() {
    need!(Namespace, Guests, Qemu);
    let machines = for_each(|guest| format!("{}\n", guest.machine));
    each("$BB sh -c 'exec -a busybox /proc/self/exe uname -m'").printed(&machines);
}

#[test]
fn a_root_without_proc_will_do() {
    need!(Namespace, Guests, Qemu);
    // An empty directory as root, but for the program and its emulator.
    let seen = both(
        "mkdir -p root/usr/bin; cp /usr/bin/qemu-$FOREIGN_CPU* root/usr/bin; cp $GUESTS/$FOREIGN/bin/busybox root
        chroot root /busybox uname -m; chroot root /busybox ls /",
    );
    seen.printed(&format!("{FOREIGN}\nbusybox\nusr\n"));
}
