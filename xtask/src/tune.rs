//! `tune`: measures the CPU models of Debian's emulators with Debian's programs, for
//! docs/cpu-models.md.

mod builds;
mod by_path;
mod choices;
mod pair;
mod rounds;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::builder::PossibleValuesParser;
use serde::Serialize;

use crate::cargo::{cargo, host_target};
use crate::debian::{Mirror, host_architecture, unpack};
use crate::program::{output, status, succeeded};
use crate::{Result, files, root};
use builds::{Builds, WORKS};
use choices::{ARCHITECTURES, EMULATORS, PACKAGES, chosen};
use pair::Pair;
pub use pair::Registered;

/// Measure the CPU models of Debian's emulators with Debian's programs
///
/// Measures as `binfmt-dispatch tune` does, and writes
/// benches/results/cpu-<architecture>-<version>.json. Then rewrites docs/cpu-models.md.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Compare QEMU registered directly with an image of the present table (table-*.json), instead
    /// of CPU models
    #[arg(long)]
    compare: bool,
    /// Compare longer work with QEMU registered directly and through an image: making root
    /// directories, installing packages, compiling (builds-*.json), instead of CPU models
    #[arg(long, conflicts_with = "compare")]
    builds: bool,
    /// Only this work; may be repeated
    #[arg(long = "work", value_name = "NAME", requires = "builds", value_parser = works())]
    works: Vec<String>,
    /// Compare programs that `unshare` and `run` start with the emulator at its path with those
    /// that an image starts with the emulator embedded (path-*.json), instead of CPU models
    #[arg(long, conflicts_with_all = ["compare", "builds"])]
    by_path: bool,
    /// Rounds; each measures every model once; not for --builds
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Time limit in seconds for each architecture and emulator; no run starts after it; not for
    /// --builds and --by-path
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86400))]
    seconds: u32,
    /// The emulator's version, instead of all; may be repeated
    #[arg(long = "emulator", value_name = "VERSION", value_parser = versions())]
    emulators: Vec<String>,
    /// The architectures, instead of all
    #[arg(value_name = "ARCH", value_parser = architectures())]
    architectures: Vec<String>,
}

fn versions() -> PossibleValuesParser {
    PossibleValuesParser::new(EMULATORS.iter().map(|emulator| emulator.version))
}

fn works() -> PossibleValuesParser {
    PossibleValuesParser::new(WORKS.iter().map(|work| work.name))
}

fn architectures() -> PossibleValuesParser {
    PossibleValuesParser::new(ARCHITECTURES.iter().map(|architecture| architecture.name))
}

/// Measures.
pub fn run(args: &Args) -> Result<()> {
    let (tool, place, results) = (tool()?, root().join("target/tune"), root().join("benches/results"));
    fs::create_dir_all(&results)?;
    let mirror = Mirror::of_this_machine()?;
    let emulators = chosen(&EMULATORS, &args.emulators, |emulator| emulator.version);
    let architectures = chosen(&ARCHITECTURES, &args.architectures, |architecture| architecture.name);
    let pairs = architectures.iter().flat_map(|architecture| {
        emulators.iter().map(|emulator| Pair { architecture, emulator, tool: &tool, place: &place })
    });
    let pairs: Vec<Pair> = pairs.collect();
    // Fetch everything before measuring.
    pairs.iter().try_for_each(|pair| fetch(pair, &mirror))?;
    let mut missed = false;
    for pair in &pairs {
        println!("\n{}, QEMU {}", pair.architecture.name, pair.emulator.version);
        let file = |kind| results.join(format!("{kind}-{}-{}.json", pair.architecture.name, pair.emulator.version));
        if args.by_path {
            write(&file("path"), &by_path::measured(pair, args.rounds as usize)?)?;
            continue;
        }
        if args.builds {
            let works = chosen(&WORKS, &args.works, |work| work.name);
            // Other work that was measured before is kept.
            let mut all = read(&file("builds"))?;
            for (work, took) in (Builds { pair, mirror: &mirror }).measured(&works)?.0 {
                all.insert(work.to_owned(), serde_json::to_value(took)?);
            }
            write(&file("builds"), &all)?;
            continue;
        }
        missed |= !args.measure(pair, &file(if args.compare { "table" } else { "cpu" }))?;
    }
    draw()?;
    if missed { Err("not everything could be measured".into()) } else { Ok(()) }
}

