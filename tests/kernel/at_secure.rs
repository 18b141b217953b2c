//! Whether the kernel marks a start as privileged (`AT_SECURE`), compared with the prediction of
//! `explain`: every rule of `dispatch_core::privilege` on a running kernel.

use std::os::unix::fs::chown;

use crate::support::{FOREIGN, Kind, Namespace, Registry, Row, Scratch, TOOL, build, kernel_since, need};

/// Functions for scripts. `try CALLER…` has the caller explain $G and start it, and prints both
/// results: `AT_SECURE` as 0 or 1, or `refused`. `env` starts $G: like a shell, and like the
/// command, it has only the capabilities that outlast an exec.
const TRY: &str = r#"
explained() {
    out=$("$@" ./tool explain "$G" 2>&1)
    case $out in
    *'(AT_SECURE)'*) echo 1 ;;
    *'capabilities that cannot be gained here'*) echo refused ;;
    *': runs here.'*) echo 0 ;;
    *) echo "odd: $out" ;;
    esac
}
started() {
    out=$("$@" env "$G" 2>&1)
    case $out in
    *'aux.23 1'*) echo 1 ;;
    *'aux.23 0'*) echo 0 ;;
    *'this start is privileged'*) echo 1 ;;
    *'ermission denied'* | *'not permitted'*) echo refused ;;
    *) echo "odd: $out" ;;
    esac
}
try() { echo "$(explained "$@") $(started "$@")"; }
user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
G=./guest
"#;

/// Selects a program whose ids the namespace does not have.
const UNMAPPED: &str = "G=./unmapped";

/// Cases in which Linux before 6.16 differs. With `no_new_privs` it resets effective ids that are
/// not the real ones at the first exec, which is that of `env` or of the command. And a process
/// that becomes the real user again gains nothing.
const BEFORE_6_16: &[Case] = &[
    (":", "try setpriv --ruid 1000 --euid 60 --clear-groups --no-new-privs", "0", "0"),
    ("chown 1000:1000 guest; chmod 4755 guest", "try setpriv --ruid 1000 --euid 60 --clear-groups", "0", "1"),
];

