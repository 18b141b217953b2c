//! Measures the time to start a program of another architecture: with QEMU registered directly, and
//! in the ways of binfmt-dispatch, all with the same flags and the same CPU model. The programs are
//! one that exits at once, Debian's, and two scripts. `explain` and `status` are measured too.
//!
//! The contestants take turns within each round, in random order. Machines are shared and noisy,
//! and a disturbance then affects all contestants alike.

mod chart;
mod check;
mod contest;
#[path = "../drawing/mod.rs"]
mod drawing;
mod report;
mod roots;
mod sample;
mod statistics;
mod subject;
mod worker;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use dispatch_table::ArchTable;

use contest::{Contest, Wanted};
use report::{Calls, Report, Results};
use sample::Sample;
use subject::{CONTESTANTS, PROGRAMS, QUESTIONS, Subject};

/// Uncounted rounds, to fill caches.
const WARM_UP: u32 = 5;
/// The default architectures. QEMU runs programs of its host's architecture, too.
const ARCHITECTURES: [&str; 6] = ["aarch64", "arm", "riscv64", "s390x", "ppc64le", "x86_64"];

/// Measure how long programs of other architectures take to start
#[derive(Parser)]
#[command(name = "startup")]
struct Options {
    /// The architectures, by the table's names; more is measured for the first one
    #[arg(value_name = "ARCH", default_values = ARCHITECTURES)]
    architectures: Vec<String>,
    /// Measure every architecture whose emulator is installed
    #[arg(long)]
    all: bool,
    /// How often each contestant starts each program
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often each contestant starts each of Debian's programs, which takes about a second; 0
    /// for not at all
    #[arg(long, value_name = "N", default_value_t = 40)]
    program_rounds: u32,
    /// How often each contestant does real work, which takes one or two seconds each time; 0 for
    /// not at all
    #[arg(long, value_name = "N", default_value_t = 10)]
    work_rounds: u32,
    /// How often `explain` and `status` are asked; 0 for not at all
    #[arg(long, value_name = "N", default_value_t = 40)]
    question_rounds: u32,
    /// How many features the configure-like script looks for, each with six programs; 600 take
    /// about half a minute
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..))]
    checks: u32,
    /// Time limit in seconds for each of the four kinds of measurement; finished rounds count
    #[arg(long, value_name = "N", default_value_t = 300)]
    seconds: u64,
    /// Also count the system calls of one start of each kind, with strace
    #[arg(long)]
    calls: bool,
    /// Measure nothing: read figures from a file written with --json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "rounds", "program_rounds", "work_rounds", "question_rounds", "checks", "seconds", "calls", "json"])]
    figures: Option<PathBuf>,
    /// Also write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw a chart
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Fail if binfmt-dispatch is slower than allowed, or if there are too few rounds to tell
    #[arg(long)]
    check: bool,
    /// Be the process of this contestant
    #[arg(long, hide = true, requires = "directory")]
    worker: Option<String>,
    /// Directory of its files
    #[arg(long, hide = true)]
    directory: Option<PathBuf>,
    /// Debian's root directory
    #[arg(long, hide = true)]
    root: Option<PathBuf>,
    /// A CPU model that QEMU emulates
    #[arg(long, hide = true)]
    model: Vec<String>,
    /// Register every row
    #[arg(long, hide = true)]
    every_row: bool,
    /// Added by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (&options.worker, &options.directory) {
        (Some(contestant), Some(directory)) => {
            let (root, architectures, models) = (options.root.as_deref(), &options.architectures, &options.model);
            worker::run(&worker::Work {
                contestant,
                directory,
                root,
                architectures,
                models,
                every_row: options.every_row,
            })
            .map(|()| ExitCode::SUCCESS)
        }
        _ => run(options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("startup: {error}");
        ExitCode::from(125)
    })
}