impl Args {
    /// Runs the command's own `tune`; returns whether anything could be measured.
    fn measure(&self, pair: &Pair, file: &Path) -> Result<bool> {
        let mut tune = Command::new(pair.tool);
        tune.args(["tune", pair.architecture.name, "--root"]).arg(pair.root()).arg("--emulator").arg(pair.emulators());
        tune.arg("--rounds").arg(self.rounds.to_string()).arg("--seconds").arg(self.seconds.to_string());
        tune.arg("--json").arg(file);
        if self.compare {
            tune.arg("--compare");
        } else {
            tune.args(pair.architecture.models.iter().flat_map(|model| ["--cpu", model]));
        }
        Ok(status(&mut tune)?.success())
    }
}

/// The command to measure.
fn tool() -> Result<PathBuf> {
    if let Some(tool) = env::var_os("BINFMT_DISPATCH_TOOL").filter(|tool| !tool.is_empty()) {
        return Ok(root().join(tool));
    }
    Ok(root().join(output(Command::new(root().join("ci/build")).current_dir(root()))?.trim_end()))
}

/// Fetches the emulators, and programs of the architecture.
fn fetch(pair: &Pair, mirror: &Mirror) -> Result<()> {
    let (architecture, emulator, directory) = (pair.architecture, pair.emulator, pair.emulators());
    if !directory.is_dir() {
        println!("Fetching QEMU {}", emulator.version);
        let place = pair.place.join(format!("qemu-{}", emulator.version));
        unpack(mirror, emulator.release, &host_architecture()?, &[emulator.package], &place)?;
    }
    let root = pair.root();
    if !root.is_dir() {
        println!("Fetching programs for {}", architecture.name);
        unpack(mirror, architecture.release, architecture.name, &PACKAGES, &root)?;
    }
    // Done by mawk's installation script.
    let awk = root.join("usr/bin/awk");
    if !awk.exists() {
        std::os::unix::fs::symlink("mawk", awk)?;
    }
    Ok(())
}

/// Earlier results, by the names of the work.
fn read(file: &Path) -> Result<serde_json::Map<String, serde_json::Value>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(serde_json::Map::new()),
        text => Ok(serde_json::from_str(&text?)?),
    }
}

fn write(file: &Path, measured: &impl Serialize) -> Result<()> {
    files::write(file, &(serde_json::to_string_pretty(measured)? + "\n"))
}

/// Draws the charts and writes the tables of docs/cpu-models.md, from all existing results.
fn draw() -> Result<()> {
    let mut bench = cargo();
    bench.args(["bench", "--locked", "--quiet", "--target", &host_target()?, "--bench", "cpu", "--"]);
    let status = status(bench.args(["--docs", "docs"]))?;
    succeeded(&bench, status)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &str) -> std::result::Result<Args, clap::error::ErrorKind> {
        let words = ["tune"].into_iter().chain(words.split_whitespace());
        Alone::try_parse_from(words).map(|alone| alone.args).map_err(|error| error.kind())
    }

    #[test]
    fn arguments_are_checked_before_anything_is_done() {
        use clap::error::ErrorKind::{ArgumentConflict, InvalidValue, MissingRequiredArgument, ValueValidation};
        let args = parse("--compare --rounds 1 --emulator 7.2 --emulator newest arm64 s390x").unwrap();
        assert!(args.compare && !args.builds && !args.by_path && args.rounds == 1 && args.seconds == 300);
        assert_eq!((args.emulators.len(), args.architectures.len()), (2, 2));
        for (words, kind) in [
            ("--work root", MissingRequiredArgument),
            ("--builds --work rest", InvalidValue),
            ("--builds --compare", ArgumentConflict),
            ("--by-path --compare", ArgumentConflict),
            ("--emulator 8.0", InvalidValue),
            ("aarch64", InvalidValue),
            ("--rounds 0", ValueValidation),
            ("--seconds x", ValueValidation),
        ] {
            assert_eq!(parse(words).map(drop), Err(kind), "{words}");
        }
    }
}
