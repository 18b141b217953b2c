//! What a person asks for who has an image written.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_core::table::Strategy;
use dispatch_table::{ArchTable, Architecture};

use super::emulators::{self, EmulatorPlace, Source};
use super::own::{own, this_command};
use super::site::Site;
use super::writer::{self, Content};
use crate::architectures;
use crate::failure::Failure;
use crate::platform::files::Replacement;
use crate::platform::{host, process};

/// What goes into an image.
#[derive(Clone, Debug, clap::Args)]
pub struct Contents {
    #[command(flatten)]
    pub site: Site,
    /// Architectures whose emulators are to be embedded, by any of their names; `all`, as without any, means those that are
    /// foreign here and whose emulator is found
    #[arg(value_name = "ARCH")]
    pub architectures: Vec<String>,
    /// A directory with emulators, or ARCH=FILE; instead of the places in the table, and of the image that this command was
    /// started from, whose emulators are taken where none is installed. May be repeated: of several for one architecture, the
    /// first runs
    #[arg(long, value_name = "DIR|ARCH=FILE")]
    from: Vec<OsString>,
    /// Put no emulators embedded; they are opened by their paths when programs start
    #[arg(long, conflicts_with_all = ["architectures", "from"])]
    no_emulators: bool,
    /// Let emulators relocate themselves each time
    #[arg(long)]
    no_prelink: bool,
    /// Draw the addresses of prelinked emulators from this number, so that the same input gives the same file; emulators
    /// that stay outside are not asked for their versions then, and get no CPU model of the table that is for one version
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Writes an image to `output`, at once or not at all.
///
/// # Errors
/// As [`writer::write`].
pub fn write(contents: &Contents, table: &ArchTable, output: &Path) -> Result<(), Failure> {
    let emulators = contents.sources(table)?;
    let replacement = Replacement::begin(output)?;
    write_to(contents, table, &emulators, &replacement)?;
    replacement.finish()
}

/// Writes an image with these emulators to a file that is not in its place yet.
///
/// # Errors
/// As [`writer::write`].
pub fn write_to(
    contents: &Contents,
    table: &ArchTable,
    emulators: &[Source<'_>],
    replacement: &Replacement,
) -> Result<(), Failure> {
    let embedded = |row: &Architecture| emulators.iter().any(|source| source.architecture.name == row.name);
    let content = Content {
        table,
        command: this_command()?,
        emulators,
        outside: match contents.seed {
            None => contents.rows(table)?.into_iter().filter(|row| !embedded(row)).collect(),
            // Files of this machine, which is not to show in the image.
            Some(_) => Vec::new(),
        },
        // The same file wherever it is written, if that is what is asked for.
        prelink: (!contents.no_prelink)
            .then(|| contents.seed.map_or_else(host::mmap_rnd_bits, |_| host::MMAP_RND_BITS)),
        seed: contents.seed.map_or_else(random, Ok)?,
    };
    let (total, visible) = (emulators.len() + 1, stderr().is_terminal());
    let mut progress = |index: usize, path: &Path| {
        if visible {
            // \r and "erase to the end of the line".
            eprint!("\r\x1b[K[{}/{total}] {}", index + 1, path.display());
        }
    };
    let written = writer::write(&content, replacement.file(), replacement.path(), &mut progress);
    if visible {
        eprint!("\r\x1b[K");
        let _ = stderr().flush();
    }
    written
}

impl Contents {
    /// The architectures that it is for.
    fn rows<'t>(&self, table: &'t ArchTable) -> Result<Vec<&'t Architecture>, Failure> {
        Ok(architectures::named(table, &self.architectures)?.unwrap_or_else(|| architectures::foreign(table)))
    }

    /// The emulators that are to be embedded.
    ///
    /// # Errors
    /// One that was asked for is not found, or none at all.
    pub fn sources<'t>(&self, table: &'t ArchTable) -> Result<Vec<emulators::Source<'t>>, Failure> {
        if self.no_emulators {
            return Ok(Vec::new());
        }
        let from = self.from.iter().map(|place| EmulatorPlace::parse(place)).collect::<Result<Vec<_>, _>>();
        let from = from.map_err(Failure::Usage)?;
        let named = architectures::named(table, &self.architectures)?;
        let rows = named.clone().unwrap_or_else(|| architectures::foreign(table));
        let own = own().map(Rc::new);
        let sources = emulators::find(table, &rows, &from, own.as_ref())?;
        let found = |name: &str| sources.iter().any(|source| source.architecture.name == name);
        if let Some(missing) = named.iter().flatten().find(|architecture| !found(&architecture.name)) {
            let tried = if from.is_empty() {
                missing.emulator_paths().map(str::to_owned).collect()
            } else {
                missing.emulator_names().map(str::to_owned).collect()
            };
            let from = self.from.iter().map(PathBuf::from).collect();
            return Err(Failure::NoEmulator { architecture: missing.name.clone(), from, tried });
        }
        // What is only ever executed is no use embedded.
        let by_path = rows.iter().any(|row| row.strategy == Strategy::Exec && host::emulator(row).is_some());
        if sources.is_empty() && !by_path {
            let from = self.from.iter().map(PathBuf::from).collect();
            return Err(Failure::NoEmulators { from });
        }
        Ok(sources)
    }
}

/// A number that nobody can guess.
fn random() -> Result<u64, Failure> {
    process::random().map_err(Failure::Random)
}
