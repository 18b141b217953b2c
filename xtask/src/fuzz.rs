//! `fuzz`: runs the fuzz targets, and counts the inputs that they tried and those that broke them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cargo::{cargo, host_target};
use crate::files::with_ending;
use crate::program::{logged, output, quietly};
use crate::{Result, root};

/// Run fuzz targets, one after the other
///
/// Prints how many inputs were tried and how many broke a target. Inputs that did are kept, and
/// their paths printed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long each target is run
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The targets, instead of `explain` and all in `fuzz/fuzz_targets`
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// The target that is a test, tests/mutated.rs: it starts processes. It takes as long as its files
/// do.
const EXPLAIN: &str = "explain";
/// The number of these files.
const FILES: u64 = 100_000;
/// Lines of an error message that are shown after the first one.
const FOLLOWING: usize = 4;
/// Characters shown of a line, which may contain the input byte by byte.
const LONGEST: usize = 200;

/// Runs the targets.
pub fn run(args: &Args) -> Result<ExitCode> {
    let targets = targets(&args.targets)?;
    let others = targets.iter().any(|target| target != EXPLAIN);
    if others && !logged(cargo().args(["fuzz", "--version"]))?.0.success() {
        eprintln!("Installing cargo-fuzz");
        quietly(cargo().args(["install", "--locked", "--quiet", "cargo-fuzz"]))?;
    }
    let (host, sanitizer) = (host_target()?, sanitizer()?);
    // The repository does not keep inputs that a run finds.
    let found = tempfile::tempdir()?;
    let (mut failed, mut executions) = (0, 0);
    println!("{:<12} {:>14} {:>8}", "target", "executions", "crashes");
    for target in &targets {
        let mut fuzz = cargo();
        if target == EXPLAIN {
            fuzz.env("BINFMT_DISPATCH_MUTATED", FILES.to_string());
            fuzz.args(["test", "--locked", "--target", &host, "--test", "mutated", "--", "--nocapture"]);
        } else {
            let found = found.path().join(target);
            fs::create_dir_all(&found)?;
            fs::create_dir_all(root().join("fuzz/artifacts").join(target))?;
            // The options are those of nightly compilers; this variable makes a stable one accept
            // them.
            fuzz.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", target, "--target", &host, "--sanitizer", sanitizer]);
            fuzz.arg(found).arg(Path::new("fuzz/corpus").join(target)).arg("--");
            fuzz.arg(format!("-max_total_time={}", args.seconds)).args(["-max_len=4096", "-timeout=10"]);
            fuzz.arg("-print_final_stats=1");
        }
        let (status, mut log) = logged(&mut fuzz)?;
        let mut said = Vec::new();
        log.read_to_end(&mut said)?;
        let said = String::from_utf8_lossy(&said);
        let crashes = usize::from(!status.success());
        println!("{target:<12} {:>14} {crashes:>8}", tried(&said));
        executions += tried(&said);
        failed += crashes;
        if crashes > 0 {
            reproducers(&said).for_each(|path| println!("reproducer: {path}"));
            complaints(&said).iter().for_each(|line| eprintln!("{line}"));
        }
    }
    println!("{executions} executions of {} targets, {failed} crashed", targets.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The named targets, or all.
fn targets(named: &[String]) -> Result<Vec<String>> {
    let files = with_ending(&root().join("fuzz/fuzz_targets"), ".rs")?;
    let all = files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    let all: Vec<String> = all.chain([EXPLAIN.to_owned()]).collect();
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        return Err(format!("no fuzz target {unknown}: the targets are {}", all.join(" ")).into());
    }
    Ok(if named.is_empty() { all } else { named.to_vec() })
}

/// Whether the compiler has the address sanitizer. Some, such as Debian's, do not.
fn sanitizer() -> Result<&'static str> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let there = !with_ending(Path::new(libraries.trim_end()), "_rt.asan.a")?.is_empty();
    Ok(if there { "address" } else { "none" })
}

/// Number of inputs tried, according to libFuzzer.
fn tried(said: &str) -> u64 {
    let total = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
    // A crash ends the run without statistics; the last progress line begins with the count.
    let explained =
        said.lines().find_map(|line| line.split_once(" files were explained")?.0.rsplit(' ').next()?.parse().ok());
    let progress = |line: &str| line.strip_prefix('#')?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    total.or(explained).or_else(|| said.lines().rev().find_map(progress)).unwrap_or(0)
}

/// The inputs that broke the target.
fn reproducers(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter_map(|line| Some(line.split_once("Test unit written to ")?.1))
}

/// The target's message about that input.
fn complaints(said: &str) -> Vec<String> {
    let first = |line: &str| ["panicked at", "ERROR", "SUMMARY"].iter().any(|word| line.contains(word));
    let (mut lines, mut left) = (Vec::new(), 0);
    for line in said.lines() {
        left = if first(line) { FOLLOWING + 1 } else { left };
        if left > 0 {
            lines.push(line.chars().take(LONGEST).collect());
            left -= 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_counted() {
        assert_eq!(tried("#1\tINITED\n#70\tREDUCE cov: 1\nstat::number_of_executed_units: 4711\nDone\n"), 4711);
        assert_eq!(tried("#1\tINITED\n#70\tREDUCE cov: 1\n==7== ERROR: libFuzzer: deadly signal\n    #0 0x1\n"), 70);
        assert_eq!(tried("running 1 test\n12 files were explained, none in more than 1ms\n"), 12);
        assert_eq!(tried("does not compile\n"), 0);
    }

    #[test]
    fn a_crash_is_told() {
        let long = "x".repeat(1000);
        let said =
            format!("a\nthread panicked at here:\n{long}\nb\nc\nd\ne\nartifact_prefix='x'; Test unit written to y\n");
        assert_eq!(reproducers(&said).collect::<Vec<_>>(), ["y"]);
        let complaints = complaints(&said);
        assert_eq!(complaints.iter().map(String::len).collect::<Vec<_>>(), [24, LONGEST, 1, 1, 1]);
    }

    #[test]
    fn targets_are_those_that_are_there() {
        let all = targets(&[]).unwrap();
        assert!(["explain", "stack"].iter().all(|name| all.iter().any(|target| target == name)));
        assert_eq!(targets(&["guest".into()]).unwrap(), ["guest"]);
        assert!(targets(&["nothing".into()]).is_err());
    }
}
