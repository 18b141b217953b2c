//! Draws the measurements of ci/tune and `ci/translations speed`: charts, and the tables of
//! docs/cpu-models.md.

mod builds;
mod chart;
#[path = "../drawing/mod.rs"]
mod drawing;
mod results;
mod shares;
mod tables;
mod translated;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use builds::Builds;
use results::Measured;
use translated::Translated;

/// Draw the measurements of CPU models
#[derive(Parser)]
#[command(name = "cpu")]
struct Options {
    /// Directory of the measurements
    #[arg(long, value_name = "DIR", default_value = "benches/results")]
    results: PathBuf,
    /// Write the charts, and the tables as cpu-models.md, into this directory; without it, print
    /// the tables
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
    /// Added by cargo for a benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let models = Measured::all(&options.results, "cpu-")?;
    let compared = Measured::all(&options.results, "table-")?;
    if models.is_empty() {
        return Err(format!("{} has no cpu-*.json: run ci/tune", options.results.display()).into());
    }
    let builds = Builds::all(&options.results)?;
    let tables = tables::all(&models, &compared, &builds)?;
    let Some(docs) = &options.docs else {
        print!("{tables}");
        return Ok(());
    };
    fs::write(docs.join("cpu-workloads.svg"), chart::workloads(&models))?;
    fs::write(docs.join("cpu-models.svg"), chart::models(&models))?;
    fs::write(docs.join("builds.svg"), builds::chart(&builds))?;
    let translated = options.results.join("translations-arm64-10.0.json");
    if translated.exists() {
        fs::write(docs.join("translations.svg"), Translated::read(&translated)?.chart())?;
    }
    Ok(fs::write(docs.join("cpu-models.md"), tables)?)
}