fn run(mut options: Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.all {
        let table = ArchTable::builtin();
        let installed = table.architectures().iter().filter(|row| contest::emulator(row).is_ok());
        options.architectures = installed.map(|row| row.name.clone()).collect();
    }
    let report = match &options.figures {
        Some(path) => {
            let figures = std::fs::read_to_string(path);
            let figures = figures.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
            Report::parse(&figures).ok_or_else(|| format!("{}: these are no figures of --json", path.display()))?
        }
        None => contend(&options)?,
    };
    print!("{report}");
    for (path, text) in [(&options.json, report.json()), (&options.svg, chart::svg(&report))] {
        if let Some(path) = path {
            std::fs::write(path, text).map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
        }
    }
    let failures = check::failures(&report);
    if options.check && !failures.is_empty() {
        failures.iter().for_each(|failure| eprintln!("startup: {failure}"));
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes all requested measurements.
fn contend(options: &Options) -> Result<Report, Box<dyn Error>> {
    let (rounds, program_rounds, work_rounds) = (options.rounds, options.program_rounds, options.work_rounds);
    let mut contest = Contest::prepare(&Wanted {
        architectures: &options.architectures,
        work: work_rounds != 0,
        programs: program_rounds != 0,
        questions: options.question_rounds != 0,
    })?;
    let limit = Duration::from_secs(options.seconds);
    let starts = options.architectures.iter().cloned().map(Subject::Start).collect();
    let starts = measure(&mut contest, starts, WARM_UP, rounds, limit)?;
    let calls = if options.calls { count(&mut contest, &options.architectures)? } else { Vec::new() };
    let programs = PROGRAMS.iter().map(Subject::Program).collect();
    let programs = measure(&mut contest, programs, program_rounds.min(1), program_rounds, limit)?;
    let work = vec![Subject::Loop, Subject::Configure(options.checks)];
    let work = measure(&mut contest, work, work_rounds.min(1), work_rounds, limit)?;
    // The start of a program shows how fast the machine is at the same time.
    let first = options.architectures.first().cloned().map(Subject::Start);
    let questions = first.into_iter().chain(QUESTIONS.iter().map(Subject::Question)).collect();
    let asked = options.question_rounds;
    let questions = measure(&mut contest, questions, asked.min(1), asked, limit)?;
    Report::new([&starts, &programs, &work, &questions], &calls, &options.architectures)
}

/// For each architecture, the system calls of each contestant that starts its program.
fn count(contest: &mut Contest, architectures: &[String]) -> Result<Vec<Calls>, Box<dyn Error>> {
    let mut all = Vec::new();
    for (index, architecture) in architectures.iter().enumerate() {
        let mut calls = CONTESTANTS.map(|_| None);
        for (contestant, calls) in calls.iter_mut().enumerate() {
            if CONTESTANTS[contestant].runs(&Subject::Start(architecture.clone()), index == 0) {
                *calls = Some(contest.calls(contestant, architecture)?);
            }
        }
        all.push(calls);
    }
    Ok(all)
}

/// The samples of each subject, one list for each contestant.
fn measure(
    contest: &mut Contest,
    subjects: Vec<Subject>,
    warm_up: u32,
    rounds: u32,
    limit: Duration,
) -> Result<Vec<Results>, Box<dyn Error>> {
    let end = Instant::now() + limit;
    let none = || CONTESTANTS.map(|_| Vec::<Sample>::new());
    let mut results: Vec<Results> = subjects.into_iter().map(|subject| (subject, none())).collect();
    // Shuffled, so that no contestant always follows the same one.
    let (mut random, mut order): (_, [usize; CONTESTANTS.len()]) =
        (fastrand::Rng::with_seed(1), std::array::from_fn(|index| index));
    for round in 0..warm_up + rounds {
        for (index, (subject, samples)) in results.iter_mut().enumerate() {
            random.shuffle(&mut order);
            for contestant in order {
                if !CONTESTANTS[contestant].runs(subject, index == 0) {
                    continue;
                }
                if round < warm_up {
                    contest.run(contestant, &subject.briefly())?;
                } else {
                    samples[contestant].push(contest.run(contestant, subject)?);
                }
            }
        }
        if Instant::now() > end && round >= warm_up {
            break;
        }
    }
    results.retain(|(_, samples)| !samples[0].is_empty());
    Ok(results)
}
