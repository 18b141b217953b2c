//! The options for translations, and what follows from them for the emulators of an image.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_table::{ArchTable, Architecture};
use dispatch_translations::Translations;
use tempfile::TempDir;

use super::train::{Outcome, Request};
use crate::failure::{Doing, Failure, ProgramFault, show};
use crate::image::emulators::Source;
use crate::image::translations::Keeper;
use crate::platform::{files, rooted};
use crate::progress;
use crate::tune::arena::Setting;

/// The command lines that run if none are named.
const LINES: &str = include_str!("training");
/// Largest file with command lines, and largest file of records, in bytes.
const LARGEST: u64 = 1 << 20;
const LARGEST_RECORDS: u64 = 1 << 30;
/// How much of a program tells its architecture, in bytes.
const HEAD: u64 = 64;
/// The end of the name of a file of records (emulators/tb-records.c).
const ENDING: &str = "tb-records";

/// What the image gets besides the emulators.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Training {
    /// Run programs of the root directory ROOT, and embed what their emulator translates: then
    /// these programs start several times faster, in every root directory. The emulator must be one
    /// that keeps translations, as `ci/emulators` builds it. The programs run in private
    /// namespaces, and ROOT does not change. May be repeated
    #[arg(long, value_name = "ROOT", conflicts_with_all = ["no_emulators", "no_prelink", "host"])]
    translate: Vec<PathBuf>,
    /// Run the command lines in FILE, one in a line, for the shell of ROOT; default: the programs
    /// that every build of a package starts
    #[arg(long, value_name = "FILE", requires = "translate")]
    train: Option<PathBuf>,
}

impl Training {
    /// Runs the programs, and gives the emulators in `sources` their translations.
    ///
    /// # Errors
    /// A root directory is of no such emulator's architecture, or its programs cannot be run.
    pub fn carry_out(&self, table: &ArchTable, sources: &mut [Source<'_>]) -> Result<(), Failure> {
        let lines = self.lines()?;
        let mut directories: BTreeMap<String, (TempDir, Keeper)> = BTreeMap::new();
        for root in &self.translate {
            let architecture = architecture_of(table, root)?;
            let name = &architecture.name;
            let source = sources.iter().find(|source| source.architecture.title() == *name).ok_or_else(|| {
                Failure::Usage(format!(
                    "{}: has programs for {name}, and the image no emulator for it",
                    show(root.as_os_str())
                ))
            })?;
            if !directories.contains_key(name) {
                let fault = ProgramFault::KeepsNoTranslations;
                let refused = || Failure::NotForImage { path: source.path.clone(), fault };
                let keeper = Keeper::of(&source.bytes()?).ok_or_else(refused)?;
                let made = TempDir::with_prefix("binfmt-dispatch-");
                let made = made.map_err(|error| Failure::io(Doing::Make, &std::env::temp_dir(), error))?;
                directories.insert(name.clone(), (made, keeper));
            }
            train(table, root, source, directories[name].0.path(), &lines)?;
        }
        for (name, (directory, keeper)) in directories {
            let recorded = recorded(directory.path(), &keeper)?;
            for source in sources.iter_mut().filter(|source| source.architecture.title() == name) {
                let fault = ProgramFault::RecordedNothing;
                let translations =
                    recorded.as_ref().ok_or_else(|| Failure::NotForImage { path: source.path.clone(), fault })?;
                log::info!("{name}: {} blocks translated", translations.count());
                source.trained = Some(Rc::new(translations.to_bytes()));
            }
        }
        Ok(())
    }

    /// The command lines. Empty ones and comments are left out.
    fn lines(&self) -> Result<Vec<String>, Failure> {
        let read = |path: &PathBuf| {
            let text = files::read(path, LARGEST)
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| std::io::Error::other("not text in UTF-8")));
            text.map_err(|error| Failure::io(Doing::Read, path, error))
        };
        let text = self.train.as_ref().map(read).transpose()?;
        let lines = text.as_deref().unwrap_or(LINES).lines().map(str::trim);
        Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
    }
}

/// The architecture of the programs in a root directory: that of its shell.
fn architecture_of<'t>(table: &'t ArchTable, root: &Path) -> Result<&'t Architecture, Failure> {
    let failed = |error| Failure::io(Doing::Read, &root.join("bin/sh"), error);
    let shell = rooted::resolve(root, Path::new("/bin/sh")).map_err(failed)?;
    let mut head = Vec::new();
    let file = File::open(shell).map_err(failed)?;
    file.take(HEAD).read_to_end(&mut head).map_err(failed)?;
    let accepts = |row: &&Architecture| row.rules().iter().any(|entry| entry.rule.accepts(&head));
    table.architectures().iter().find(accepts).ok_or_else(|| {
        Failure::Usage(format!("{}: its /bin/sh is a program of no architecture in the table", show(root.as_os_str())))
    })
}

/// Runs the programs of one root directory.
fn train(
    table: &ArchTable,
    root: &Path,
    source: &Source<'_>,
    directory: &Path,
    lines: &[String],
) -> Result<(), Failure> {
    progress::show(1, 1, format_args!("running programs of {}", show(root.as_os_str())));
    let request = Request {
        setting: Setting::new(table, source.architecture, root, &source.path),
        directory: directory.as_os_str().as_bytes().to_vec(),
        lines: lines.to_vec(),
    };
    let outcomes = request.trained();
    progress::clear();
    let outcomes = outcomes?;
    let ran = outcomes.iter().filter(|outcome| **outcome == Outcome::Ran).count();
    log::info!("{}: {ran} of {} command lines ran", show(root.as_os_str()), lines.len());
    match ran {
        0 => Err(Failure::Usage(format!(
            "{}: none of the programs ran, so there is nothing to keep: -v says how each of them ended",
            show(root.as_os_str())
        ))),
        _ => Ok(()),
    }
}

/// What the emulator `keeper` recorded in a directory. It has a file for each CPU model, and all
/// programs but a few had the same.
fn recorded(directory: &Path, keeper: &Keeper) -> Result<Option<Translations>, Failure> {
    let failed = |error| Failure::io(Doing::Read, directory, error);
    let mut found: Option<Translations> = None;
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        let bytes = files::read(&path, LARGEST_RECORDS).map_err(failed)?;
        match Translations::read(&bytes) {
            Ok(read) if read.origin().build == keeper.build => {
                if found.as_ref().is_none_or(|found| found.count() < read.count()) {
                    found = Some(read);
                }
            }
            Ok(_) => log::info!("{}: of another emulator", show(path.as_os_str())),
            Err(fault) => log::info!("{}: {fault}", show(path.as_os_str())),
        }
    }
    Ok(found)
}
