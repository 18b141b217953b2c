//! The image on disk, and the emulators that are installed in place of those in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Architecture};
use serde::Serialize;

use crate::failure::Failure;
use crate::image::OpenImage;
use crate::image::contents::{self, Listed};
use crate::image::emulators;
use crate::output::json::Bytes;
use crate::platform::host;

/// An emulator whose version has changed since it was embedded.
pub(super) struct Upgrade {
    pub name: String,
    pub embedded: String,
    pub installed: String,
}

/// The image on disk.
#[derive(Serialize)]
pub(super) struct Image {
    pub path: Bytes,
    pub programs: Vec<Listed>,
    /// The architectures whose emulators it embeds.
    #[serde(skip)]
    pub embedded: BTreeSet<String>,
    /// The emulators that are installed and are not the embedded ones, by architecture.
    #[serde(skip)]
    pub replaced: BTreeMap<String, PathBuf>,
    /// The values of `--from` that name its emulators; empty if none is needed.
    #[serde(skip)]
    pub from: BTreeSet<OsString>,
}

impl Image {
    /// The image at `path`, if there is one.
    pub(super) fn read(path: &Path, table: &ArchTable) -> Result<Option<Self>, Failure> {
        // `list` reports a damaged image; the registered one may be fine.
        let Some(open) = OpenImage::open(path).ok().flatten() else { return Ok(None) };
        let (mut embedded, mut replaced) = (BTreeSet::new(), BTreeMap::new());
        let (mut from, mut chosen) = (BTreeSet::new(), false);
        for program in open.programs()? {
            let path = Path::new(&program.path);
            for name in &program.runs {
                embedded.insert(name.clone());
                let architecture = table.titled(name);
                // `--from` does not choose the emulator of a directory.
                let usual = architecture.filter(|architecture| !architecture.has_own_emulator);
                from.extend(usual.map(|architecture| place(architecture, path)));
                chosen |= usual.is_some_and(|architecture| !host::is_usual(architecture, path));
                let installed = architecture.and_then(|architecture| successor(architecture, path));
                let other = |path: &PathBuf| open.was_read_from(&program, path) == Some(false);
                replaced.extend(installed.filter(other).map(|path| (name.clone(), path)));
            }
        }
        if !chosen {
            from.clear();
        }
        Ok(Some(Image { path: path.into(), programs: contents::programs(&open)?, embedded, replaced, from }))
    }

    /// The first emulator that has been replaced, if its version shows that. Asking all of them
    /// would take long.
    pub(super) fn upgrade(&self) -> Option<Upgrade> {
        let (architecture, path) = self.replaced.first_key_value()?;
        let program = self.programs.iter().find(|program| program.runs.contains(architecture))?;
        let (name, installed) = (program.name.clone(), emulators::version(path));
        let embedded = program.version.clone();
        (!installed.is_empty() && installed != embedded).then_some(Upgrade { name, embedded, installed })
    }
}

/// The file that `install` would embed for `architecture` now, given the path of the file that is
/// embedded; `None` if nobody knows.
fn successor(architecture: &Architecture, path: &Path) -> Option<PathBuf> {
    match host::is_usual(architecture, path) {
        true => host::installed(architecture).map(Path::to_owned),
        // It was chosen with --from, and would be again.
        false => Some(path.to_owned()).filter(|path| path.is_absolute()),
    }
}

/// The value of `--from` by which `install` takes the emulator at `path` for `architecture`.
fn place(architecture: &Architecture, path: &Path) -> OsString {
    let found = architecture.emulator_names().find(|name| path.file_name() == Some(OsStr::new(name)));
    match path.parent().filter(|_| found.is_some()) {
        Some(directory) => directory.into(),
        None => [OsStr::new(&architecture.name), OsStr::new("="), path.as_os_str()].into_iter().collect(),
    }
}
