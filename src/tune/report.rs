//! The report: medians, ratios and the fastest contestant, as a table and as JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{Contestant, Measurements, Sample};
use crate::failure::show;
use crate::output::Columns;

/// A contestant counts as slower than the first one in a workload if its ratio is below this.
pub const SLOWER: f64 = 0.97;
/// A contestant is worth a change only if it is faster than the first one by this factor.
pub const WORTH: f64 = 1.02;

/// The measurements and their evaluation.
#[derive(Debug, Serialize)]
pub struct Report {
    version: u32,
    architecture: String,
    emulator: Emulator,
    root: String,
    machine: Machine,
    contestants: Vec<Standing>,
    workloads: Vec<Row>,
    left_out: Vec<Reason>,
    fastest: Option<String>,
}

/// The emulator that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Emulator {
    /// Its file name.
    pub name: String,
    /// The version that it reports.
    pub version: String,
}

/// The machine that measured.
#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
}

#[derive(Debug, Serialize)]
struct Standing {
    name: String,
    cpu: Option<String>,
    refused: Option<String>,
    /// Geometric mean of the ratios; `None` if a ratio is missing.
    mean: Option<f64>,
    /// The smallest ratio.
    least: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    results: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Measured {
        /// CPU time, in seconds.
        median: f64,
        /// How many times faster it was than the first contestant.
        ratio: f64,
        samples: Vec<Sample>,
    },
    Failed {
        failed: String,
    },
}

#[derive(Debug, Serialize)]
struct Reason {
    workload: String,
    reason: String,
}

impl Report {
    /// Evaluates the measurements.
    pub fn new(measured: Measurements, architecture: &str, emulator: Emulator, root: &Path) -> Self {
        let present: Vec<&Contestant> =
            measured.contestants.iter().filter(|(_, refused)| refused.is_none()).map(|(present, _)| present).collect();
        let workloads: Vec<Row> = measured.workloads.into_iter().map(|(name, results)| row(name, results)).collect();
        let standings = measured.contestants.iter().map(|(contestant, refused)| {
            let index = present.iter().position(|present| *present == contestant);
            let ratios: Option<Vec<f64>> =
                index.and_then(|index| workloads.iter().map(|row| row.results.get(index)?.ratio()).collect());
            let ratios = ratios.filter(|ratios| !ratios.is_empty());
            Standing {
                name: contestant.name.clone(),
                cpu: contestant.cpu.clone(),
                refused: refused.clone(),
                mean: ratios.as_deref().map(geometric_mean),
                least: ratios.map(|ratios| ratios.into_iter().fold(f64::INFINITY, f64::min)),
            }
        });
        let contestants: Vec<Standing> = standings.collect();
        Report {
            version: 1,
            architecture: architecture.into(),
            emulator,
            root: system(root),
            machine: Machine::here(),
            fastest: fastest(&contestants),
            contestants,
            workloads,
            left_out: measured.left_out.into_iter().map(|(workload, reason)| Reason { workload, reason }).collect(),
        }
    }

    /// The fastest contestant that has the right output everywhere and is nowhere slower than the
    /// first one; `None` if none is worth a change.
    pub fn fastest(&self) -> Option<&str> {
        self.fastest.as_deref()
    }

    /// The reason if nothing could be measured.
    pub fn nothing(&self) -> Option<&str> {
        let refused = self.contestants.first().and_then(|first| first.refused.as_deref());
        refused.or_else(|| self.workloads.is_empty().then_some("none of the workloads can be run there"))
    }
}

fn row(name: String, results: Vec<super::Samples>) -> Row {
    let base = results.first().and_then(|first| first.as_ref().ok()).map_or(f64::NAN, |first| median(first));
    let outcome = |samples: super::Samples| match samples {
        Ok(samples) if !samples.is_empty() => {
            let median = median(&samples);
            Outcome::Measured { median, ratio: base / median, samples }
        }
        Ok(_) => Outcome::Failed { failed: "no time was left for it".into() },
        Err(failed) => Outcome::Failed { failed },
    };
    Row { name, results: results.into_iter().map(outcome).collect() }
}

/// Median of the CPU time, in seconds.
fn median(samples: &[Sample]) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(|sample| sample.cpu).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

fn fastest(contestants: &[Standing]) -> Option<String> {
    let eligible = contestants.iter().skip(1).filter(|standing| standing.least.is_some_and(|least| least >= SLOWER));
    let mean = |standing: &Standing| standing.mean.unwrap_or(0.0);
    let best = eligible.max_by(|a, b| mean(a).total_cmp(&mean(b)))?;
    (mean(best) >= WORTH).then(|| best.name.clone())
}

/// The name of the distribution in the root directory.
fn system(root: &Path) -> String {
    let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "unknown".into(), |name| name.trim_matches('"').chars().filter(|c| !c.is_control()).collect())
}

