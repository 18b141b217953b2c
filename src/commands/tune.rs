//! `tune`: measures which CPU model of an emulator is the fastest on this machine, with the user's
//! programs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use dispatch_core::NAME;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture, Version};
use nix::sys::memfd::MFdFlags;

use crate::failure::{Doing, Failure, show, warn};
use crate::image::emulators::{self, Source};
use crate::image::site::Site;
use crate::image::translations::Keeper;
use crate::platform::{host, memfd};
use crate::translate::request::translate;
use crate::translate::roots::Root;
use crate::tune::arena::Setting;
use crate::tune::report::{Emulator, Report};
use crate::tune::request::Request;
use crate::tune::workload::{NAMES, WORKLOADS, Workload};
use crate::tune::{Contestant, site};
use crate::{architectures, defaults, output};

/// Find the fastest CPU model of an emulator for your machine and programs
///
/// Runs the programs that it finds in a root directory of the architecture (bash, perl, gcc and
/// others) with the emulator's default and with each model in turn. They run in private namespaces;
/// the root directory does not change. CPU time is compared, since it hardly depends on what else
/// the machine does.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The architecture, by any of its names
    #[arg(value_name = "ARCH")]
    architecture: String,
    /// Root directory with programs of the architecture, such as a chroot
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The emulator, or a directory with emulators; default: the installed one
    #[arg(long, value_name = "FILE|DIR")]
    emulator: Option<PathBuf>,
    /// CPU model to try, as for the emulator's option -cpu; default: those in the table; may be
    /// repeated
    #[arg(long = "cpu", value_name = "MODEL")]
    cpus: Vec<String>,
    /// Compare the emulator registered directly with an image, instead of comparing models. If the
    /// emulator keeps translations, also with an image that has those of the root directory's
    /// programs; making them takes some minutes
    #[arg(long, conflicts_with_all = ["cpus", "write"])]
    compare: bool,
    /// Number of rounds; each runs every workload with every model
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Time limit in seconds; no workload starts after it
    #[arg(long, value_name = "NUMBER", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86400))]
    seconds: u32,
    /// Run only this workload; may be repeated
    #[arg(long = "workload", value_name = "NAME", value_parser = PossibleValuesParser::new(NAMES))]
    workloads: Vec<String>,
    /// Also write the results to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the fastest model to /etc/binfmt-dispatch/tune.json, which goes into the next image
    #[arg(long)]
    write: bool,
}

impl Args {
    /// Whether files are written.
    pub fn writes(&self) -> bool {
        self.write || self.json.is_some()
    }
}

/// Measures, and prints the report.
///
/// # Errors
/// Programs cannot be run at all, or the results cannot be written.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let architecture = architectures::find(table, &args.architecture)?;
    let workloads = args.chosen_workloads();
    let mut contestants = args.contestants(architecture)?;
    let emulator = args.emulator(architecture)?;
    let unusable = |error| Failure::io(Doing::Read, &args.root, error);
    if !args.root.metadata().map_err(unusable)?.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    log::info!("{}: programs of the root {}", architecture.name, show(args.root.as_os_str()));
    log::info!("{}: the emulator", show(emulator.as_os_str()));
    let site = site::path(Path::new(defaults::SITE));
    let sites = || Site { no_site: false }.merged(ArchTable::builtin(), Path::new(defaults::SITE));
    // Fail now rather than after all the measuring.
    if args.write {
        let table = sites()?;
        architectures::find(&table, &architecture.name)?;
        site::read(&site, &table)?;
        site::writable(&site)?;
    }
    if let Some(path) = &args.json {
        writable(path).map_err(|error| Failure::io(Doing::Write, path, error))?;
    }
    let translations = if args.compare { args.translations(table, architecture, &emulator)? } else { None };
    contestants.extend(translations.as_ref().map(|_| Contestant::translated()));
    let request = Request {
        setting: Setting::new(table, architecture, &args.root, &emulator),
        contestants,
        translations: translations.as_ref().map(memfd::path_for_all),
        workloads: workloads.iter().map(|workload| workload.name.to_owned()).collect(),
        rounds: args.rounds as usize,
        seconds: args.seconds,
    };
    let measured = request.measured()?;
    let file = emulator.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let said = Emulator { name: file, version: emulators::version(&emulator) };
    let version: Option<Version> = said.version.parse().ok();
    let report = Report::new(measured, &architecture.name, said, &args.root);
    output::print(&report)?;
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Failure::Output(error.into()))?;
        fs::write(path, json + "\n").map_err(|error| Failure::io(Doing::Write, path, error))?;
    }
    if report.nothing().is_some() {
        return Ok(EXIT_NO);
    }
    if !args.write {
        return Ok(0);
    }
    match report.fastest() {
        Some(cpu) => {
            site::write(&site, &sites()?, &architecture.name, version.as_ref(), cpu)?;
            let said = format!("Written to {}; the next `{NAME} install` or `image` uses it\n", site.display());
            output::print(said)?;
            let merged = sites()?;
            let tuned = merged.find(&architecture.name).map(|row| row.tuned(version.as_ref()));
            if tuned.is_none_or(|tuned| tuned.cpu != Some(cpu)) {
                warn(format!("{}: another file in that directory overrides it", site.display()));
            }
        }
        None => output::print(format_args!("{} is unchanged\n", site.display()))?,
    }
    Ok(0)
}

