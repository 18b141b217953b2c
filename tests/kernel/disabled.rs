//! Architectures that the table disables: one line, which says by whom, and nothing is started.

use serde_json::json;

use crate::support::{FOREIGN, Kind, Namespace, Report, Scratch, TOOL, build, need, reporting, tool};

/// What is said of the guest if the row is disabled by `by`.
fn line(by: &str) -> String {
    format!("./guest: {FOREIGN} is disabled by {by}: enable it there, then run binfmt-dispatch install")
}

#[test]
fn programs_are_refused_and_the_file_is_named() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let file = scratch.at("table.json");
    for (value, by) in [(json!(true), &*file), (json!("ops@example.org"), "ops@example.org")] {
        let namespace = Namespace::with_table(&scratch, &row.clone().with("disabled", value).table());
        namespace.run(&scratch, "./guest").not_started(126, &line(by));
        // Nothing that the caller sets changes that.
        namespace.run(&scratch, "QEMU_CPU=max QEMU_LD_PREFIX=/ ./guest").not_started(126, &line(by));
        // `run` reads the same table.
        namespace.run(&scratch, &format!("{TOOL} --table table.json run ./guest")).refused(126, &line(by));
    }
    let namespace = Namespace::with_table(&scratch, &row.with("disabled", json!(false)).table());
    Report::of(&namespace.run(&scratch, "./guest"));
}

#[test]
fn privileged_programs_are_refused_too() {
    need!(Namespace, Compiler, Root);
    let (scratch, row) = reporting(Kind::Pie);
    let namespace = Namespace::with_table(&scratch, &row.with("disabled", json!(true)).table());
    let script = "chmod 4755 guest; exec setpriv --reuid 1000 --regid 1000 --clear-groups ./guest";
    let line = line(&scratch.at("table.json"));
    namespace.flags("POCF").mapped().run(&scratch, script).not_started(126, &line);
}

#[test]
fn its_emulator_is_not_embedded() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.probe("guest", FOREIGN);
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    for disabled in [true, false] {
        scratch.write(
            "table.json",
            format!(r#"{{"version": 1, "architectures": [{{"name": "{FOREIGN}", "disabled": {disabled}}}]}}"#),
        );
        let table = scratch.at("table.json");
        let namespace = Namespace::with_image(&scratch, &["--table", &table, "--from", &from, FOREIGN]);
        let seen = namespace.run(&scratch, "./guest");
        let listed = String::from_utf8(tool(&["list", "--json", "--image", &scratch.at("image")])).unwrap();
        assert_eq!(listed.contains("\"emulator\""), !disabled, "{listed}");
        if disabled {
            seen.not_started(126, &line(&table));
        } else {
            Report::of(&seen);
        }
    }
}
