//! The request to write an image.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_core::NAME;
use dispatch_core::table::Strategy;
use dispatch_table::{ArchTable, Architecture};

use super::emulators::{self, EmulatorPlace, INSTALLED_IMAGE, OWN_IMAGE, Source};
use super::own::{own, this_command};
use super::reader::OpenImage;
use super::site::Site;
use super::writer::{self, Content};
use crate::failure::Failure;
use crate::platform::files::Replacement;
use crate::platform::{host, process};
use crate::{architectures, progress};

/// The contents of the image to write.
#[derive(Clone, Debug, clap::Args)]
pub struct Contents {
    #[command(flatten)]
    pub site: Site,
    /// Architectures to embed, by any of their names; `all` or none: every foreign one whose
    /// emulator is found
    #[arg(value_name = "ARCH")]
    pub architectures: Vec<String>,
    /// Directory with emulators, or ARCH=FILE; default: where they are installed, else the image
    /// that this command runs from. May be repeated; the first emulator for an architecture runs
    #[arg(long, value_name = "DIR|ARCH=FILE")]
    from: Vec<OsString>,
    /// Embed no emulators; open them by path when a program starts
    #[arg(long, conflicts_with = "from")]
    no_emulators: bool,
    /// Do not prelink: emulators relocate themselves at each start
    #[arg(long)]
    no_prelink: bool,
    /// Seed for the addresses of prelinked emulators: the same input gives the same file, byte for
    /// byte. Emulators that are not embedded are not asked for their versions then, and get no
    /// CPU model that depends on it
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Writes an image to `output`, completely or not at all.
///
/// # Errors
/// As [`writer::write`].
pub fn write(contents: &Contents, table: &ArchTable, output: &Path) -> Result<(), Failure> {
    let emulators = contents.sources(table, None)?;
    let replacement = Replacement::begin(output)?;
    write_to(contents, (table, &[]), &emulators, &replacement)?;
    replacement.finish()
}

/// Writes an image with these emulators to a temporary file, which the caller puts in place. `kept`
/// are architectures beside the requested ones.
///
/// # Errors
/// As [`writer::write`].
pub fn write_to(
    contents: &Contents,
    (table, kept): (&ArchTable, &[&Architecture]),
    emulators: &[Source<'_>],
    replacement: &Replacement,
) -> Result<(), Failure> {
    let embedded = |row: &Architecture| emulators.iter().any(|source| source.architecture.title() == row.title());
    let content = Content {
        table,
        command: this_command()?,
        emulators,
        outside: match contents.seed {
            None => {
                let rows = contents.rows(table)?.into_iter().chain(kept.iter().copied());
                let rows = rows.flat_map(Architecture::variants);
                rows.filter(|row| !embedded(row)).collect()
            }
            // A reproducible image must not depend on files of this machine.
            Some(_) => Vec::new(),
        },
        ask_all: true,
        // With a seed, the image is the same wherever it is written.
        prelink: (!contents.no_prelink)
            .then(|| contents.seed.map_or_else(host::mmap_rnd_bits, |_| host::MMAP_RND_BITS)),
        seed: contents.seed.map_or_else(random, Ok)?,
    };
    let written = writer::write(&content, replacement.file(), replacement.path());
    progress::clear();
    written
}

impl Contents {
    /// The requested architectures.
    fn rows<'t>(&self, table: &'t ArchTable) -> Result<Vec<&'t Architecture>, Failure> {
        Ok(architectures::named(table, &self.architectures)?.unwrap_or_else(|| architectures::foreign(table)))
    }

    /// The emulators that are to be embedded. `installed` is the image that is to be replaced, if
    /// they may come from there too.
    ///
    /// # Errors
    /// A requested emulator, or any emulator at all, is not found.
    pub fn sources<'t>(
        &self,
        table: &'t ArchTable,
        installed: Option<&Rc<OpenImage>>,
    ) -> Result<Vec<emulators::Source<'t>>, Failure> {
        if self.no_emulators && !self.architectures.is_empty() {
            return Err(Failure::Usage(format!(
                "--no-emulators embeds none, so there is nothing to choose: leave out ARCH, or register just some with \
                 `{NAME} register ARCH`"
            )));
        }
        if self.no_emulators {
            return Ok(Vec::new());
        }
        let from = self.from.iter().map(|place| EmulatorPlace::parse(place)).collect::<Result<Vec<_>, _>>();
        let mut from = from.map_err(Failure::Usage)?;
        // The image keeps the paths. With a seed, it is the same wherever it is written.
        if self.seed.is_none() {
            from = from.into_iter().map(EmulatorPlace::absolute).collect();
        }
        let named = architectures::named(table, &self.architectures)?;
        let rows = named.clone().unwrap_or_else(|| architectures::foreign(table));
        let own = own().map(Rc::new);
        let images = own.as_ref().map(|own| (own, OWN_IMAGE)).into_iter();
        let images: Vec<_> = images.chain(installed.map(|image| (image, INSTALLED_IMAGE))).collect();
        let sources = emulators::find(table, &rows, &from, &images)?;
        let found = |name: &str| sources.iter().any(|source| source.architecture.title() == name);
        if let Some(missing) = named.iter().flatten().find(|row| row.disabled.is_none() && !found(&row.name)) {
            let tried = if from.is_empty() {
                missing.emulator_paths().map(str::to_owned).collect()
            } else {
                missing.emulator_names().map(str::to_owned).collect()
            };
            let from = self.from.iter().map(PathBuf::from).collect();
            return Err(Failure::NoEmulator { architecture: missing.name.clone(), from, tried });
        }
        // An emulator that is always executed cannot be used from the image, and a row that is
        // disabled uses none.
        let by_path = |row: &Architecture| row.strategy == Strategy::Exec && host::emulator(row).is_some();
        let without = rows.iter().any(|row| by_path(row) || named.is_some() && row.disabled.is_some());
        if sources.is_empty() && !without {
            let from = self.from.iter().map(PathBuf::from).collect();
            return Err(Failure::NoEmulators { from });
        }
        Ok(sources)
    }
}

/// A random number that cannot be guessed.
fn random() -> Result<u64, Failure> {
    process::random().map_err(Failure::Random)
}
