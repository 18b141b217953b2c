//! The smallest program of every architecture runs: the kernel's rules, the table and the emulators
//! agree.

use std::path::Path;

use dispatch_table::{ArchTable, Architecture};

use crate::support::{Namespace, Scratch, need};

/// Number of foreign architectures, at least, that Debian's QEMU emulates.
const FOREIGN: usize = 31;

/// The rows whose emulator is installed, and whether this machine's kernel may run them by itself.
fn rows() -> Vec<(Architecture, bool)> {
    let table = ArchTable::builtin();
    let host = table.find(std::env::consts::ARCH).expect("the table has this machine").name.clone();
    let installed = |row: &Architecture| row.emulator_paths().any(|path| Path::new(path).is_file());
    let rows = table.architectures().iter().filter(|row| installed(row));
    rows.map(|row| (row.clone(), row.native_on.contains(&host))).collect()
}

/// The names of the rows that the host may not run by itself. Asserts that all expected ones are
/// there.
pub fn foreign() -> Vec<String> {
    let names: Vec<String> = rows().into_iter().filter(|(_, native)| !native).map(|(row, _)| row.name).collect();
    assert!(names.len() >= FOREIGN, "emulators are missing: run ci/setup; there are only those of {names:?}");
    names
}

#[test]
fn every_foreign_probe_runs_by_execution() {
    need!(Namespace, Qemu);
    let names = foreign();
    let expected: String = names.iter().map(|name| format!("{name} 0\n")).collect();
    let run = |namespace: Namespace| {
        let scratch = Scratch::new();
        for name in &names {
            scratch.probe(name, name);
        }
        namespace.run(&scratch, &format!("for name in {}; do ./$name; echo $name $?; done", names.join(" ")))
    };
    run(Namespace::ours()).printed(&expected);
    run(Namespace::direct()).printed(&expected);
}

#[test]
fn what_may_be_native_runs_without_registration() {
    need!(Qemu);
    let scratch = Scratch::new();
    for (row, _) in rows() {
        scratch.probe(&row.name, &row.name);
        scratch.tool(["run", "--", &scratch.at(&row.name)]).succeeded();
    }
}

#[test]
fn position_independent_probes_are_registered_too() {
    need!(Namespace);
    // e_type ET_DYN in the byte order of each, in a file that is too short for a header: the test
    // is only about the rules.
    let scratch = Scratch::new();
    let table = ArchTable::builtin();
    let host = table.find(std::env::consts::ARCH).unwrap().name.clone();
    let foreign: Vec<_> = table.architectures().iter().filter(|row| !row.native_on.contains(&host)).collect();
    for row in &foreign {
        let mut probe = row.probe_elf();
        probe[16..18].copy_from_slice(&row.data.u16_bytes(3));
        probe.truncate(51);
        scratch.write(&row.name, probe);
    }
    let names: Vec<&str> = foreign.iter().map(|row| row.name.as_str()).collect();
    let seen = Namespace::ours().run(&scratch, &format!("for name in {}; do ./$name; done 2>&1", names.join(" ")));
    assert_eq!(
        seen.out().lines().filter(|line| line.starts_with("binfmt-dispatch: ./")).count(),
        names.len(),
        "{seen}"
    );
}
