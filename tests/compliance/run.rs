//! Runs all cases of one architecture in one namespace.

use std::path::{Path, PathBuf};

use dispatch_table::ArchTable;

use crate::cases::{self, Case};
use crate::seen::Seen;
use crate::support::{Foreign, Release, Scratch, Way, compiled, guest};

/// The common part of the cases. `run NAME FUNCTION` starts one in a directory of its own that has
/// the program, and collects its reports in reports/NAME.
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

/// The reports of all cases.
pub fn run(scratch: &Scratch, release: Release, way: Way, foreign: Foreign) -> Vec<Seen> {
    let cases = cases::all();
    let seen = release.registered(way).flags("POCF").mapped().run(scratch, &script(&cases, foreign));
    seen.succeeded();
    cases.into_iter().map(|case| Seen::read(&scratch.path().join("reports").join(case.name), case)).collect()
}

/// The program of an architecture, static and dynamic.
pub fn programs(foreign: Foreign) -> [PathBuf; 2] {
    let source = "tests/compliance/guest.c";
    [foreign.build(source), foreign.build_as("compliance-dynamic", source, &["-pthread", "-no-pie"])]
}

/// The observer.
pub fn observer() -> PathBuf {
    compiled("compliance-host", "tests/compliance/host.c", &["-static"])
}

fn script(cases: &[Case], foreign: Foreign) -> String {
    let other = if foreign == Foreign::S390x { Foreign::ALL[1] } else { Foreign::S390x };
    let (host, busybox) = (observer(), guest(foreign.debian()));
    let ([program, dynamic], [other, _]) = (programs(foreign), programs(other));
    let mut script = format!(
        "GUEST='{}' OTHER='{}' HOST='{}' BUSYBOX='{}' DYNAMIC='{}' SYSROOT='{}'{PRELUDE}",
        program.display(),
        other.display(),
        host.display(),
        busybox.busybox.display(),
        dynamic.display(),
        sysroot(foreign)
    );
    for (index, case) in cases.iter().enumerate() {
        script += &format!("case_{index}() {{\n{}\n}}\nrun '{}' case_{index}\n", case.body, case.name);
    }
    script
}

/// The directory of the cross compilers' libraries, which is also in the table.
fn sysroot(foreign: Foreign) -> String {
    let table = ArchTable::builtin();
    let row = table.find(foreign.name()).expect("a row of the table");
    row.sysroots.iter().find(|sysroot| Path::new(sysroot).is_dir()).expect("ci/setup installs them").clone()
}
