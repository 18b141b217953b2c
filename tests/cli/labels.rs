//! The labels of SELinux and AppArmor in `explain`. No machine of the tests has both, so files in a
//! private mount namespace stand for those of the kernel.

use serde_json::{Value, json};

use crate::support::{Namespace, Observation, Scratch, compiled, need};

/// Functions of the scripts. `files` is a file system of the namespace, so that root of the
/// namespace may label its files.
const PRELUDE: &str = r#"
    mkdir -p system/fs files attributes/apparmor
    mount --rbind system /sys && mount -t tmpfs none files || exit 2
    cp guest files
    # The label of this process, and of the command that it executes.
    selinux() { mkdir -p /sys/fs/selinux; printf $1 >/sys/fs/selinux/enforce; printf '%s\0' $2 >attributes/current; }
    apparmor() {
        mkdir -p /sys/module/apparmor/parameters
        echo $1 >/sys/module/apparmor/parameters/enabled; echo "$2" >attributes/apparmor/current
    }
    explain() { mount --bind attributes /proc/$BASHPID/attr && exec $TOOL explain --no-probe "$@" files/guest; }
    shell=unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
"#;

fn run(script: &str) -> Observation {
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let label = compiled("label", "tests/support/callers/label.c", &["-static"]);
    Namespace::empty().run(&scratch, &format!("LABEL={}\n{PRELUDE}\n{script}", label.display()))
}

/// The lines from that of the label to the next section.
fn section(seen: &Observation) -> String {
    let lines = seen.exited(1).out().lines().skip_while(|line| !line.starts_with("  label "));
    let lines = lines.enumerate().take_while(|(index, line)| *index == 0 || line.starts_with("    "));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn selinux() {
    need!(Namespace, Compiler);
    let script = "selinux 1 $shell; $LABEL files/guest system_u:object_r:bin_t:s0; explain";
    assert_eq!(
        section(&run(script)),
        "  label       of SELinux, enforcing: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023; of \
         the file: system_u:object_r:bin_t:s0\n"
    );
    assert_eq!(
        section(&run("selinux 0 system_u:system_r:init_t:s0; explain")),
        "  label       of SELinux, not enforcing: system_u:system_r:init_t:s0\n"
    );
}

#[test]
fn apparmor() {
    need!(Namespace, Compiler);
    for (label, shown) in [
        ("unconfined", "of AppArmor, not enforcing: unconfined"),
        ("/usr/bin/man (enforce)", "of AppArmor, enforcing: /usr/bin/man (enforce)"),
        ("firefox (complain)", "of AppArmor, not enforcing: firefox (complain)"),
    ] {
        let seen = run(&format!("apparmor Y '{label}'; explain"));
        assert_eq!(section(&seen), format!("  label       {shown}\n"), "{seen}");
    }
    assert_eq!(section(&run("apparmor N unconfined; explain")), "");
}

#[test]
fn both_as_json() {
    need!(Namespace, Compiler);
    let seen = run("selinux 1 $shell; apparmor Y 'a (enforce)'; $LABEL files/guest bin_t; explain --json");
    let answer: Value = seen.exited(1).json();
    let shell = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023";
    let expected = json!([
        {"name": "SELinux", "enforcing": true, "caller": shell},
        {"name": "AppArmor", "enforcing": true, "caller": "a (enforce)"},
    ]);
    assert_eq!((&answer["security"], &answer["label"]), (&expected, &json!("bin_t")), "{seen}");
    let seen = run("$LABEL files/guest bin_t; explain --json");
    assert_eq!((&seen.json()["security"], &seen.json()["label"]), (&json!([]), &json!(null)), "{seen}");
}
