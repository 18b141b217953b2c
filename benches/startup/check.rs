//! What the project promises of start-up times.

use crate::report::{Report, Table};

/// With fewer rounds nothing can be said.
const ENOUGH_ROUNDS: usize = 300;
/// How long each contestant may take for any architecture, as a multiple of QEMU registered directly.
const LIMITS: [(&str, f64); 3] = [("path", 1.05), ("image", 1.02), ("prelinked", 1.0)];
/// How long a prelinked emulator may take for this architecture.
const STRICT: (&str, f64) = ("aarch64", 0.85);
/// How much the other emulators in the file may slow one down or, by chance, speed it up.
const PAYLOAD: f64 = 0.02;

/// What is not as it should be, a line each.
pub fn failures(report: &Report) -> Vec<String> {
    let mut failures = Vec::new();
    for table in &report.starts {
        if table.rounds < ENOUGH_ROUNDS {
            failures.push(format!("{}: {} rounds are too few, {ENOUGH_ROUNDS} are needed", table.name, table.rounds));
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
    failures
}

fn over(table: &Table, name: &str, limit: f64) -> Option<String> {
    let ratio = table.ratio(name).filter(|ratio| *ratio > limit)?;
    Some(format!("{}: {name} takes {ratio:.3} times as long as QEMU registered directly, above {limit}", table.name))
}
