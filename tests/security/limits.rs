//! Limits and states of the process that the caller chooses so that some step fails. Whatever
//! fails, a privileged program runs as it should or not at all.

use crate::lab::{ATTACKER, Lab};
use crate::support::{Release, need};

/// Resources as prlimit(1) names them, and for each some values, from one that stops the program to
/// one that does not.
const LIMITS: [(&str, &[u64]); 8] = [
    (
        "as",
        &[
            0,
            1 << 16,
            1 << 20,
            8 << 20,
            12 << 20,
            14 << 20,
            16 << 20,
            20 << 20,
            24 << 20,
            28 << 20,
            32 << 20,
            40 << 20,
            1 << 40,
        ],
    ),
    ("data", &[0, 4096, 1 << 16, 1 << 18, 1 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 1 << 40]),
    ("stack", &[0, 4096, 8192, 16 << 10, 24 << 10, 32 << 10, 48 << 10, 64 << 10, 128 << 10, 8 << 20]),
    ("nofile", &[0, 1, 2, 3, 4, 5, 6, 64]),
    ("nproc", &[0, 1, 64]),
    ("memlock", &[0, 4096]),
    ("fsize", &[0, 1, 1 << 30]),
    ("cpu", &[1, 60]),
];

/// Variables that steer emulators. If an emulator honours them, root writes a file.
const STEERING: &str = "QEMU_LOG=page QEMU_LOG_FILENAME=log QEMU_SET_ENV=INJECTED=1 QEMU_STRACE=1 QEMU_ANY=1";

#[test]
fn limits_stop_a_program_and_never_weaken_it() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // Output goes through pipes, so that a limit on the size of files does not cut it off.
    let mut attacker = String::new();
    for (name, values) in LIMITS {
        for value in values {
            attacker += &format!(
                "{{ env {STEERING} prlimit --{name}={value} ../victim 2>&3 | cat >out; }} 3>&1 </dev/null | cat >err
                echo '=== {name} {value}'; cat out; echo errors; cat err; echo done; rm out err\n"
            );
        }
    }
    attacker += "ls -A";
    for release in Release::ALL {
        let seen = Lab::ours(release).run("", &attacker);
        let mut runs: Vec<&str> = seen.out().split("=== ").skip(1).collect();
        // No other file was written: no log, no core dump.
        let (last, files) = runs.pop().unwrap().split_once("done\n").unwrap();
        assert_eq!(files, "", "{seen}");
        runs.push(last);
        assert_eq!(runs.len(), LIMITS.iter().map(|(_, values)| values.len()).sum::<usize>(), "{seen}");
        let judge = |run: &str| {
            let (limit, rest) = run.split_once('\n').unwrap();
            let (out, err) = rest.split_once("errors\n").unwrap();
            (limit.to_owned(), judge(out, err))
        };
        let verdicts: Vec<(String, Verdict)> = runs.into_iter().map(judge).collect();
        let wrong: Vec<_> = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Weaker).collect();
        assert!(wrong.is_empty(), "{release:?}: {wrong:?}\n{seen}");
        for (name, values) in LIMITS {
            let of = |value: &u64| verdicts.iter().find(|(limit, _)| *limit == format!("{name} {value}")).unwrap().1;
            assert_eq!(of(values.last().unwrap()), Verdict::AsUsual, "{name}: {seen}");
            // These limits stop a program.
            if ["as", "stack", "nofile"].contains(&name) {
                assert_eq!(of(values.first().unwrap()), Verdict::NotAtAll, "{name}: {seen}");
            }
        }
    }
}

/// The outcome of a privileged program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    AsUsual,
    NotAtAll,
    Weaker,
}

fn judge(out: &str, err: &str) -> Verdict {
    let ids = format!("program the victim\nuid {ATTACKER}\neuid 0\ngid {ATTACKER}\negid {ATTACKER}\n");
    let steered = [out, err]
        .iter()
        .any(|text| ["INJECTED", "variable QEMU_", "geteuid()"].iter().any(|word| text.contains(word)));
    match () {
        () if steered => Verdict::Weaker,
        () if out.starts_with(&ids) && out.contains("\nsecure 1\n") && out.ends_with("end\n") => Verdict::AsUsual,
        () if out.is_empty() => Verdict::NotAtAll,
        () => Verdict::Weaker,
    }
}

#[test]
fn states_of_the_caller_never_weaken_it() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // The lowest priority, other personalities, ignored and blocked signals, many descriptors, one
    // fewer, other directories.
    let attacker = format!(
        "export {STEERING}
        show() {{ \"$@\" >out 2>err </dev/null; echo \"=== $*\"; cat out; echo errors; cat err; echo done; rm out err; }}
        show nice -n 19 ../victim
        show setarch -R ../victim
        show setarch -X ../victim
        show setarch -L ../victim
        show env --ignore-signal ../victim
        show env --block-signal ../victim
        show bash -c 'for ((i = 3; i < 200; i++)); do eval \"exec $i</dev/null\"; done; exec ../victim'
        show bash -c 'exec ../victim 0<&-'
        show bash -c 'cd /; exec /mnt/victim'
        show bash -c 'mkdir gone; cd gone; rmdir ../gone; exec /mnt/victim'
        ls -A"
    );
    for release in Release::ALL {
        let seen = Lab::ours(release).run("", &attacker);
        let runs: Vec<&str> = seen.out().split("=== ").skip(1).collect();
        assert_eq!(runs.len(), 10, "{seen}");
        assert!(runs[9].ends_with("done\n"), "no files are left: {seen}");
        for run in runs {
            let (out, err) = run.split_once('\n').unwrap().1.split_once("errors\n").unwrap();
            assert_eq!(judge(out, err), Verdict::AsUsual, "{run}\n{seen}");
        }
    }
}

#[test]
fn who_forbids_new_privileges_gets_none() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    for release in Release::ALL {
        let seen = Lab::ours(release).run("", "setpriv --no-new-privs ../victim; ls -A");
        let out = seen.succeeded().out();
        assert!(out.contains("\nuid 1000\neuid 1000\n") && out.contains("\nsecure 0\n"), "{seen}");
    }
}
