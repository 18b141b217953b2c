//! Real foreign programs, started in every way that programs are started. Each case runs through
//! binfmt-dispatch and with QEMU registered directly.

use crate::support::{Namespace, Observation, Scratch, both, both_with_argv0, for_each, guests, need};

/// Runs `body` for every foreign busybox, $BB, in a directory of its own.
#[track_caller]
pub fn each(body: &str) -> Observation {
    both(&for_all(body))
}

/// The same for a body that gives programs an argv\[0\].
#[track_caller]
fn each_with_argv0(body: &str) -> Observation {
    both_with_argv0(&for_all(body))
}

fn for_all(body: &str) -> String {
    format!("for ARCH in $ARCHITECTURES; do mkdir $ARCH && cd $ARCH; BB=$GUESTS/$ARCH/bin/busybox\n{body}\ncd ..; done")
}

/// `text` for every one of them.
pub fn times(text: &str) -> String {
    for_each(|_| text.to_owned())
}

#[test]
fn the_machine_is_the_foreign_one() {
    need!(Namespace, Guests, Qemu);
    let machines = for_each(|guest| format!("{}\n", guest.machine));
    each("$BB uname -m").printed(&machines);
}

#[test]
fn exit_statuses_are_kept() {
    need!(Namespace, Guests, Qemu);
    each("$BB true; echo $?; $BB sh -c 'exit 7'; echo $?; $BB sh -c 'exit 255'; echo $?")
        .printed(&times("0\n7\n255\n"));
}

#[test]
fn deaths_by_signal_are_kept() {
    need!(Namespace, Guests, Qemu);
    let seen = each("{ for s in KILL TERM PIPE INT; do $BB sh -c \"kill -$s \\$\\$\"; echo $?; done; } 2>/dev/null");
    seen.printed(&times("137\n143\n141\n130\n"));
}

#[test]
fn argv0_is_the_callers() {
    need!(Namespace, Guests, Qemu);
    let seen = each_with_argv0(
        "ln -s $BB echo
        ./echo applet
        PATH=.:$PATH env echo by name
        (exec -a echo $BB named)
        (exec -a sh $BB -c 'echo $0 $1' zero one)
        (exec -a ./some/ash $BB -c 'echo $0')",
    );
    seen.printed(&times("applet\nby name\nnamed\nzero one\n./some/ash\n"));
}

#[test]
fn odd_names_are_kept() {
    need!(Namespace, Guests, Qemu);
    // Busybox complains that it has no applets with these names, and thereby shows its argv[0].
    let seen = each_with_argv0(
        "for name in 'with space' -E -L '--' '*' $'new\\nline' 'ünïcode'; do
            cp $BB \"./$name\"; \"./$name\" argument; echo $?
            (PATH=.:; \"$name\" argument); echo $?
            (exec -a \"$name\" $BB argument); echo $?
            (exec -a \"$name\" \"./$name\" argument); echo $?
            rm \"./$name\"
        done 2>&1
        (exec -a '' $BB argument) 2>&1; echo $?",
    );
    seen.succeeded();
    assert_eq!(seen.out().matches("applet not found").count(), 29 * guests().len(), "{seen}");
}

#[test]
fn a_program_whose_path_is_an_option_runs_only_through_us() {
    need!(Namespace, Guests, Qemu, Compiler);
    let script = "cp $GUESTS/$FOREIGN/bin/busybox ./-E; cp ./-E ./-version
        for name in -E -version; do $CALL $name echo ran; echo $?; done 2>&1";
    let ours = Namespace::ours().run(&Scratch::new(), script);
    ours.printed("ran\n0\nran\n0\n");
    // The difference: QEMU takes the names for its own options.
    let direct = Namespace::direct().run(&Scratch::new(), script);
    assert!(!direct.out().contains("ran\n"), "{direct}");
}

#[test]
fn pipes_break_as_they_should() {
    need!(Namespace, Guests, Qemu);
    each("$BB yes | head -n 1; echo ${PIPESTATUS[@]}").printed(&times("y\n141 0\n"));
}

#[test]
fn standard_input_is_the_programs() {
    need!(Namespace, Guests, Qemu);
    each("printf 'a\\0b\\n' | $BB od -An -tx1; { $BB dd bs=1 count=2 status=none; $BB cat; } <<<'abcd'")
        .printed(&times(" 61 00 62 0a\nabcd\n"));
}

#[test]
fn the_environment_is_the_callers() {
    need!(Namespace, Guests, Qemu);
    let seen = each(
        "env -i A=1 'B=two words' C= $'D=\\x01\\xff\\n=' =empty QEMU_UNKNOWN=1 LD_PRELOAD=/nowhere $BB env | sort | od -c
        env -i $BB env",
    );
    seen.succeeded();
    assert!(seen.out().contains("Q   E   M   U"), "{seen}");
}

#[test]
fn scripts_may_name_foreign_programs() {
    need!(Namespace, Guests, Qemu);
    // The shell shows the path in a `#!` line as $0, and the script's own path among its arguments.
    let seen = each(
        "ln -s $BB sh; ln -s $BB cat
        printf '#!sh\necho $0 \"$@\"\n' >plain; printf '#!sh -u\necho $0 $-\n' >option
        printf '#! ./cat\nshown\n' >shown; printf '#!./shown\n' >nested
        chmod +x plain option shown nested
        ./plain one 'two words'; PATH=. option; ./shown; ./nested",
    );
    seen.printed(&times("./plain one two words\n./option u\n#! ./cat\nshown\n#! ./cat\nshown\n#!./shown\n"));
}

#[test]
fn foreign_shells_start_programs_of_every_kind() {
    need!(Namespace, Guests, Qemu);
    let seen =
        each("for OTHER in $ARCHITECTURES; do $BB sh -c \"$GUESTS/$OTHER/bin/busybox uname -m; /bin/uname -m\"; done");
    let native = std::env::consts::ARCH;
    let machines = for_each(|guest| format!("{}\n{native}\n", guest.machine));
    seen.printed(&times(&machines));
}

#[test]
fn two_hundred_programs_one_after_the_other() {
    need!(Namespace, Guests, Qemu);
    let expected: String = (1..=200).map(|number| format!("{number}\n")).collect();
    both("for i in {1..200}; do $GUESTS/$FOREIGN/bin/busybox echo $i; done").printed(&expected);
}

#[test]
fn thirty_two_programs_at_once() {
    need!(Namespace, Guests, Qemu);
    // All processes must exist before any may go on.
    let seen = both(
        "mkfifo go; set -- $ARCHITECTURES
        for i in {1..32}; do
            eval ARCH=\\${$((i % $# + 1))}
            $GUESTS/$ARCH/bin/busybox sh -c \"echo >arrived.$i; read line <go; echo $i \\$(uname -m)\" >out.$i &
        done
        until [ $(ls | grep -c arrived) = 32 ]; do sleep 0.01; done
        exec 3<>go; for i in {1..32}; do echo >&3; done
        wait; cat out.*| sort -n",
    );
    assert_eq!(seen.succeeded().out().lines().count(), 32, "{seen}");
}
