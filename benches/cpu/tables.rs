//! The tables, as a page of Markdown.

use std::fmt::Write;

use crate::builds::{self, Builds};
use crate::results::Measured;

/// The beginning of the page.
const HEAD: &str = "# CPU models: all measurements

This page is written by `ci/tune`, from the raw results in `benches/results`.
[performance.md](performance.md#the-cpu-model) says what they mean, and how they were measured.
";

/// The page.
pub fn all(models: &[Measured], compared: &[Measured], builds: &[Builds]) -> Result<String, std::fmt::Error> {
    let mut text = HEAD.to_owned();
    if let Some(Measured { machine, .. }) = models.first() {
        let kernel = machine.kernel.split('-').next().unwrap_or(&machine.kernel);
        writeln!(text, "\n{} CPUs ({}), a virtual machine, Linux {kernel}.\n", machine.cpus, machine.cpu)?;
    }
    if !compared.is_empty() {
        text += "## With the table as it stands\n\nSeconds of CPU time with QEMU registered directly, and how many times faster the same runs through an image.\n\n";
        table(&mut text, compared, |one| one.place("binfmt-dispatch"))?;
    }
    if !builds.is_empty() {
        builds::tables(&mut text, builds)?;
    }
    text += "## All models\n\n![All models that were measured](cpu-models.svg)\n\nGeometric means over the workloads for which there was time; **bold** is what the table chooses, where it chooses one.\n\n";
    text += "| architecture | QEMU | workloads, rounds | model: times faster than the default (least of the workloads) |\n|---|---|---|---|\n";
    for one in models {
        let cell = |contestant: &crate::results::Contestant| {
            let (mean, least) = (contestant.mean?, contestant.least?);
            let bold = if one.chosen.as_deref() == Some(&contestant.name) { "**" } else { "" };
            Some(format!("{bold}`{}` {mean:.2} ({least:.2}){bold}", contestant.name))
        };
        let cells: Vec<String> = one.present().skip(1).filter_map(cell).collect();
        let refused = one.contestants.iter().filter(|contestant| contestant.refused.is_some());
        let refused: Vec<String> = refused.map(|contestant| format!("`{}` refused", contestant.name)).collect();
        let failed = (1..).zip(one.present().skip(1)).filter(|(_, contestant)| contestant.mean.is_none());
        let failed = failed.filter_map(|(place, contestant)| {
            let failures = one.workloads.iter().filter(|workload| workload.ratio(place).is_none()).count();
            (failures > 0).then(|| format!("`{}` fails in {failures}", contestant.name))
        });
        let said = [cells, failed.collect(), refused].concat().join(", ");
        let amount = match one.workloads.len() {
            0 => "none runs".to_owned(),
            workloads => format!("{workloads}, {}", one.rounds()),
        };
        writeln!(text, "| {} | {} | {amount} | {said} |", one.debian, one.version())?;
    }
    text += "\n## What the table chooses, by workload\n\nSeconds of CPU time with the emulator's default, and how many times faster the table's model is.\n\n";
    let chosen: Vec<&Measured> = models.iter().filter(|one| one.chosen.is_some()).collect();
    table(&mut text, chosen, |one| one.place(one.chosen.as_deref()?))?;
    Ok(format!("{}\n", text.trim_end()))
}

/// A column for each measurement, a row for each workload.
fn table<'m>(
    text: &mut String,
    all: impl IntoIterator<Item = &'m Measured>,
    place: impl Fn(&Measured) -> Option<usize>,
) -> std::fmt::Result {
    let columns: Vec<(&Measured, usize)> = all.into_iter().filter_map(|one| Some((one, place(one)?))).collect();
    write!(text, "| workload |")?;
    for (one, _) in &columns {
        write!(text, " {}, {} |", one.debian, one.version())?;
    }
    writeln!(text, "\n|---|{}", "---|".repeat(columns.len()))?;
    let mut names: Vec<&str> = Vec::new();
    for workload in columns.iter().flat_map(|(one, _)| &one.workloads) {
        if !names.contains(&workload.name.as_str()) {
            names.push(&workload.name);
        }
    }
    for name in names {
        write!(text, "| {name} |")?;
        for (one, place) in &columns {
            let workload = one.workloads.iter().find(|workload| workload.name == name);
            match workload.and_then(|workload| Some((workload.median(0)?, workload.ratio(*place)?))) {
                Some((seconds, ratio)) => write!(text, " {seconds:.2} s, {ratio:.2}× |")?,
                None => write!(text, " – |")?,
            }
        }
        text.push('\n');
    }
    write!(text, "| geometric mean |")?;
    for (one, place) in &columns {
        match one.present().nth(*place).and_then(|contestant| contestant.mean) {
            Some(mean) => write!(text, " **{mean:.2}×** |")?,
            None => write!(text, " – |")?,
        }
    }
    text.push_str("\n\n");
    Ok(())
}