impl Args {
    fn chosen_workloads(&self) -> Vec<Workload> {
        match &self.workloads[..] {
            [] => WORKLOADS.to_vec(),
            named => named.iter().filter_map(|name| Workload::find(name)).collect(),
        }
    }

    /// The contestants; the emulator's default comes first.
    fn contestants(&self, architecture: &Architecture) -> Result<Vec<Contestant>, Failure> {
        let mut contestants = vec![Contestant::plain()];
        if self.compare {
            contestants.push(Contestant::image());
            return Ok(contestants);
        }
        for cpu in if self.cpus.is_empty() { &architecture.cpus } else { &self.cpus } {
            let contestant = Contestant::model(cpu);
            if !contestants.contains(&contestant) {
                contestants.push(contestant);
            }
        }
        match contestants.len() {
            1 => Err(Failure::Usage(format!(
                "{}: the table has no models to compare: give some with --cpu",
                architecture.name
            ))),
            _ => Ok(contestants),
        }
    }

    /// Translations of the root directory's programs, as a file; `None` if the emulator keeps none.
    fn translations(
        &self,
        table: &ArchTable,
        architecture: &Architecture,
        emulator: &Path,
    ) -> Result<Option<File>, Failure> {
        let mut sources = [Source::of_file(architecture, emulator.to_owned())];
        if Keeper::of(&sources[0].bytes()?).is_none() {
            log::info!("{}: keeps no translations", show(emulator.as_os_str()));
            return Ok(None);
        }
        let root = Root { architecture: architecture.name.clone(), path: self.root.clone(), train: None };
        translate(table, &[root], &mut sources)?;
        let failed = |error| Failure::io(Doing::Make, Path::new(memfd::SHOWN), error);
        let bytes = sources[0].translations().unwrap_or_default();
        memfd::holding(c"translations", MFdFlags::MFD_CLOEXEC, &bytes).map(Some).map_err(failed)
    }

    fn emulator(&self, architecture: &Architecture) -> Result<PathBuf, Failure> {
        if let Some(by) = &architecture.disabled {
            return Err(Failure::Disabled { architecture: architecture.name.clone(), by: by.clone() });
        }
        let missing = |tried| Failure::NoEmulator {
            architecture: architecture.name.clone(),
            from: self.emulator.iter().cloned().collect(),
            tried,
        };
        match &self.emulator {
            Some(directory) if directory.is_dir() => {
                let paths: Vec<PathBuf> = architecture.emulator_names().map(|name| directory.join(name)).collect();
                let tried = || architecture.emulator_names().map(str::to_owned).collect();
                paths.iter().find(|path| path.is_file()).cloned().ok_or_else(|| missing(tried()))
            }
            Some(path) => Ok(path.clone()),
            None => {
                let tried = || architecture.emulator_paths().map(str::to_owned).collect();
                host::emulator(architecture).map(Path::to_owned).ok_or_else(|| missing(tried()))
            }
        }
    }
}

/// Checks that a file can be written, without making or changing it.
fn writable(path: &Path) -> io::Result<()> {
    match File::options().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            tempfile::tempfile_in(directory).map(drop)
        }
        opened => opened.map(drop),
    }
}