impl Machine {
    fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: name.map_or("unknown", |(_, name)| name).to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl Outcome {
    fn ratio(&self) -> Option<f64> {
        if let Outcome::Measured { ratio, .. } = self { Some(*ratio) } else { None }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Measured { median, ratio, .. } => write!(f, "{median:.3} {ratio:.2}x"),
            Outcome::Failed { .. } => f.write_str("failed"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Emulator { name, version } = &self.emulator;
        let version = if version.is_empty() { "of unknown version" } else { version };
        writeln!(f, "{name} {version}, programs of {}", self.root)?;
        let present = || self.contestants.iter().filter(|standing| standing.refused.is_none());
        let titles: Vec<&str> =
            ["workload"].into_iter().chain(present().map(|standing| standing.name.as_str())).collect();
        let mut columns = Columns::new(&titles);
        for row in &self.workloads {
            columns.push([row.name.clone()].into_iter().chain(row.results.iter().map(Outcome::to_string)));
        }
        let mean = |standing: &Standing| standing.mean.map_or_else(String::new, |mean| format!("{mean:.2}x"));
        columns.push(["geometric mean".to_owned()].into_iter().chain(present().map(mean)));
        let first = self.contestants.first().map_or("", |first| first.name.as_str());
        if self.nothing().is_none() {
            writeln!(f, "Seconds of CPU time, medians; how many times faster than {first}\n\n{columns}")?;
        }
        for standing in &self.contestants {
            if let Some(refused) = &standing.refused {
                writeln!(f, "{}: refused: {refused}", show(standing.name.as_ref()))?;
            }
        }
        for row in &self.workloads {
            for (standing, outcome) in present().zip(&row.results) {
                if let Outcome::Failed { failed } = outcome {
                    writeln!(f, "{} with {}: failed: {failed}", row.name, show(standing.name.as_ref()))?;
                }
            }
        }
        for Reason { workload, reason } in &self.left_out {
            writeln!(f, "{workload}: not measured: {reason}")?;
        }
        match self.fastest() {
            _ if self.nothing().is_some() => writeln!(f, "Nothing was measured"),
            Some(fastest) => writeln!(f, "Fastest, and nowhere slower than {first}: {fastest}"),
            None => writeln!(f, "No model is enough faster than {first} to be worth a change"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it stands for a measurement that may fail")]
    fn samples(cpu: &[f64]) -> super::super::Samples {
        Ok(cpu.iter().map(|cpu| Sample { cpu: *cpu, wall: 9.0 }).collect())
    }

    fn report(workloads: Vec<(&str, Vec<super::super::Samples>)>, refused: Option<&str>) -> Report {
        let contestants = vec![
            (Contestant::plain(), None),
            (Contestant::model("none"), refused.map(str::to_owned)),
            (Contestant::model("good"), None),
        ];
        let workloads = workloads.into_iter().map(|(name, results)| (name.to_owned(), results)).collect();
        let left_out = vec![("python".into(), "there is none".into())];
        let emulator = Emulator { name: "emulator".into(), version: "1.0".into() };
        Report::new(Measurements { contestants, workloads, left_out }, "arch", emulator, Path::new("/nowhere"))
    }

    #[test]
    fn the_fastest_is_found_past_those_that_are_refused() {
        let two = || vec![samples(&[4.0, 2.0, 8.0]), samples(&[1.0, 2.0, 0.5])];
        let report = report(vec![("sort", two()), ("grep", vec![samples(&[1.0]), samples(&[1.0])])], Some("no"));
        assert_eq!(report.fastest(), Some("good"));
        assert_eq!(report.contestants[2].mean.map(|mean| (mean * 100.0).round()), Some(200.0));
        assert_eq!(report.contestants[1].mean, None);
        let shown = report.to_string();
        for line in
            ["sort            4.000 1.00x  1.000 4.00x", "none: refused: no", "python: not measured: there is none"]
        {
            assert!(shown.contains(line), "{shown}");
        }
    }

    #[test]
    fn who_is_slower_somewhere_or_fails_is_not_the_fastest() {
        let slower = vec![
            ("a", vec![samples(&[4.0]), samples(&[3.0]), samples(&[1.0])]),
            ("b", { vec![samples(&[1.0]), samples(&[1.0]), samples(&[1.1])] }),
        ];
        assert_eq!(report(slower, None).fastest(), Some("none"));
        let failing = vec![("a", vec![samples(&[4.0]), samples(&[4.0]), Err("prints something else".into())])];
        let report = report(failing, None);
        assert_eq!(report.fastest(), None);
        assert!(report.to_string().contains("a with good: failed: prints something else"), "{report}");
    }

    #[test]
    fn nothing_measured_is_told_from_nothing_gained() {
        assert!(report(vec![], None).nothing().is_some());
        assert!(report(vec![("a", vec![samples(&[1.0]), samples(&[1.0]), samples(&[1.0])])], None).nothing().is_none());
    }
}