/// Shell commands that prepare the program, the caller that starts it, and `AT_SECURE` with flag C
/// and without it.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// All cases, as in Linux since 6.16.
const CASES: &[Case] = &[
    // Set-id bits.
    (":", "try user", "0", "0"),
    ("chmod 4755 guest", "try user", "1", "0"),
    ("chmod 2755 guest", "try user", "1", "0"),
    ("chmod 2745 guest; chown 1000:0 guest; chmod 2745 guest", "try user", "0", "0"),
    ("chown 1000:1000 guest; chmod 6755 guest", "try user", "0", "0"),
    ("chown 60:60 guest; chmod 6755 guest", "try user", "1", "0"),
    ("chown 60:60 guest; chmod 6755 guest", "try", "1", "0"),
    ("chmod 6755 guest", "try", "0", "0"),
    ("chown 0:27 guest; chmod 2755 guest", "try setpriv --reuid 1000 --regid 1000 --groups 27", "1", "0"),
    // Conditions that prevent privileges.
    ("chmod 4755 guest", "try user --no-new-privs", "0", "0"),
    ("mkdir m; mount -t tmpfs -o nosuid none m; cp guest m; chmod 4755 m/guest; G=m/guest", "try user", "0", "0"),
    ("mkdir m; mount -t tmpfs -o suid none m; cp guest m; chmod 4755 m/guest; G=m/guest", "try user", "1", "0"),
    (UNMAPPED, "try user", "0", "0"),
    ("chmod 4755 guest", "try user unshare -U --map-user=1000", "0", "0"),
    // Ids that already differ.
    (":", "try setpriv --ruid 1000 --euid 60 --clear-groups", "1", "1"),
    (":", "try setpriv --ruid 1000 --euid 60 --clear-groups --no-new-privs", "1", "1"),
    (":", "try setpriv --rgid 1000 --egid 60 --clear-groups", "1", "1"),
    (":", "try setpriv --ruid 0 --euid 60 --clear-groups", "1", "1"),
    ("chown 1000:1000 guest; chmod 4755 guest", "try setpriv --ruid 1000 --euid 60 --clear-groups", "1", "1"),
    // File capabilities.
    ("setcap cap_net_raw+ep guest", "try user", "1", "0"),
    ("setcap cap_net_raw+p guest", "try user", "1", "0"),
    ("setcap cap_net_raw+ie guest", "try user", "1", "0"),
    ("setcap cap_net_raw+i guest", "try user", "0", "0"),
    ("setcap cap_net_raw+i guest", "try user --inh-caps +net_raw", "1", "0"),
    ("setcap cap_net_raw+ep guest", "try", "0", "0"),
    ("setcap cap_net_raw+ep guest; chmod 4755 guest", "try user", "1", "0"),
    ("setcap cap_net_raw+ep guest", "try user --no-new-privs", "1", "0"),
    ("setcap cap_net_raw+p guest", "try user --no-new-privs", "0", "0"),
    ("setcap cap_net_raw+ep guest", "try setpriv --bounding-set -net_raw", "refused", "0"),
    ("setcap cap_net_raw+ep guest", "try user --bounding-set -net_raw", "refused", "0"),
    ("setcap cap_net_raw+p guest", "try user --bounding-set -net_raw", "0", "0"),
    (
        "mkdir m; mount -t tmpfs -o nosuid none m; cp guest m; setcap cap_net_raw+ep m/guest; G=m/guest",
        "try user",
        "0",
        "0",
    ),
    // Other user namespaces.
    ("setcap -n 1000 cap_net_raw+ep guest", "try user", "0", "0"),
    ("setcap cap_net_raw+ep guest", "try user unshare -U --map-user=1000", "1", "0"),
    ("setcap cap_net_raw+ep guest", "try unshare -U --map-user=1000", "1", "0"),
    ("setcap -n 1000 cap_net_raw+ep guest", "try user unshare -U --map-root-user", "0", "0"),
    ("setcap -n 1000 cap_net_raw+ep guest", "try unshare -U --map-user=1000", "0", "0"),
    // Callers with capabilities.
    (":", "try user --inh-caps +net_raw --ambient-caps +net_raw", "0", "0"),
    ("setcap cap_net_raw+p guest", "try user --inh-caps +net_raw --ambient-caps +net_raw", "1", "0"),
    ("chmod 4755 guest", "try user --securebits +noroot", "1", "0"),
    (":", "try setpriv --securebits +noroot", "0", "0"),
    ("setcap cap_net_raw+ep guest", "try setpriv --securebits +noroot", "0", "0"),
];

/// Runs every case in a namespace where an image, with or without embedded emulators, is registered
/// with these flags.
fn outcomes(flags: &str, inside: bool) -> Vec<String> {
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.write("tool", std::fs::read(TOOL).unwrap());
    scratch.probe("original", FOREIGN);
    scratch.probe("unmapped", FOREIGN);
    // Beyond the ids of the namespace.
    chown(scratch.at("unmapped"), Some(70_000), Some(70_000)).unwrap();
    scratch.mode("unmapped", 0o6755);
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    let namespace = match inside {
        true => Namespace::with_image(&scratch, &["--from", &from]),
        false => Namespace::with_table(&scratch, &Row::new(FOREIGN, &scratch.at("emulator")).table()),
    };
    let mut script = TRY.to_owned();
    for (setup, attempt, ..) in CASES {
        script += &format!("rm -rf guest; cp original guest; (set -e; {setup}; set +e; {attempt}) || echo failed\n");
        script += "umount m 2>/dev/null; rm -rf m\n";
    }
    let seen = namespace.flags(flags).mapped().run(&scratch, &script);
    // The setcap of libcap 2.75 says so with the option -n.
    let lines: Vec<String> = seen.out().lines().filter(|line| *line != "got here").map(str::to_owned).collect();
    assert_eq!(lines.len(), CASES.len(), "{seen}");
    lines
}

