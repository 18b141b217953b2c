//! `lint`: what is wrong with files of binfmt.d.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::ArchTable;
use serde::Serialize;

use crate::architectures;
use crate::failure::{self, Failure};
use crate::lint::finding::{Annotation, Finding, Level};
use crate::lint::{self, Registered, Report, Setting, sources};
use crate::output;
use crate::output::json::{self, Bytes};
use crate::platform::host;
use crate::registry::own_programs::HostPrograms;

/// Check files of binfmt.d: anyone's entries, before systemd-binfmt registers them
///
/// Prints what systemd-binfmt or the kernel would refuse, and what would do harm, with file, line
/// and column (docs/lint.md). Exits with 1 if there are warnings or errors.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, in the order of registration; default: those of /etc, /run, /usr/local/lib and
    /// /usr/lib that systemd-binfmt reads, in its order
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look for the directories and the interpreters in the system rooted at DIR
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Architecture of the host that the entries are for
    #[arg(long, value_name = "ARCH", default_value = std::env::consts::ARCH)]
    host: String,
    /// Do not look at the files of interpreters, which may be elsewhere
    #[arg(long)]
    no_interpreters: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Gnu)]
    format: Format,
    /// Print JSON (docs/lint.schema.json)
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As compilers write it: file, line, column, level, message and check
    Gnu,
    /// Workflow commands of GitHub and compatible CI systems, which show findings beside the lines
    Github,
}

/// Everything, for JSON.
#[derive(Serialize)]
struct Output<'r> {
    version: u32,
    host: &'r str,
    errors: usize,
    warnings: usize,
    notes: usize,
    findings: &'r [Finding],
    /// In the order of registration: the last one that accepts a program gets it.
    entries: Vec<Entry<'r>>,
    files: Vec<File>,
}

/// An entry, for JSON.
#[derive(Serialize)]
struct Entry<'r> {
    #[serde(flatten)]
    entry: &'r Registered,
    architectures: Vec<&'r str>,
}

/// A file, for JSON.
#[derive(Serialize)]
struct File {
    file: Bytes,
    standing: &'static str,
}

/// Checks the files.
///
/// # Errors
/// [`Failure::UnknownArchitectures`], [`Failure::Usage`] for the root directory, and
/// [`Failure::Output`].
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let known = host::BUILTIN.find(&args.host);
    let host = known.map_or_else(|| architectures::find(table, &args.host), Ok)?;
    let root = root(&args.root)?;
    let found = if args.files.is_empty() { sources::of_system(&root) } else { sources::named(&args.files) };
    let root = (!args.no_interpreters).then_some(root);
    let report = lint::check(found, &Setting { table, host, own: HostPrograms::of(host), root });
    if args.json {
        json::print(&output(&report, &host.name, table))?;
    } else {
        let line = |finding: &Finding| match args.format {
            Format::Gnu => format!("{finding}\n"),
            Format::Github => format!("{}\n", Annotation(finding)),
        };
        output::print(report.findings.iter().map(line).collect::<String>())?;
    }
    let bad = report.findings.iter().any(|finding| finding.level > Level::Note);
    Ok(if bad { EXIT_NO } else { 0 })
}

/// The root directory, with all links resolved.
fn root(path: &Path) -> Result<PathBuf, Failure> {
    let root = path.canonicalize().and_then(|root| match root.is_dir() {
        true => Ok(root),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    root.map_err(|error| {
        let (path, error) = (failure::show(path.as_os_str()), failure::text(&error));
        Failure::Usage(format!("{path}: cannot be a root directory: {error}"))
    })
}

fn output<'r>(report: &'r Report, host: &'r str, table: &'r ArchTable) -> Output<'r> {
    let count = |level: Level| report.findings.iter().filter(|finding| finding.level == level).count();
    let entry = |entry: &'r Registered| Entry { entry, architectures: lint::architectures(&entry.matcher, table) };
    let file = |source: &sources::Source| File {
        file: Bytes::from(source.path.as_os_str()),
        standing: source.standing.name(),
    };
    Output {
        version: 1,
        host,
        errors: count(Level::Error),
        warnings: count(Level::Warning),
        notes: count(Level::Note),
        findings: &report.findings,
        entries: report.entries.iter().map(entry).collect(),
        files: report.sources.iter().map(file).collect(),
    }
}
