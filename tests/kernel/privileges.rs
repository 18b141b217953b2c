//! Programs that gain privileges, in a namespace where the ids 0 to 65535 exist. With flag C they
//! run if the emulator is embedded, and are refused if it is opened by a path. Without the flag
//! they run unprivileged.

use crate::embedded::whole;
use crate::support::{FOREIGN, Kind, Namespace, Report, Scratch, build, need, reporting};

/// Becomes an ordinary user.
const AS_USER: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";

fn bench() -> (Scratch, Namespace) {
    let (scratch, row) = reporting(Kind::Pie);
    let namespace = Namespace::with_table(&scratch, &row.table());
    (scratch, namespace.mapped())
}

#[test]
fn privileged_programs_are_refused() {
    need!(Namespace, Compiler, Root);
    let (scratch, namespace) = bench();
    let namespace = namespace.flags("POCF");
    let line = format!(
        "./guest: this start is privileged (set-ID, capabilities, or differing real and effective IDs), and \
         the emulator for {FOREIGN} is not embedded in the image: register without flag C, or drop the \
         privileges first"
    );
    for (uid, gid, mode) in [(0, 0, "4755"), (0, 0, "2755"), (60, 60, "6711"), (60, 0, "4111")] {
        let script = format!("chown {uid}:{gid} guest; chmod {mode} guest; exec {AS_USER} ./guest");
        namespace.run(&scratch, &script).not_started(126, &line);
    }
    // The refusal does not depend on anything that the caller can remove or add.
    let script = format!("chmod 4755 guest; rm emulator; QEMU_LD_PREFIX=/ exec {AS_USER} ./guest");
    namespace.run(&scratch, &script).not_started(126, &line);
}

#[test]
fn with_flag_c_others_run_as_ever() {
    need!(Namespace, Compiler, Root);
    let (scratch, namespace) = bench();
    let namespace = namespace.flags("POCF");
    for script in [
        // The file gives no privileges, gives none that the caller lacks, or is started by a
        // process that may not gain any.
        format!("exec {AS_USER} ./guest"),
        "chmod 4755 guest; ./guest".to_owned(),
        format!("chmod 4755 guest; exec {AS_USER} --no-new-privs ./guest"),
    ] {
        Report::of(&namespace.run(&scratch, &script)).is("aux.23", "0");
    }
}

#[test]
fn without_flag_c_they_run_without_privileges() {
    need!(Namespace, Compiler, Root);
    let (scratch, namespace) = bench();
    for mode in ["4755", "2755", "4111"] {
        let script = format!("chmod {mode} guest; exec {AS_USER} ./guest");
        let report = Report::of(&namespace.run(&scratch, &script));
        // AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE.
        report.is("aux.11", "1000").is("aux.12", "1000").is("aux.13", "1000").is("aux.14", "1000").is("aux.23", "0");
    }
}

#[test]
fn with_the_emulator_inside_they_run_with_their_privileges() {
    need!(Namespace, Compiler, Root);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned] {
        let (scratch, _) = reporting(kind);
        let namespace = Namespace::embedding(&scratch, &[]).flags("POCF").mapped();
        let start = format!("export QEMU_LD_PREFIX=/ QEMU_ANY=1 OTHER=1; exec {AS_USER} ./guest");
        let usual: u64 = Report::of(&namespace.run(&scratch, &start)).number("base");
        for (uid, gid, mode) in [(0, 0, "4755"), (0, 0, "2755"), (60, 60, "6711"), (60, 0, "4111")] {
            let script = format!("chown {uid}:{gid} guest; chmod {mode} guest; {start}");
            let seen = namespace.run(&scratch, &script);
            let report = Report::of(&seen);
            whole(&report);
            let effective =
                |bit: &str, id: i32| if mode.starts_with(['6', bit.as_bytes()[0] as char]) { id } else { 1000 };
            let (euid, egid) = (effective("4", uid).to_string(), effective("2", gid).to_string());
            // AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE.
            report.is("aux.11", "1000").is("aux.12", &euid).is("aux.13", "1000").is("aux.14", &egid).is("aux.23", "1");
            let ids = format!(
                r"Uid:\x091000\x09{euid}\x09{euid}\x09{euid}\x0aGid:\x091000\x09{egid}\x09{egid}\x09{egid}\x0a"
            );
            assert!(report.get("proc-status").contains(&ids), "{ids}: {seen}");
            let environment = report.all("env");
            assert!(environment.contains(&"OTHER=1".to_owned()), "{seen}");
            assert!(!environment.iter().any(|variable| variable.starts_with("QEMU_")), "{seen}");
            let base: u64 = report.number("base");
            assert_eq!(base == usual, kind == Kind::Fixed, "{base:x}: {seen}");
        }
    }
}

#[test]
fn an_image_refuses_what_it_does_not_hold() {
    need!(Namespace, Compiler, Root);
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.probe("guest", "s390x");
    let namespace = Namespace::embedding(&scratch, &[]).flags("POCF").mapped();
    let line = "./guest: this start is privileged (set-ID, capabilities, or differing real \
                and effective IDs), and the emulator for s390x is not embedded in the image: register without \
                flag C, or drop the privileges first";
    namespace.run(&scratch, &format!("chmod 4755 guest; exec {AS_USER} ./guest")).not_started(126, line);
}
