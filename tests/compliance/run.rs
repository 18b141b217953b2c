//! Runs all cases of one architecture in one namespace.

use std::path::PathBuf;

use dispatch_table::{ArchTable, BUILTIN};
use serde_json::{Value, json};

use crate::cases::{self, Case};
use crate::seen::Seen;
use crate::support::{Foreign, Namespace, Release, Scratch, artefact, compile, guests, tool};

/// How QEMU comes to run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is registered itself.
    Direct,
    /// Out of a registered image.
    Ours,
}

/// What the cases stand on: `run NAME FUNCTION` starts one, in a directory of its own with the program in it, and keeps
/// what came of it in reports/NAME.
const PRELUDE: &str = r#"
TOP=$PWD
AS_USER="setpriv --reuid 1000 --regid 1000 --clear-groups"
mkdir cases reports
run() {
    REPORT=$TOP/reports/$1
    mkdir "$REPORT" "$TOP/cases/$1"
    : >"$REPORT/report"; : >"$REPORT/host"; mkfifo "$REPORT/go"
    cp "$GUEST" "$TOP/cases/$1/guest"
    chmod 777 "$REPORT" "$REPORT"/* "$TOP/cases/$1"
    "$HOST" observe "$REPORT" &
    (cd "$TOP/cases/$1" && export REPORT && "$2") </dev/null >"$REPORT/out" 2>"$REPORT/err"
    echo $? >"$REPORT/code"
    : >"$REPORT/over"
    wait
}
"#;

/// What is seen of all cases.
pub fn run(scratch: &Scratch, release: Release, way: Way, foreign: Foreign) -> Vec<Seen> {
    let cases = cases::all();
    let seen = namespace(release, way).flags("POCF").mapped().run(scratch, &script(&cases, foreign));
    seen.succeeded();
    cases.into_iter().map(|case| Seen::read(&scratch.path().join("reports").join(case.name), case)).collect()
}

fn script(cases: &[Case], foreign: Foreign) -> String {
    let guest = |foreign: Foreign| foreign.build("tests/compliance/guest.c").display().to_string();
    let other = if foreign == Foreign::S390x { Foreign::Arm } else { Foreign::S390x };
    let host = artefact("compliance-host", |path| compile("gcc", "tests/compliance/host.c", &["-static"], path));
    let busybox = guests().into_iter().find(|guest| guest.debian == foreign.debian()).expect("ci/setup fetched it");
    let mut script = format!(
        "GUEST='{}' OTHER='{}' HOST='{}' BUSYBOX='{}'{PRELUDE}",
        guest(foreign),
        guest(other),
        host.display(),
        busybox.busybox.display()
    );
    for (index, case) in cases.iter().enumerate() {
        script += &format!("case_{index}() {{\n{}\n}}\nrun '{}' case_{index}\n", case.body, case.name);
    }
    script
}

/// A namespace with the QEMU of `release` for all the architectures.
fn namespace(release: Release, way: Way) -> Namespace {
    let names = Foreign::ALL.map(Foreign::name);
    let lines = match way {
        Way::Direct => {
            let table = table(release);
            generated(&[&["--direct", "--table", table.to_str().expect("a plain name")], &names[..]].concat())
        }
        Way::Ours => {
            let image = image(release);
            generated(&[&["--interpreter", image.to_str().expect("a plain name")], &names[..]].concat())
        }
    };
    Namespace::with_lines(if way == Way::Ours { "through us" } else { "directly" }, lines)
}

fn generated(arguments: &[&str]) -> String {
    String::from_utf8(tool(&[&["generate", "--format", "register"], arguments].concat())).expect("lines are ASCII")
}

/// The built-in rows with the emulators of `release`.
fn table(release: Release) -> PathBuf {
    artefact(&format!("compliance-table-{}", release.name()), |path| {
        let all: Value = serde_json::from_str(BUILTIN).expect("the built-in table is good");
        let rows = all["architectures"].as_array().expect("it has rows").iter().cloned();
        let rows = rows.filter(|row| Foreign::ALL.iter().any(|foreign| row["name"] == foreign.name()));
        let with_emulator = rows.map(|mut row| {
            let emulator = release.qemu(row["name"].as_str().expect("a name"));
            row["emulators"] = json!([emulator.to_str().expect("a plain name")]);
            row
        });
        let table = json!({"version": 1, "architectures": with_emulator.collect::<Vec<Value>>()}).to_string();
        ArchTable::parse(&table).expect("a good table");
        std::fs::write(path, table).expect("the target directory is writable");
    })
}

/// A registered file with the emulators of `release` inside.
fn image(release: Release) -> PathBuf {
    artefact(&format!("compliance-image-{}", release.name()), |path| {
        let from = Foreign::ALL.map(|foreign| format!("{}={}", foreign.name(), release.qemu(foreign.name()).display()));
        let from = from.iter().flat_map(|from| ["--from", from.as_str()]);
        tool(&["image", "--seed", "0", "-o", path].into_iter().chain(from).collect::<Vec<&str>>());
    })
}
