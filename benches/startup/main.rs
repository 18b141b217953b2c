//! What the dispatcher adds to the start of a program, against QEMU registered directly with the same flags.
//!
//! The program is aarch64's probe, which exits at once, so that nothing but the start is measured. The contestants take
//! turns within each round, because machines are shared and noisy: what disturbs one soon disturbs the others too.

mod contest;
mod report;
mod statistics;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use contest::Contest;
use report::Report;

/// Rounds that are not counted, while caches fill.
const WARM_UP: usize = 10;
/// With fewer rounds `--check` says nothing about anything.
const ENOUGH_ROUNDS: usize = 300;
/// What `--check` allows the dispatcher, as a multiple of QEMU's own time.
const LIMIT: f64 = 1.05;

/// Measure how long a program of another architecture takes to start
#[derive(Parser)]
#[command(name = "startup")]
struct Options {
    /// How often each contestant is run
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Stop after so many seconds, with the rounds that there are
    #[arg(long, value_name = "N", default_value_t = 120)]
    seconds: u64,
    /// Write the figures to a file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if the dispatcher takes more than 1.05 times as long as QEMU alone, or if there are fewer than 300 rounds
    #[arg(long)]
    check: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("startup: {error}");
            ExitCode::from(125)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let contest = Contest::prepare()?;
    let report = Report::new(&contest, &measure(&contest, options)?);
    print!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, report.json())
            .map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
    }
    if options.check && (report.rounds < ENOUGH_ROUNDS || report.path_ratio() > LIMIT) {
        eprintln!(
            "startup: the dispatcher must take at most {LIMIT} times as long, in at least {ENOUGH_ROUNDS} rounds"
        );
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// The times of each round, in the order of [`contest::NAMES`].
fn measure(contest: &Contest, options: &Options) -> Result<Vec<[Duration; 3]>, Box<dyn Error>> {
    // Every order equally often: whoever comes after a slow one must not always be the same.
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2], [0, 2, 1]];
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut rounds = Vec::new();
    for (number, order) in ORDERS.iter().cycle().enumerate().take(WARM_UP + options.rounds as usize) {
        let mut times = [Duration::ZERO; 3];
        for &contestant in order {
            times[contestant] = contest.start(contestant)?;
        }
        if number >= WARM_UP {
            rounds.push(times);
        }
        if Instant::now() > end && !rounds.is_empty() {
            break;
        }
    }
    Ok(rounds)
}
