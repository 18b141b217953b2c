//! Programs that gain privileges, in a namespace where the ids 0 to 65535 exist: with flag C they are refused as long
//! as emulators come from paths, without it they run unprivileged.

use crate::support::{Kind, Namespace, Need, Report, Row, Scratch, build, have};

const NEEDS: &[Need] = &[Need::Namespace, Need::Compiler, Need::Root];
/// Becomes an ordinary user.
const AS_USER: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";

fn bench() -> (Scratch, Namespace) {
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.probe("guest", "aarch64");
    let namespace = Namespace::with_table(&scratch, &Row::new("aarch64", &scratch.at("emulator")).table());
    (scratch, namespace.mapped())
}

#[test]
fn privileged_programs_are_refused() {
    if !have(NEEDS) {
        return;
    }
    let (scratch, namespace) = bench();
    let namespace = namespace.flags("POCF");
    let line = "./guest: the kernel marked this start as privileged (set-id, capabilities, or a caller with different \
                real and effective ids), and the emulator for aarch64 is not inside the registered file: register \
                without the C flag, or drop the privileges first";
    for (uid, gid, mode) in [(0, 0, "4755"), (0, 0, "2755"), (60, 60, "6711"), (60, 0, "4111")] {
        let script = format!("chown {uid}:{gid} guest; chmod {mode} guest; exec {AS_USER} ./guest");
        namespace.run(&scratch, &script).refused(126, line);
    }
    // The refusal does not depend on what the caller can take away or add.
    let script = format!("chmod 4755 guest; rm emulator; QEMU_LD_PREFIX=/ exec {AS_USER} ./guest");
    namespace.run(&scratch, &script).refused(126, line);
}

#[test]
fn with_flag_c_others_run_as_ever() {
    if !have(NEEDS) {
        return;
    }
    let (scratch, namespace) = bench();
    let namespace = namespace.flags("POCF");
    for script in [
        // No privileges in the file; none to gain; none allowed.
        format!("exec {AS_USER} ./guest"),
        "chmod 4755 guest; ./guest".to_owned(),
        format!("chmod 4755 guest; exec {AS_USER} --no-new-privs ./guest"),
    ] {
        Report::of(&namespace.run(&scratch, &script)).is("aux.23", "0");
    }
}

#[test]
fn without_flag_c_they_run_without_privileges() {
    if !have(NEEDS) {
        return;
    }
    let (scratch, namespace) = bench();
    for mode in ["4755", "2755", "4111"] {
        let script = format!("chmod {mode} guest; exec {AS_USER} ./guest");
        let report = Report::of(&namespace.run(&scratch, &script));
        // AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE.
        report.is("aux.11", "1000").is("aux.12", "1000").is("aux.13", "1000").is("aux.14", "1000").is("aux.23", "0");
    }
}
