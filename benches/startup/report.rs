//! The results, for people and for programs.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;

use dispatch_table::ArchTable;
use serde_json::{Map, Value, json};

use crate::contest::{emulator, version};
use crate::sample::Sample;
use crate::statistics::Quartiles;
use crate::subject::{CONTESTANTS, Contestant, Subject, model, row};

/// A subject, and the samples of each contestant, in the order of [`CONTESTANTS`].
pub type Results = (Subject, [Vec<Sample>; CONTESTANTS.len()]);

/// The number of system calls of each contestant that was asked, in the order of [`CONTESTANTS`].
pub type Calls = [Option<u64>; CONTESTANTS.len()];

/// The figures.
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// For each architecture, the time of its program that exits at once.
    pub starts: Vec<Table>,
    /// For each of Debian's programs, its time.
    pub programs: Vec<Table>,
    /// For each script, its time.
    pub work: Vec<Table>,
    /// For each question to the command, its time, after that of a program that exits at once.
    pub questions: Vec<Table>,
}

/// The conditions that the figures depend on.
pub struct Machine {
    /// The CPU's model name.
    pub cpu: String,
    /// Number of CPUs.
    pub cpus: usize,
    /// `uname -r`.
    pub kernel: String,
    /// Name and version of the first emulator.
    pub qemu: String,
    /// The emulated CPU models, by architecture, if the table has one.
    pub models: BTreeMap<String, String>,
}

/// A subject's figures.
pub struct Table {
    /// The subject's name, in one word.
    pub name: String,
    /// How often each contestant ran.
    pub rounds: usize,
    /// The contestants' figures.
    pub rows: Vec<Row>,
    subject: String,
}

/// A contestant's figures.
pub struct Row {
    /// The contestant's name.
    pub contestant: &'static Contestant,
    /// From start to end.
    pub wall: Time,
    /// CPU time.
    pub cpu: Time,
    /// Page faults, the median.
    pub faults: f64,
    /// System calls of one run, if they were counted.
    pub calls: Option<u64>,
}

/// A time.
pub struct Time {
    /// The quartiles, in milliseconds.
    pub milliseconds: Quartiles,
    /// The median as a multiple of the first contestant's.
    pub ratio: f64,
    /// Quartiles of the ratios of the two times within each round.
    pub ratios: Quartiles,
}

impl Report {
    /// The figures of at least one round. `calls` is empty, or has those of each of the starts.
    pub fn new(
        [starts, programs, work, questions]: [&[Results]; 4],
        calls: &[Calls],
        architectures: &[String],
    ) -> Result<Self, Box<dyn Error>> {
        let uncounted = CONTESTANTS.map(|_| None);
        let tables = |results: &[Results]| results.iter().map(|results| Table::new(results, &uncounted)).collect();
        let counted = calls.iter().chain(std::iter::repeat(&uncounted));
        Ok(Report {
            machine: Machine::here(architectures)?,
            starts: starts.iter().zip(counted).map(|(results, calls)| Table::new(results, calls)).collect(),
            programs: tables(programs),
            work: tables(work),
            questions: tables(questions),
        })
    }

    /// Reads the figures of an earlier run, as [`Report::json`] writes them; `None` for other text.
    pub fn parse(json: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(json).ok()?;
        let tables = |name: &str| report[name].as_array()?.iter().map(Table::parse).collect::<Option<Vec<_>>>();
        Some(Report {
            machine: Machine::parse(&report["machine"])?,
            starts: tables("start")?,
            programs: tables("programs")?,
            work: tables("work")?,
            // Older figures have none.
            questions: tables("questions").unwrap_or_default(),
        })
    }

    /// The whole report as JSON.
    pub fn json(&self) -> String {
        let tables = |tables: &[Table]| tables.iter().map(Table::json).collect::<Vec<_>>();
        let contestants = CONTESTANTS.iter().map(|one| (one.name.to_owned(), one.meaning.into()));
        let report = json!({
            "machine": self.machine.json(),
            "contestants": contestants.collect::<Map<String, Value>>(),
            "start": tables(&self.starts),
            "programs": tables(&self.programs),
            "work": tables(&self.work),
            "questions": tables(&self.questions),
        });
        format!("{report:#}\n")
    }
}

impl Machine {
    fn here(architectures: &[String]) -> Result<Self, Box<dyn Error>> {
        let table = ArchTable::builtin();
        let first = emulator(row(&table, &architectures[0])?)?;
        let file = Path::new(first).file_name().unwrap_or_default().to_string_lossy();
        let mut models = BTreeMap::new();
        for name in architectures {
            let row = row(&table, name)?;
            models.extend(model(row, &version(emulator(row)?)?).map(|model| (name.clone(), model)));
        }
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let virtual_machine = cpus.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
        let name = name.map_or("unknown", |(_, name)| name);
        Ok(Machine {
            cpu: if virtual_machine { format!("{name}, a virtual machine") } else { name.to_owned() },
            cpus: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            qemu: format!("{file} {}", version(first)?),
            models,
        })
    }

