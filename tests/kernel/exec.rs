//! Emulators that must be executed, because their row says so or because only execve(2) can start
//! them.

use serde_json::json;

use crate::support::{Kind, Namespace, Observation, Report, TOOL, build, need, reporting};

#[track_caller]
fn executed(seen: &Observation, emulator: &str, open: &str) {
    let report = Report::of(seen);
    report.argv(&[emulator, "-0", "zero", "--", "./guest", "one"]).is("descriptors", open);
    // The kernel's own account of the second exec.
    report.is("execfn", emulator).is("proc-comm", "emulator\\x0a");
    assert!(report.all("aux.2").is_empty(), "AT_EXECFD is there: {seen}");
}

#[test]
fn the_row_may_ask_for_it() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Dynamic] {
        let (scratch, row) = reporting(kind);
        let row = row.with("strategy", json!("exec")).with("environment", json!({"ADDED": "1"}));
        let namespace = Namespace::with_table(&scratch, &row.table());
        let seen = namespace.run(&scratch, "$CALL ./guest zero one");
        executed(&seen, &scratch.at("emulator"), "0 1 2");
        assert!(Report::of(&seen).all("env").contains(&"ADDED=1".to_owned()), "{seen}");
    }
}

#[test]
fn what_cannot_be_mapped_is_executed() {
    need!(Namespace, Compiler);
    for kind in [Kind::Dynamic, Kind::ExecutableStack] {
        let (scratch, row) = reporting(kind);
        let namespace = Namespace::with_table(&scratch, &row.table());
        executed(&namespace.run(&scratch, "$CALL ./guest zero one"), &scratch.at("emulator"), "0 1 2");
    }
}

#[test]
fn argv0_is_passed_in_place_only_to_a_mapped_emulator() {
    need!(Namespace, Compiler);
    for (kind, argv0) in [(Kind::Pie, &["zero"][..]), (Kind::Dynamic, &[])] {
        let (scratch, row) = reporting(kind);
        let namespace = Namespace::with_table(&scratch, &row.with("argv0", json!("auxv")).table());
        let emulator = scratch.at("emulator");
        let argv = |argv0: &[&'static str]| [&[&*emulator, "--", "./guest"], argv0, &["one"]].concat();
        let seen = namespace.run(&scratch, "$CALL ./guest zero one");
        Report::of(&seen).argv(&argv(argv0)).is("aux.8", if argv0.is_empty() { "0" } else { "1" });
        // `run` always executes it.
        let seen = namespace.run(&scratch, &format!("{TOOL} --table table.json run ./guest one"));
        Report::of(&seen).argv(&argv(&[])).is("aux.8", "0");
    }
}

#[test]
fn closed_standard_descriptors_stay_closed() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Dynamic);
    let namespace = Namespace::with_table(&scratch, &row.table());
    let seen = namespace.run(&scratch, "export REPORT=r; $CALL ./guest zero one <&- >&-; cat r");
    executed(&seen, &scratch.at("emulator"), "2");
}

#[test]
fn an_execute_only_program_is_refused_and_not_leaked() {
    need!(Namespace, Compiler, Root);
    let (scratch, row) = reporting(Kind::Dynamic);
    scratch.mode("guest", 0o111);
    let namespace = Namespace::with_table(&scratch, &row.table()).mapped();
    let script = "exec setpriv --reuid 1000 --regid 1000 --clear-groups ./guest";
    let emulator = scratch.at("emulator");
    let line = format!(
        "./guest: the emulator {emulator} has to open the program by its path, and cannot: \
         make the program readable, or use a static emulator"
    );
    namespace.run(&scratch, script).not_started(126, &line);
}

#[test]
fn a_program_without_a_path_of_its_own_is_refused() {
    need!(Namespace, Compiler);
    // The file is deleted after the kernel has opened it and before the interpreter does, so only
    // its descriptor names it.
    let (scratch, row) = reporting(Kind::Dynamic);
    let namespace = Namespace::with_table(&scratch, &row.table());
    let seen = namespace.run(&scratch, "exec 5<guest; rm guest; exec /dev/fd/5 one");
    let report = Report::of(&seen);
    report.argv(&[&scratch.at("emulator"), "-0", "/dev/fd/5", "--", "/dev/fd/5", "one"]).is("descriptors", "0 1 2 5");
}

#[test]
fn an_emulator_that_is_no_program_is_refused() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Dynamic);
    let row = row.with("strategy", json!("exec"));
    let namespace = Namespace::with_table(&scratch, &row.table());
    let emulator = scratch.at("emulator");
    for (damage, text) in [("chmod -x emulator", "permission denied"), ("echo >emulator", "exec format error")] {
        let seen = namespace.run(&scratch, &format!("{damage}; ./guest"));
        seen.not_started(126, &format!("./guest: cannot execute the emulator {emulator}: {text}: check it with ls -l"));
        scratch.write("emulator", build(Kind::Dynamic));
    }
}
