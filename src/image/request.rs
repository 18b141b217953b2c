//! The request to write an image.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_core::NAME;
use dispatch_core::table::Strategy;
use dispatch_table::{ArchTable, Architecture};

use super::destination::Destination;
use super::emulators::{self, EmulatorPlace, INSTALLED_IMAGE, OWN_IMAGE, Source};
use super::own::{command_at, own, this_command};
use super::reader::OpenImage;
use super::site::Site;
use super::sources;
use super::writer::{self, Command, Content};
use crate::failure::{Failure, ProgramFault};
use crate::platform::files::Replacement;
use crate::platform::{host, process};
use crate::{architectures, progress};

/// The contents of the image to write.
#[derive(Clone, Debug, clap::Args)]
pub struct Contents {
    #[command(flatten)]
    pub site: Site,
    /// Architectures to embed, by any of their names; `all` or none: every one but the
    /// hosts' own whose emulator is found
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

/// The hosts of the image, if they are named.
#[derive(Clone, Debug, clap::Args)]
pub struct Elsewhere {
    /// Write the image for hosts of this CPU: `aarch64`, `riscv64` or `x86_64`. The same input and
    /// seed give the same file on every machine, because emulators are not run: their versions are
    /// read from their files
    #[arg(long, value_name = "ARCH", requires = "host_command", conflicts_with = "translate")]
    host: Option<String>,
    /// This command as a program for these hosts, as `ci/build --host` builds it
    #[arg(long = "command", id = "host_command", value_name = "FILE", requires = "host")]
    command: Option<PathBuf>,
}

/// The files to write.
#[derive(Clone, Debug, clap::Args)]
pub struct Output {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Also write a text for those who hand the image out: the packages that the embedded emulators
    /// come from, with versions and licences, where their sources and those of what is linked into
    /// them are, and a written offer to complete. dpkg and rpm are asked about the system that the
    /// emulators are in
    #[arg(long, value_name = "FILE", conflicts_with = "no_emulators")]
    sources: Option<PathBuf>,
}

impl Output {
    /// Begins the text, if it is wanted.
    fn sources(&self) -> Result<Option<Replacement>, Failure> {
        let place = |path: &Path| {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some((directory.canonicalize().ok()?, path.file_name()?.to_owned()))
        };
        let Some(sources) = &self.sources else { return Ok(None) };
        if place(sources).is_some_and(|sources| place(&self.output) == Some(sources)) {
            return Err(Failure::Usage("--sources names the file of the image: name another one".to_owned()));
        }
        Replacement::begin(sources).map(Some)
    }
}

/// Writes an image, completely or not at all. `complete` adds to the emulators before that.
///
/// # Errors
/// As [`writer::write`].
pub fn write(
    contents: &Contents,
    elsewhere: &Elsewhere,
    table: &ArchTable,
    output: &Output,
    complete: impl FnOnce(&mut [Source<'_>]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let place = match (&elsewhere.host, &elsewhere.command) {
        (Some(host), Some(command)) => {
            let destination = Destination::named(host)?;
            Place { destination, command: command_at(command, destination)?, named: true }
        }
        _ => Place::here()?,
    };
    if !place.destination.is_here() && contents.from.is_empty() && !contents.no_emulators {
        let host = &place.destination.row.name;
        return Err(Failure::Usage(format!(
            "emulators for {host} hosts are not installed here: name them with --from"
        )));
    }
    let mut emulators = contents.sources(table, place.destination, None)?;
    let sources = output.sources()?;
    let replacement = Replacement::begin(&output.output)?;
    complete(&mut emulators)?;
    place.write(contents, (table, &[]), &emulators, &replacement)?;
    if let Some(sources) = sources {
        let image = OpenImage::open_of_any_host(&replacement.staged())?;
        image.map_or(Ok(()), |image| sources::write(&image, sources))?;
    }
    replacement.finish()
}

/// The hosts of an image, and the command for them.
struct Place {
    destination: Destination,
    command: Command,
    /// Whether the hosts were named. Then the image is the same wherever it is written.
    named: bool,
}

/// Writes an image with these emulators, for this machine, to a temporary file, which the caller
/// puts in place. `kept` are architectures beside the requested ones.
///
/// # Errors
/// As [`writer::write`].
pub fn write_to(
    contents: &Contents,
    (table, kept): (&ArchTable, &[&Architecture]),
    emulators: &[Source<'_>],
    replacement: &Replacement,
) -> Result<(), Failure> {
    Place::here()?.write(contents, (table, kept), emulators, replacement)
}

impl Place {
    fn here() -> Result<Self, Failure> {
        Ok(Place { destination: Destination::here(), command: this_command()?, named: false })
    }

    fn write(
        self,
        contents: &Contents,
        (table, kept): (&ArchTable, &[&Architecture]),
        emulators: &[Source<'_>],
        replacement: &Replacement,
    ) -> Result<(), Failure> {
        let Place { destination, command, named } = self;
        let embedded = |row: &Architecture| emulators.iter().any(|source| source.architecture.title() == row.title());
        // Such an image must not depend on this machine.
        let portable = named || contents.seed.is_some();
        let content = Content {
            table,
            destination,
            command,
            emulators,
            examine: !named,
            ask_all: true,
            outside: match portable {
                false => {
                    let rows = contents.rows(table, destination)?.into_iter().chain(kept.iter().copied());
                    let rows = rows.flat_map(Architecture::variants);
                    rows.filter(|row| !embedded(row)).collect()
                }
                true => Vec::new(),
            },
            prelink: match contents.no_prelink {
                true => None,
                false if portable => destination.usual_addresses(),
                false => destination.addresses(),
            },
            seed: contents.seed.map_or_else(random, Ok)?,
        };
        let written = writer::write(&content, replacement.file(), replacement.path());
        progress::clear();
        written
    }
}

impl Contents {
    /// The requested architectures.
    fn rows<'t>(&self, table: &'t ArchTable, destination: Destination) -> Result<Vec<&'t Architecture>, Failure> {
        let named = architectures::named(table, &self.architectures)?;
        Ok(named.unwrap_or_else(|| architectures::others(table, destination.row)))
    }

    /// The emulators that are to be embedded. `installed` is the image that is to be replaced, if
    /// they may come from there too.
    ///
    /// # Errors
    /// A requested emulator, or any emulator at all, is not found, or one is an image.
    pub fn sources<'t>(
        &self,
        table: &'t ArchTable,
        destination: Destination,
        installed: Option<&Rc<OpenImage>>,
    ) -> Result<Vec<Source<'t>>, Failure> {
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
        let rows = self.rows(table, destination)?;
        let own = own().map(Rc::new);
        let images = own.as_ref().map(|own| (own, OWN_IMAGE)).into_iter();
        let images: Vec<_> = images.chain(installed.map(|image| (image, INSTALLED_IMAGE))).collect();
        let sources = emulators::find(table, &rows, &from, &images)?;
        if let Some(image) = sources.iter().find(|source| source.is_image()) {
            return Err(Failure::NotForImage { path: image.path.clone(), fault: ProgramFault::Image });
        }
        let found = |name: &str| sources.iter().any(|source| source.architecture.title() == name);
        // An emulator that is always executed cannot be used from the image, and a row that is
        // disabled uses none.
        let by_path = |row: &Architecture| row.strategy == Strategy::Exec && host::emulator(row).is_some();
        let needed = |row: &Architecture| row.disabled.is_none() && !by_path(row);
        if let Some(missing) = named.iter().flatten().find(|row| needed(row) && !found(&row.name)) {
            let tried = if from.is_empty() {
                missing.emulator_paths().map(str::to_owned).collect()
            } else {
                missing.emulator_names().map(str::to_owned).collect()
            };
            let from = self.from.iter().map(PathBuf::from).collect();
            return Err(Failure::NoEmulator { architecture: missing.name.clone(), from, tried });
        }
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