    fn parse(machine: &Value) -> Option<Self> {
        let text = |name: &str| machine[name].as_str().map(str::to_owned);
        let models = machine["models"].as_object()?.iter();
        Some(Machine {
            cpu: text("cpu")?,
            cpus: machine["cpus"].as_u64()? as usize,
            kernel: text("kernel")?,
            qemu: text("qemu")?,
            models: models
                .map(|(name, model)| Some((name.clone(), model.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
        })
    }

    fn json(&self) -> Value {
        let Machine { cpu, cpus, kernel, qemu, models } = self;
        json!({"cpu": cpu, "cpus": cpus, "kernel": kernel, "qemu": qemu, "models": models})
    }
}

impl Time {
    /// The figures of a contestant's samples, compared with those of the first contestant.
    fn new(samples: &[Sample], first: &[Sample], of: fn(&Sample) -> f64) -> Self {
        let own: Vec<f64> = samples.iter().map(of).collect();
        let first: Vec<f64> = first.iter().map(of).collect();
        let ratios = own.iter().zip(&first).map(|(own, first)| own / first).collect();
        let (milliseconds, compared) = (Quartiles::of(own), Quartiles::of(first));
        Time { milliseconds, ratio: milliseconds.median / compared.median, ratios: Quartiles::of(ratios) }
    }

    fn parse(time: &Value) -> Option<Self> {
        let quartiles = |of: &Value| {
            let [lower, median, upper] = [0, 1, 2].map(|nth| of[nth].as_f64());
            Some(Quartiles { lower: lower?, median: median?, upper: upper? })
        };
        Some(Time {
            milliseconds: quartiles(&time["milliseconds_quartiles"])?,
            ratio: time["ratio_of_medians"].as_f64()?,
            ratios: quartiles(&time["ratios_within_rounds_quartiles"])?,
        })
    }

    fn json(&self) -> Value {
        let round = |value: f64| (value * 1e4).round() / 1e4;
        let quartiles = |of: Quartiles| json!([round(of.lower), round(of.median), round(of.upper)]);
        json!({
            "milliseconds_quartiles": quartiles(self.milliseconds),
            "ratio_of_medians": round(self.ratio),
            "ratios_within_rounds_quartiles": quartiles(self.ratios),
        })
    }
}

impl Table {
    fn new((subject, samples): &Results, calls: &Calls) -> Self {
        let first = &samples[0];
        let row = |((contestant, samples), calls): ((&'static Contestant, &Vec<Sample>), &Option<u64>)| Row {
            contestant,
            wall: Time::new(samples, first, |sample| sample.wall.as_secs_f64() * 1e3),
            cpu: Time::new(samples, first, |sample| sample.cpu.as_secs_f64() * 1e3),
            faults: Quartiles::of(samples.iter().map(|sample| sample.faults as f64).collect()).median,
            calls: *calls,
        };
        let present = CONTESTANTS.iter().zip(samples).zip(calls).filter(|((_, samples), _)| !samples.is_empty());
        Table {
            name: subject.name().to_owned(),
            rounds: first.len(),
            rows: present.map(row).collect(),
            subject: subject.to_string(),
        }
    }

    fn parse(table: &Value) -> Option<Self> {
        let row = |row: &Value| {
            Some(Row {
                contestant: CONTESTANTS.iter().find(|contestant| row["name"] == contestant.name)?,
                wall: Time::parse(&row["wall"])?,
                cpu: Time::parse(&row["cpu"])?,
                faults: row["minor_page_faults"].as_f64()?,
                calls: row["system_calls"].as_u64(),
            })
        };
        Some(Table {
            name: table["name"].as_str()?.to_owned(),
            rounds: table["rounds"].as_u64()? as usize,
            rows: table["contestants"].as_array()?.iter().map(row).collect::<Option<_>>()?,
            subject: table["subject"].as_str()?.to_owned(),
        })
    }

    /// The figures of the contestant of that name.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contestant.name == name)
    }

    /// The CPU time of the contestant of that name, as a multiple of the first one's.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.row(name).map(|row| row.cpu.ratio)
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            let mut json = json!({
                "name": row.contestant.name,
                "wall": row.wall.json(),
                "cpu": row.cpu.json(),
                "minor_page_faults": row.faults,
            });
            if let Some(calls) = row.calls {
                json["system_calls"] = calls.into();
            }
            json
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({"name": self.name, "subject": self.subject, "rounds": self.rounds, "contestants": rows})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cpus, kernel, qemu, models } = &self.machine;
        writeln!(f, "{cpus} CPUs ({cpu}), Linux {kernel}, {qemu}")?;
        models.iter().try_for_each(|(name, model)| writeln!(f, "{name} with the CPU model {model}"))?;
        let tables = self.starts.iter().chain(&self.programs).chain(&self.work).chain(&self.questions);
        tables.into_iter().try_for_each(|table| write!(f, "\n{table}"))?;
        writeln!(f)?;
        CONTESTANTS.iter().try_for_each(|one| writeln!(f, "{:9}  {}", one.name, one.meaning))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} interleaved rounds", self.subject, self.rounds)?;
        writeln!(f, "{:10}  {:^37}  {:^37}", "", "from start to end", "of the CPU")?;
        let columns = "     ms       quartiles  ratio  in rounds";
        writeln!(f, "contestant{columns}{columns}  page faults  system calls")?;
        for Row { contestant, wall, cpu, faults, calls } in &self.rows {
            write!(f, "{:10}", contestant.name)?;
            for Time { milliseconds, ratio, ratios } in [wall, cpu] {
                let range = format!("{:.1}..{:.1}", milliseconds.lower, milliseconds.upper);
                write!(f, " {:7.2}  {range:>13} {ratio:6.3}     {:6.3}", milliseconds.median, ratios.median)?;
            }
            let calls = calls.map_or("-".to_owned(), |calls| calls.to_string());
            writeln!(f, "  {faults:11.0}  {calls:>12}")?;
        }
        Ok(())
    }
}
