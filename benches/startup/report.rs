//! What was measured, for people and for programs.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use dispatch_table::ArchTable;
use serde_json::{Value, json};

use crate::contest::{CONTESTANTS, Contestant, Subject, emulator};
use crate::sample::Sample;
use crate::statistics::Quartiles;

/// A subject, and the samples of each contestant, in the order of [`CONTESTANTS`].
pub type Results = (Subject, [Vec<Sample>; CONTESTANTS.len()]);

/// The figures.
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// Of each architecture, how long its program takes that exits at once.
    pub starts: Vec<Table>,
    /// Of each script, how long it takes.
    pub work: Vec<Table>,
}

/// What the figures depend on.
pub struct Machine {
    /// The CPU's own name.
    pub cpu: String,
    /// How many there are.
    pub cpus: usize,
    /// `uname -r`.
    pub kernel: String,
    /// What the first emulator says it is.
    pub qemu: String,
}

/// A subject's figures.
pub struct Table {
    /// One word.
    pub name: String,
    /// How often each contestant ran.
    pub rounds: usize,
    /// The contestants'.
    pub rows: Vec<Row>,
    subject: String,
}

/// A contestant's figures.
pub struct Row {
    /// Who it is.
    pub contestant: &'static Contestant,
    /// How long it took.
    pub milliseconds: Quartiles,
    /// Its median by that of the first contestant.
    pub ratio: f64,
    /// Page faults, the median.
    pub faults: f64,
    /// The quotients of the two times within each round.
    pub ratios: Quartiles,
}

impl Report {
    /// The figures of at least one round.
    pub fn new(starts: &[Results], work: &[Results], architectures: &[String]) -> Result<Self, Box<dyn Error>> {
        let table = ArchTable::builtin();
        let first = table.find(&architectures[0]).ok_or("the table has no such row")?;
        Ok(Report {
            machine: Machine::here(emulator(first)?)?,
            starts: starts.iter().map(Table::new).collect(),
            work: work.iter().map(Table::new).collect(),
        })
    }

    /// The figures of an earlier run, as [`Report::json`] writes them; `None` if they are something else.
    pub fn parse(json: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(json).ok()?;
        let machine = &report["machine"];
        let text = |name: &str| machine[name].as_str().map(str::to_owned);
        let tables = |name: &str| report[name].as_array()?.iter().map(Table::parse).collect::<Option<Vec<_>>>();
        Some(Report {
            machine: Machine {
                cpu: text("cpu")?,
                cpus: machine["cpus"].as_u64()? as usize,
                kernel: text("kernel")?,
                qemu: text("qemu")?,
            },
            starts: tables("start")?,
            work: tables("work")?,
        })
    }

    /// All of it as JSON.
    pub fn json(&self) -> String {
        let Machine { cpu, cpus, kernel, qemu } = &self.machine;
        let tables = |tables: &[Table]| tables.iter().map(Table::json).collect::<Vec<_>>();
        let contestants = CONTESTANTS.iter().map(|one| (one.name.to_owned(), one.meaning.into()));
        let report = json!({
            "machine": {"cpu": cpu, "cpus": cpus, "kernel": kernel, "qemu": qemu},
            "contestants": contestants.collect::<serde_json::Map<String, Value>>(),
            "start": tables(&self.starts),
            "work": tables(&self.work),
        });
        format!("{report:#}\n")
    }
}

impl Machine {
    fn here(emulator: &str) -> Result<Self, Box<dyn Error>> {
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let virtual_machine = cpus.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
        let name = name.map_or("unknown", |(_, name)| name);
        let said = String::from_utf8(Command::new(emulator).arg("--version").output()?.stdout)?;
        let version = said.lines().next().and_then(|line| line.split_once(" version ")).map_or("", |(_, rest)| rest);
        let file = Path::new(emulator).file_name().unwrap_or_default().to_string_lossy();
        Ok(Machine {
            cpu: if virtual_machine { format!("{name}, a virtual machine") } else { name.to_owned() },
            cpus: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            qemu: format!("{file} {version}"),
        })
    }
}

