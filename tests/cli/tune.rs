//! `tune`, without measurements.

use crate::support::Scratch;

#[test]
fn what_cannot_be_measured_is_told() {
    let scratch = Scratch::new();
    let directory = scratch.at("");
    for (arguments, code, part) in [
        (&["z80", "--cpu", "max"][..], 2, "unknown architecture z80"),
        (&["arm64", "--cpu", "max", "--workload", "chess"], 2, "invalid value 'chess' for '--workload <NAME>'"),
        (&["hexagon"], 2, "hexagon: the table has no models to compare: give some with --cpu"),
        (
            &["arm64", "--cpu", "max", "--emulator", &directory],
            127,
            ": contains no emulator for aarch64 (qemu-aarch64-static, qemu-aarch64): name another directory",
        ),
        (&["arm64", "--cpu", "max", "--rounds", "0"], 2, "invalid value '0'"),
        (&["arm64", "--compare", "--cpu", "max"], 2, "cannot be used with"),
        (&["arm64", "--compare", "--write"], 2, "cannot be used with"),
    ] {
        let run = scratch.tool([&["tune", "--root", &directory], arguments].concat());
        assert!(run.err().contains(part), "{part}\n{run}");
        assert!(run.exited(code).out().is_empty(), "{run}");
    }
    let root = scratch.at("nothing");
    let run = scratch.tool(["tune", "arm64", "--cpu", "max", "--emulator", "/bin/true", "--root", &root]);
    assert!(run.exited(1).err().contains("nothing"), "{run}");
    let json = scratch.at("nothing/json");
    let run = scratch.tool([
        "tune",
        "arm64",
        "--cpu",
        "max",
        "--emulator",
        "/bin/true",
        "--root",
        &directory,
        "--json",
        &json,
    ]);
    assert!(run.err().contains("nothing/json: cannot write: "), "{run}");
    assert!(run.exited(1).out().is_empty(), "{run}");
}

#[test]
fn the_table_has_models_that_are_worth_comparing() {
    let table = dispatch_table::ArchTable::builtin();
    let chosen = |row: &&dispatch_table::Architecture| row.versions.iter().any(|tuning| tuning.cpu.is_some());
    for row in table.architectures().iter().filter(chosen) {
        let newest = row.versions.first().and_then(|tuning| tuning.cpu.as_ref());
        assert!(newest.is_some_and(|cpu| row.cpus.contains(cpu)), "{}: {:?}", row.name, row.cpus);
    }
}
