//! The project's promises about start-up times.

use crate::report::{Report, Row, Table};
use crate::subject::{QUESTIONS, Question};

/// Fewer rounds are not conclusive.
const ENOUGH_ROUNDS: usize = 300;
/// The same for Debian's programs, which take longer and therefore vary less.
const ENOUGH_PROGRAM_ROUNDS: usize = 20;
/// Most CPU time that each contestant may take for any program, as a multiple of QEMU registered
/// directly.
const LIMITS: [(&str, f64); 3] = [("path", 1.05), ("image", 1.02), ("prelinked", 1.0)];
/// Most CPU time that a prelinked emulator may take for the start of this architecture.
const STRICT: (&str, f64) = ("aarch64", 0.70);
/// How much the other emulators in the image may slow one down or, by chance, speed it up.
const PAYLOAD: f64 = 0.02;

/// The same for questions, which must be below a fixed time.
const ENOUGH_QUESTIONS: usize = 20;

/// Broken promises, one line each.
pub fn failures(report: &Report) -> Vec<String> {
    let mut failures = Vec::new();
    let starts = report.starts.iter().map(|table| (table, ENOUGH_ROUNDS));
    for (table, enough) in starts.chain(report.programs.iter().map(|table| (table, ENOUGH_PROGRAM_ROUNDS))) {
        if table.rounds < enough {
            failures.push(format!("{}: {} rounds are too few, {enough} are needed", table.name, table.rounds));
        }
        for (name, limit) in LIMITS {
            let limit = if name == "prelinked" && table.name == STRICT.0 { STRICT.1 } else { limit };
            failures.extend(over(table, name, limit));
        }
        if let (Some(single), Some(all)) = (table.ratio("single"), table.ratio("prelinked")) {
            let change = all / single - 1.0;
            if change.abs() >= PAYLOAD {
                failures.push(format!(
                    "{}: the size of the file changes start-up by {:+.1} %",
                    table.name,
                    change * 100.0
                ));
            }
        }
    }
    for question in &QUESTIONS {
        failures.extend(too_slow(report, question));
    }
    failures
}

/// Whether a question takes too long, or was asked too rarely to tell.
fn too_slow(report: &Report, question: &Question) -> Vec<String> {
    let Question { name, limit, .. } = question;
    let Some(table) = report.questions.iter().find(|table| table.name == *name) else { return Vec::new() };
    if table.rounds < ENOUGH_QUESTIONS {
        return vec![format!("{name}: {} rounds are too few, {ENOUGH_QUESTIONS} are needed", table.rounds)];
    }
    let slow = table.rows.iter().filter(|row| row.wall.milliseconds.median > f64::from(*limit));
    let line = |row: &Row| {
        format!("{name}: {} takes {:.0} ms, above {limit}", row.contestant.name, row.wall.milliseconds.median)
    };
    slow.map(line).collect()
}

fn over(table: &Table, name: &str, limit: f64) -> Option<String> {
    let ratio = table.ratio(name).filter(|ratio| *ratio > limit)?;
    Some(format!("{}: {name} takes {ratio:.3} times as long as QEMU registered directly, above {limit}", table.name))
}
