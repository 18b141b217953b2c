//! Every field of the ELF header. A program must behave the same with QEMU registered directly and
//! through binfmt-dispatch, except for the differences in `headers/known.rs`. Each header is tried
//! with the table's rules, and with an entry for any file, so that QEMU's loader and the
//! interpreter also judge the headers that the rules do not accept.

mod fields;
pub mod known;

use std::collections::BTreeMap;

use dispatch_table::{ArchTable, Architecture};

use crate::support::{Namespace, Release, Scratch, Way, guests};
use fields::{Changed, changed};
use known::{Entry, KNOWN, Known};

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// "runs", "ENOEXEC", or the exit code, as shells count.
    ending: String,
    /// Standard error, with a tab for each line break within.
    err: String,
}

/// Runs each FILE.guest. A real program of Debian's does nothing, and succeeds.
const SCRIPT: &str = r#"
ulimit -c 0
for file in *.guest; do
    err=$($CALL ./$file true 2>&1 >/dev/null </dev/null)
    printf '%s %s %s\n' $file $? "${err//$'\n'/$'\t'}"
done
"#;

/// The exit code of $CALL if it cannot execute the program.
const NOT_EXECUTED: &str = "90";

/// Tries all headers of the architecture `name` with both versions of QEMU, and looks for unlisted
/// differences.
pub fn check(name: &'static str) {
    let table = ArchTable::builtin();
    let row = table.find(name).expect("a row of the table");
    let debian = guests().into_iter().find(|guest| table.find(guest.debian) == Some(row));
    let real = debian.map(|guest| std::fs::read(guest.busybox).expect("it is readable"));
    let probe = changed("probe", &row.probe_elf(), fields::ALL);
    let real = real.map(|file| changed("real", &file, fields::FEW)).unwrap_or_default();
    let cases: Vec<Changed> =
        probe.into_iter().chain(real).filter(|case| !fields::of_another_row(&case.file, row)).collect();

    let scratch = Scratch::new();
    for case in &cases {
        scratch.write(format!("{}.guest", case.name), &case.file);
    }
    let mut problems = Vec::new();
    for release in Release::ALL {
        for entry in [Entry::Rules, Entry::Any] {
            let [direct, ours] = [Way::Direct, Way::Ours].map(|way| outcomes(&scratch, release, way, entry, name));
            let judge = Judge { row, entry, direct: &direct, ours: &ours };
            let of_release = |problem| format!("QEMU {}, {entry:?}: {problem}", release.version());
            problems.extend(judge.problems(&cases).into_iter().map(of_release));
        }
    }
    assert!(problems.is_empty(), "{name}: {} problems\n{}", problems.len(), problems.join("\n"));
}

/// How each file ends.
fn outcomes(scratch: &Scratch, release: Release, way: Way, entry: Entry, name: &str) -> BTreeMap<String, Outcome> {
    let namespace = match entry {
        Entry::Rules => release.registered(way),
        Entry::Any => {
            Namespace::with_lines("any file", format!(":any:E::guest::{}:\n", release.file(way, name).display()))
        }
    };
    let seen = namespace.flags("POCF").run(scratch, SCRIPT);
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let [file, code, err] = [(); 3].map(|()| words.next().unwrap_or_default());
        let ending = match (code, err) {
            ("0", "") => "runs",
            (NOT_EXECUTED, err) if err.ends_with("Exec format error") => "ENOEXEC",
            _ => code,
        };
        let err = err.to_owned();
        (file.trim_end_matches(".guest").to_owned(), Outcome { ending: ending.to_owned(), err })
    };
    seen.succeeded().out().lines().map(line).collect()
}

/// The results of both ways for one architecture, QEMU and entry.
struct Judge<'o> {
    row: &'o Architecture,
    entry: Entry,
    direct: &'o BTreeMap<String, Outcome>,
    ours: &'o BTreeMap<String, Outcome>,
}

impl Judge<'_> {
    /// Unlisted differences, differences that do not match the list, and entries of [`KNOWN`] that
    /// do not show.
    fn problems(&self, cases: &[Changed]) -> Vec<String> {
        let known = KNOWN.iter().filter(|known| known.entries.contains(&self.entry) && known.is_of(&self.row.name));
        let known: Vec<&Known> = known.collect();
        let unlike = cases.iter().filter_map(|case| self.problem(case, &known));
        let never = known.iter().flat_map(|known| known.fields.iter().map(move |field| (known, field)));
        let never = never
            .filter(|(known, field)| !cases.iter().any(|case| case.field == **field && known.covers(case, self.row)));
        unlike.chain(never.map(|(_, field)| format!("no header shows the difference of {field}"))).collect()
    }

    fn problem(&self, case: &Changed, known: &[&Known]) -> Option<String> {
        let (direct, ours) = (&self.direct[&case.name], &self.ours[&case.name]);
        if case.field.is_empty() && [direct, ours].iter().any(|outcome| outcome.ending != "runs") {
            return Some(format!("{}: does not run: directly {direct:?}, through us {ours:?}", case.name));
        }
        let alike = match known.iter().find(|known| known.covers(case, self.row)) {
            Some(known) => [&direct.ending, &ours.ending] == known.endings && one_line(ours),
            None if fields::PROGRAM_HEADERS.contains(&case.field) && dies(direct) => dies(ours),
            None => direct.ending == ours.ending && without_numbers(&direct.err) == without_numbers(&ours.err),
        };
        (!alike).then(|| format!("{}: directly {direct:?}, through us {ours:?}", case.name))
    }
}

/// Whether it is a refusal by binfmt-dispatch.
fn one_line(Outcome { err, .. }: &Outcome) -> bool {
    err.starts_with("binfmt-dispatch: ./") && !err.contains('\t')
}

/// Whether QEMU was started, and could not start the program.
fn dies(Outcome { ending, err }: &Outcome) -> bool {
    !["runs", "ENOEXEC"].contains(&ending.as_str()) && !err.starts_with("binfmt-dispatch: ")
}

/// Removes hexadecimal digits, because addresses differ between any two processes.
fn without_numbers(err: &str) -> String {
    err.chars().filter(|character| !character.is_ascii_hexdigit()).collect()
}