/// Compares the results of each case with the expected ones.
fn check(flags: &str, inside: bool) {
    let earlier = |case: &Case| BEFORE_6_16.iter().find(|other| (other.0, other.1) == (case.0, case.1));
    let expected = |case: &'static Case| {
        let case = if kernel_since(6, 16) { case } else { earlier(case).unwrap_or(case) };
        match flags.contains('C') {
            // On the machine itself every id exists.
            true if case.0 == UNMAPPED && Registry::of_tests() == Registry::Own => "1",
            true => case.2,
            false => case.3,
        }
    };
    let wrong: Vec<String> = (CASES.iter().zip(outcomes(flags, inside)))
        .map(|(case, outcome)| (case, expected(case), outcome))
        .filter(|(_, expected, outcome)| *outcome != format!("{expected} {expected}"))
        .map(|(case, expected, outcome)| format!("{}; {}: {expected}, not {outcome}", case.0, case.1))
        .collect();
    assert!(wrong.is_empty(), "with flags {flags}, what explain says and what the kernel does:\n{}", wrong.join("\n"));
}

#[test]
fn explain_knows_it_with_the_emulator_inside() {
    need!(Namespace, Compiler, Root, Capabilities);
    check("POCF", true);
}

#[test]
fn explain_knows_it_with_the_emulator_by_path() {
    need!(Namespace, Compiler, Root, Capabilities);
    check("POCF", false);
}

#[test]
fn explain_knows_it_without_flag_c() {
    need!(Namespace, Compiler, Root, Capabilities);
    check("POF", false);
}

#[test]
fn explain_ends_as_the_program_does() {
    need!(Namespace, Compiler, Root, Capabilities);
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.write("tool", std::fs::read(TOOL).unwrap());
    scratch.probe("guest", FOREIGN);
    let namespace = Namespace::with_table(&scratch, &Row::new(FOREIGN, &scratch.at("emulator")).table()).mapped();
    let run = |flags: &str, script: &str| {
        let user = "as() { setpriv --reuid 1000 --regid 1000 --clear-groups \"$@\"; }";
        namespace.clone().flags(flags).run(&scratch, &format!("{user}\n{script}"))
    };
    for (flags, setup, prefix, code, line) in [
        (
            "POCF",
            "setcap cap_net_raw+ep guest",
            "as",
            126,
            "why         this start is privileged (set-ID, capabilities, or differing \
             real and effective IDs), and the emulator for FOREIGN is not embedded in the image",
        ),
        (
            "POF",
            "setcap cap_net_raw+ep guest",
            "as",
            0,
            "credentials stays uid 1000, gid 1000; the file has capabilities, without effect: entry qemu-FOREIGN lacks \
             flag C",
        ),
        (
            "POCF",
            "setcap cap_net_raw+ep guest",
            "as --bounding-set -net_raw",
            126,
            "why         the file has capabilities that cannot be gained here, and the kernel says `Operation not \
             permitted`",
        ),
        (
            "POCF",
            "chmod 4755 guest",
            "as --no-new-privs",
            0,
            "credentials stays uid 1000, gid 1000; the file has set-id, without effect: the caller has set no_new_privs",
        ),
        (
            "POCF",
            "mount -t tmpfs -o nosuid none m; cp guest m; chmod 4755 m/guest; G=m/guest",
            "as",
            0,
            "credentials stays uid 1000, gid 1000; the file has set-id, without effect: its mount SCRATCH/m has the \
             option nosuid",
        ),
    ] {
        let script = |command: &str| format!("mkdir -p m; G=./guest; {setup}\n{prefix} {command}");
        let explained = run(flags, &script("./tool explain $G"));
        let line = line.replace("SCRATCH", &scratch.path().display().to_string()).replace("FOREIGN", FOREIGN);
        explained.has(&line).exited(code.min(1));
        assert_eq!(run(flags, &script("$G")).code(), code, "{explained}");
        scratch.probe("guest", FOREIGN);
    }
}
