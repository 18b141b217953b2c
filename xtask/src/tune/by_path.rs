//! Compares programs that `unshare` and `run` start with the emulator at its path, with those that
//! an image starts with the emulator embedded.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::pair::Pair;
use super::rounds::{Named, Took, measure, median};
use crate::{Result, files, root};

const WAYS: [&str; 3] = ["image", "unshare", "run"];

/// A program of the root directory, with its arguments; `TEXT` stands for the input's path.
struct Workload {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

const TEXT: &str = "TEXT";

/// None of these starts another program, which `run` would not handle.
const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "functions",
        program: "usr/bin/bash",
        // Repeated often enough that the start does not matter.
        arguments: &["-c", "for i in {1..8}; do . \"$0\"; done", "src/tune/workloads/functions"],
    },
    Workload { name: "perl", program: "usr/bin/perl", arguments: &["src/tune/workloads/perl"] },
    Workload { name: "python", program: "usr/bin/python3", arguments: &["src/tune/workloads/python"] },
    Workload { name: "sorting", program: "usr/bin/sort", arguments: &["--parallel=1", TEXT] },
    Workload { name: "packing", program: "usr/bin/gzip", arguments: &["-6", "-n", "-c", TEXT] },
];

/// Measures all programs in all ways.
pub fn measured(pair: &Pair, rounds: usize) -> Result<Named<Named<Vec<Took>>>> {
    let (emulator, name) = pair.emulator_file()?;
    // The table's row, with the emulator's path replaced.
    let table = json!({"version": 1, "architectures": [{"name": name, "emulators": [emulator]}]});
    files::write(&pair.place.join("path.table"), &format!("{table}\n"))?;
    files::write(&pair.place.join("text"), &text())?;
    pair.write_image()?;
    let mut all = Named::default();
    for workload in &WORKLOADS {
        all.0.push((workload.name, measure(workload.name, &WAYS, rounds, |way| Ok(start(pair, workload, way)))?));
    }
    for (workload, ways) in &all.0 {
        let medians = ways.0.iter().map(|(way, took)| format!(" {way} {:.3}", median(took).unwrap_or(f64::NAN)));
        println!("{workload}, median of the CPU time in seconds:{}", medians.collect::<String>());
    }
    Ok(all)
}

/// Starts a program of the root directory, which finds its libraries there.
fn start(pair: &Pair, workload: &Workload, way: &str) -> Command {
    let mut command = match way {
        "image" => pair.in_image(),
        _ => Command::new(pair.tool),
    };
    if way != "image" {
        command.arg("--table").arg(pair.place.join("path.table"));
    }
    match way {
        "unshare" => _ = command.args(["unshare", "--no-emulators", "--arch", pair.architecture.name, "--"]),
        "run" => _ = command.arg("run"),
        _ => {}
    }
    let text = pair.place.join("text");
    let argument = |argument: &'static str| if argument == TEXT { text.as_path() } else { Path::new(argument) };
    command.arg(pair.root().join(workload.program)).args(workload.arguments.iter().copied().map(argument));
    command.current_dir(root()).env("QEMU_LD_PREFIX", pair.root()).env("LC_ALL", "C.UTF-8");
    command
}

/// Unsorted lines: numbers, written backwards.
fn text() -> String {
    (1..=400_000).flat_map(|number: u32| number.to_string().chars().rev().chain(['\n']).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_numbers_backwards() {
        let text = text();
        assert!(text.starts_with("1\n2\n") && text.ends_with("\n000004\n") && text.contains("\n21\n31\n"));
    }

    #[test]
    fn workloads_are_there() {
        let arguments = WORKLOADS.iter().flat_map(|workload| workload.arguments);
        let files: Vec<_> = arguments.filter(|argument| argument.starts_with("src/")).collect();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|file| root().join(file).is_file()), "{files:?}");
    }
}
