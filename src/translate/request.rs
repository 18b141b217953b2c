//! The options for translations, and what follows from them for the emulators of an image.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_table::{ArchTable, Architecture};
use dispatch_translations::{Packed, Translations};
use nix::sys::memfd::MFdFlags;
use rustix::io::Errno;
use tempfile::TempDir;

use super::roots::Root;
use super::train::{Outcome, Request};
use crate::failure::{Doing, Failure, ProgramFault, show};
use crate::image::emulators::Source;
use crate::image::translations::Keeper;
use crate::platform::signals::{SignalGuard, SizeLimit};
use crate::platform::{files, memfd, rooted};
use crate::progress;
use crate::tune::arena::Setting;

/// The command lines that run if none are named.
const LINES: &str = include_str!("training");
/// Largest file with command lines, and largest file of records, in bytes.
const LARGEST: u64 = 1 << 20;
const LARGEST_RECORDS: u64 = 1 << 30;
/// What a process may append to a file of records, in bytes (emulators/tb-records.c).
const APPENDED: u64 = 64 << 20;
/// Room for the records of one root directory, in bytes. Those that fewest command lines used are left
/// out.
const ROOM: usize = 89 << 18;
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
    /// namespaces, with a /tmp of their own. May be repeated
    #[arg(long, value_name = "ROOT", conflicts_with_all = ["no_emulators", "no_prelink"])]
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
    /// As [`translate`].
    pub fn carry_out(&self, table: &ArchTable, sources: &mut [Source<'_>]) -> Result<(), Failure> {
        translate(table, &self.roots(table)?, sources)
    }

    /// The root directories.
    ///
    /// # Errors
    /// One is of no architecture in the table.
    pub fn roots(&self, table: &ArchTable) -> Result<Vec<Root>, Failure> {
        let root = |root: &PathBuf| {
            let architecture = architecture_of(table, root)?.name.clone();
            Ok(Root { architecture, path: root.clone(), train: self.train.clone() })
        };
        self.translate.iter().map(root).collect()
    }
}

/// Runs the programs of root directories, and gives the emulators in `sources` their translations.
///
/// # Errors
/// There is no such emulator for a root directory, or its programs cannot be run; the disk is full;
/// [`Failure::Interrupted`]. Then nothing is left of what was recorded.
pub fn translate(table: &ArchTable, roots: &[Root], sources: &mut [Source<'_>]) -> Result<(), Failure> {
    // It is dropped last: a signal ends this process when the directories are removed.
    let _guard = SignalGuard::begin();
    let mut directories: BTreeMap<String, (TempDir, Keeper)> = BTreeMap::new();
    for (number, Root { architecture: name, path: root, train: file }) in roots.iter().enumerate() {
        let lines = lines(file.as_deref())?;
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
        let directory = directories[name].0.path().join(number.to_string());
        fs::create_dir(&directory).map_err(|error| Failure::io(Doing::Make, &directory, error))?;
        train(table, root, source, &directory, &lines)?;
        has_room(&directory)?;
    }
    for (name, (directory, keeper)) in directories {
        let trained = recorded(directory.path(), &keeper)?.map(|translations| {
            let count = roots.iter().filter(|root| root.architecture == name).count();
            let packed = translations.packed(count * ROOM);
            let kept = Packed::open(&packed).map_or(0, |packed| packed.count());
            log::info!("{name}: {} blocks translated, {kept} of them kept", translations.count());
            Rc::new(packed)
        });
        for source in sources.iter_mut().filter(|source| source.architecture.title() == name) {
            let fault = ProgramFault::RecordedNothing;
            let refused = || Failure::NotForImage { path: source.path.clone(), fault };
            source.trained = Some(trained.clone().ok_or_else(refused)?);
        }
    }
    Ok(())
}

/// The command lines in `file`, or the usual ones. Empty ones and comments are left out.
fn lines(file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let read = |path: &Path| {
        let text = files::read(path, LARGEST)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| std::io::Error::other("not text in UTF-8")));
        text.map_err(|error| Failure::io(Doing::Read, path, error))
    };
    let text = file.map(read).transpose()?;
    let lines = text.as_deref().unwrap_or(LINES).lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

/// Checks that what an emulator wanted to record had room. An emulator goes on without it if the
/// disk is full, and says nothing.
fn has_room(directory: &Path) -> Result<(), Failure> {
    let _limit = SizeLimit::begin();
    let room = tempfile::tempfile_in(directory).and_then(|file| {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, APPENDED) {
            // Not every file system can reserve space.
            Err(Errno::OPNOTSUPP) => Ok(()),
            reserved => Ok(reserved?),
        }
    });
    room.map_err(|error| Failure::io(Doing::Write, directory, error))
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
    // The file at the path of one from an image may be another by now.
    let copy = source.from_image.as_ref().map(|_| source.bytes()).transpose()?;
    let copy = copy.map(|bytes| memfd::holding(c"emulator", MFdFlags::MFD_CLOEXEC, &bytes)).transpose();
    let copy = copy.map_err(|error| Failure::io(Doing::Make, Path::new(memfd::SHOWN), error))?;
    let emulator = copy.as_ref().map_or_else(|| source.path.clone(), memfd::path_for_all);
    let request = Request {
        setting: Setting::new(table, source.architecture, root, &emulator),
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

/// What the emulator `keeper` recorded in the directories of all root directories and command
/// lines. It has a file for each CPU model, and all programs but a few had the same.
fn recorded(directory: &Path, keeper: &Keeper) -> Result<Option<Translations>, Failure> {
    let mut found: Vec<Translations> = Vec::new();
    for path in listed(directory)?.iter().map(|root| listed(root)).collect::<Result<Vec<_>, _>>()?.concat() {
        for path in listed(&path)?.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == ENDING)) {
            let bytes = files::read(&path, LARGEST_RECORDS).map_err(|error| Failure::io(Doing::Read, &path, error))?;
            match Translations::read(&bytes) {
                Ok(read) if read.origin().build == keeper.build => {
                    if !found.iter_mut().any(|found| found.merge(&read).is_ok()) {
                        found.push(read);
                    }
                }
                Ok(_) => log::info!("{}: of another emulator", show(path.as_os_str())),
                Err(fault) => log::info!("{}: {fault}", show(path.as_os_str())),
            }
        }
    }
    Ok(found.into_iter().max_by_key(Translations::count))
}

/// The paths of what is in a directory, sorted by name. Names that are numbers come last, in
/// numerical order.
fn listed(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::io(Doing::Read, directory, error);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut paths = entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>, _>>()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<usize>().ok();
    paths.sort_by_cached_key(|path| (number(path), path.clone()));
    Ok(paths)
}