impl Table {
    fn new((subject, samples): &Results) -> Self {
        let seconds = |samples: &[Sample]| -> Vec<f64> { samples.iter().map(|s| s.time.as_secs_f64()).collect() };
        let first = seconds(&samples[0]);
        let row = |(contestant, samples): (&'static Contestant, &Vec<Sample>)| {
            let own = seconds(samples);
            let milliseconds = Quartiles::of(own.iter().map(|time| time * 1e3).collect());
            Row {
                contestant,
                milliseconds,
                ratio: milliseconds.median / 1e3 / Quartiles::of(first.clone()).median,
                faults: Quartiles::of(samples.iter().map(|sample| sample.faults as f64).collect()).median,
                ratios: Quartiles::of(own.iter().zip(&first).map(|(own, first)| own / first).collect()),
            }
        };
        let present = CONTESTANTS.iter().zip(samples).filter(|(_, samples)| !samples.is_empty());
        Table {
            name: subject.name().to_owned(),
            rounds: first.len(),
            rows: present.map(row).collect(),
            subject: subject.to_string(),
        }
    }

    fn parse(table: &Value) -> Option<Self> {
        let quartiles = |of: &Value| {
            let [lower, median, upper] = [0, 1, 2].map(|nth| of[nth].as_f64());
            Some(Quartiles { lower: lower?, median: median?, upper: upper? })
        };
        let row = |row: &Value| {
            Some(Row {
                contestant: CONTESTANTS.iter().find(|contestant| row["name"] == contestant.name)?,
                milliseconds: quartiles(&row["milliseconds_quartiles"])?,
                ratio: row["ratio_of_medians"].as_f64()?,
                faults: row["minor_page_faults"].as_f64()?,
                ratios: quartiles(&row["ratios_within_rounds_quartiles"])?,
            })
        };
        Some(Table {
            name: table["name"].as_str()?.to_owned(),
            rounds: table["rounds"].as_u64()? as usize,
            rows: table["contestants"].as_array()?.iter().map(row).collect::<Option<_>>()?,
            subject: table["subject"].as_str()?.to_owned(),
        })
    }

    /// The ratio of the contestant of that name.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.contestant.name == name).map(|row| row.ratio)
    }

    fn json(&self) -> Value {
        let round = |value: f64| (value * 1e4).round() / 1e4;
        let quartiles = |of: Quartiles| json!([round(of.lower), round(of.median), round(of.upper)]);
        let row = |row: &Row| {
            json!({
                "name": row.contestant.name,
                "milliseconds_quartiles": quartiles(row.milliseconds),
                "ratio_of_medians": round(row.ratio),
                "ratios_within_rounds_quartiles": quartiles(row.ratios),
                "minor_page_faults": row.faults,
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({"name": self.name, "subject": self.subject, "rounds": self.rounds, "contestants": rows})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cpus, kernel, qemu } = &self.machine;
        writeln!(f, "{cpus} CPUs ({cpu}), Linux {kernel}, {qemu}")?;
        self.starts.iter().chain(&self.work).try_for_each(|table| write!(f, "\n{table}"))?;
        writeln!(f)?;
        CONTESTANTS.iter().try_for_each(|one| writeln!(f, "{:9}  {}", one.name, one.meaning))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} interleaved rounds", self.subject, self.rounds)?;
        writeln!(f, "contestant  median ms    quartiles ms    ratio  within rounds  page faults")?;
        for Row { contestant, milliseconds, ratio, faults, ratios } in &self.rows {
            let Quartiles { lower, median, upper } = milliseconds;
            let range = format!("{lower:.2}..{upper:.2}");
            writeln!(
                f,
                "{:10}  {median:9.3}  {range:>14}  {ratio:7.3}  {:13.3}  {faults:11.0}",
                contestant.name, ratios.median
            )?;
        }
        Ok(())
    }
}
