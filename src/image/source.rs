//! The programs that are to travel in an image: where they are found, and what is known of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::table::Strategy;
use dispatch_table::{ArchTable, Architecture, Tuned};

use crate::failure::{Failure, warn};
use crate::{host, probe};

/// An emulator that is to be inside.
#[derive(Clone, Debug)]
pub struct Source<'t> {
    /// The architecture that it is for.
    pub architecture: &'t Architecture,
    /// Its file.
    pub path: PathBuf,
}

/// Where emulators come from.
#[derive(Clone, Debug)]
pub enum From {
    /// A directory that is searched for the table's file names.
    Directory(PathBuf),
    /// The file of an architecture.
    File(String, PathBuf),
}

impl From {
    /// Reads `PATH` or `ARCH=PATH`.
    ///
    /// # Errors
    /// The path is no directory and has no architecture in front.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
            let name = String::from_utf8_lossy(&bytes[..equals]);
            if !name.contains('/') {
                return Ok(From::File(name.into_owned(), OsStr::from_bytes(&bytes[equals + 1..]).into()));
            }
        }
        let path = PathBuf::from(text);
        if path.is_dir() {
            Ok(From::Directory(path))
        } else {
            Err(format!("{} is no directory; an emulator is given as ARCH=FILE", path.display()))
        }
    }
}

/// The emulators of `rows`, from the places given, or else from where the table says they are installed. Of several for
/// one architecture the first one runs.
///
/// # Errors
/// [`Failure::UnknownArchitecture`].
pub fn find<'t>(table: &'t ArchTable, rows: &[&'t Architecture], from: &[From]) -> Result<Vec<Source<'t>>, Failure> {
    let mut sources = Vec::new();
    for place in from {
        if let From::File(name, path) = place {
            let architecture = table.find(name).ok_or_else(|| Failure::UnknownArchitecture(name.clone()))?;
            sources.push(Source { architecture, path: path.clone() });
        }
    }
    for architecture in rows.iter().filter(|architecture| architecture.strategy == Strategy::Map) {
        let mut places = Vec::new();
        for directory in
            from.iter().filter_map(|place| if let From::Directory(path) = place { Some(path) } else { None })
        {
            places.extend(architecture.emulator_names().map(|name| directory.join(name)).find(|path| path.is_file()));
        }
        if from.is_empty() {
            places.extend(architecture.emulator_paths().map(PathBuf::from).find(|path| path.is_file()));
        }
        sources.extend(places.into_iter().map(|path| Source { architecture, path }));
    }
    Ok(sources)
}

/// The architectures that an image is for when none is named: all that are foreign here.
pub fn foreign(table: &ArchTable) -> Vec<&Architecture> {
    table.architectures.iter().filter(|architecture| !host::may_be_native(architecture)).collect()
}

/// `table` with the rows in the file at `path`.
///
/// # Errors
/// It cannot be read, or is no table.
pub fn merged(table: ArchTable, path: &Path) -> Result<ArchTable, Failure> {
    let json =
        std::fs::read_to_string(path).map_err(|error| Failure::UnreadableTable { path: path.to_owned(), error })?;
    table.merge(&json).map_err(|error| Failure::BadTable { path: path.to_owned(), error })
}

/// What is known of an emulator when it is put into an image.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What it says its version is; may be empty.
    pub version: String,
    /// Whether it refuses the model or the options that the table has for its version, and is to be given none of them.
    pub plain: bool,
}

/// Runs an emulator to see what it is, and whether it knows the models that it is to be given: a program must not fail
/// because of an option of ours.
pub fn examine(source: &Source<'_>) -> Examined {
    let version = version(&source.path);
    let Tuned { cpu, larger_cpu, options, .. } = source.architecture.tuned(version.parse().ok().as_ref());
    let probe = source.architecture.probe_elf();
    let mut models: Vec<Vec<&str>> = cpu.into_iter().chain(larger_cpu).map(|model| vec!["-cpu", model]).collect();
    if models.is_empty() && !options.is_empty() {
        models.push(Vec::new());
    }
    let refused = models.into_iter().find_map(|model| {
        let given: Vec<&str> = model.into_iter().chain(options.iter().map(String::as_str)).collect();
        let fault = probe::run_by(&source.path, source.path.as_os_str(), given.iter().copied(), &probe).err()?;
        Some((given.join(" "), fault))
    });
    if let Some((given, fault)) = &refused {
        warn(format!("{}: with {given}, the probe {fault}: it runs without", source.path.display()));
    }
    Examined { version, plain: refused.is_some() }
}

/// What an emulator says its version is: what follows "version" in the first line of `--version`, as every QEMU has it.
/// Empty if it says nothing of the kind, or does not end.
pub fn version(path: &Path) -> String {
    let line = probe::says(path, "--version").unwrap_or_default();
    let version = line.split_once(" version ").map_or("", |(_, version)| version);
    version.chars().filter(|character| !character.is_control()).take(100).collect()
}
