//! The emulators to embed: finds them, and asks them for their versions.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_core::emulator_file::{EmulatorFile, HEAD};
use dispatch_core::image::{COMMAND, Embedded, Image};
use dispatch_core::table::{Identity, Row, Strategy};
use dispatch_table::{ArchTable, Architecture, Asked, Assignment, CpuChoice};
use nix::sys::memfd::MFdFlags;

use super::reader::{Effective, OpenImage, ProgramInfo};
use super::rows::title_of;
use crate::architectures;
use crate::failure::{Doing, Failure, ProgramFault, show, text, warn};
use crate::platform::{files, host, memfd, probe};
use crate::program::disk;

/// Largest file of an emulator, in bytes. QEMU's have 2 to 40 MiB, with debugging information some
/// hundred.
const LARGEST: u64 = 1 << 30;

/// An emulator to embed.
#[derive(Clone, Debug)]
pub struct Source<'t> {
    /// The architecture that it is for.
    pub architecture: &'t Architecture,
    /// Its file; for one from an image, the file that it was read from when that image was written.
    pub path: PathBuf,
    /// The program of an image, if the emulator is taken from one.
    pub from_image: Option<FromImage>,
    /// New translations of programs that it runs, if any were made.
    pub trained: Option<Rc<Vec<u8>>>,
}

/// A program that is taken from an image.
#[derive(Clone, Debug)]
pub struct FromImage {
    pub(super) image: Rc<OpenImage>,
    /// That image, for messages.
    pub place: &'static str,
    /// The image's record of it.
    pub program: ProgramInfo,
}

impl<'t> Source<'t> {
    /// The emulator in a file.
    pub fn of_file(architecture: &'t Architecture, path: PathBuf) -> Self {
        Source { architecture, path, from_image: None, trained: None }
    }

    /// The emulator for `architecture` that `image` embeds, if there is one.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    fn of_image(architecture: &'t Architecture, (image, place): ImagePlace<'_>) -> Result<Option<Self>, Failure> {
        let found = match image.emulator_for(&architecture.title())? {
            // A row for a directory without an emulator of its own gets the architecture's.
            None if !architecture.has_own_emulator => image.emulator_for(&architecture.name)?,
            found => found,
        };
        Ok(found.map(|program| {
            let path = PathBuf::from(&program.path);
            let from_image = Some(FromImage { image: Rc::clone(image), place, program });
            Source { architecture, path, from_image, trained: None }
        }))
    }

    /// Its version; may be empty.
    pub fn version(&self) -> String {
        self.from_image.as_ref().map_or_else(|| version(&self.path), |from| from.program.version.clone())
    }

    /// Whether both are the same program.
    pub fn is(&self, other: &Source<'_>) -> bool {
        let number =
            |source: &Source<'_>| source.from_image.as_ref().map(|from| (Rc::as_ptr(&from.image), from.program.number));
        self.path == other.path && number(self) == number(other)
    }

    /// Its path, or its name in the image that it is taken from, for messages.
    pub fn shown(&self) -> String {
        match &self.from_image {
            Some(FromImage { program, place, .. }) => format!("{} of {place}", program.name),
            None => show(self.path.as_os_str()).to_string(),
        }
    }

    /// The emulator as an ELF file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        match &self.from_image {
            Some(FromImage { image, program, .. }) => image.program_elf(program.number),
            None => files::read(&self.path, LARGEST).map_err(|error| Failure::io(Doing::Read, &self.path, error)),
        }
    }

    /// Whether the file is such that an image can embed it, as far as its headers tell.
    ///
    /// # Errors
    /// Why not, to follow its path: it cannot be read, or it is a dynamically linked program or an
    /// image.
    pub fn can_be_embedded(&self) -> Result<(), String> {
        if self.from_image.is_some() {
            return Ok(());
        }
        let read = || {
            let (file, mut head) = (files::open(&self.path)?, vec![0; HEAD]);
            let filled = files::read_full(&file, &mut head, 0)?;
            head.truncate(filled);
            Ok((head, file.metadata()?.len()))
        };
        let (head, len) = read().map_err(|error: io::Error| format!("cannot be read: {}", text(&error)))?;
        EmulatorFile::examine(&head, len, host::host(), host::page()).map_err(|fault| fault.to_string())?;
        if self.is_image() { Err(ProgramFault::Image.to_string()) } else { Ok(()) }
    }

    /// Whether the file is an image, which would run, as it can be started by hand.
    pub fn is_image(&self) -> bool {
        self.from_image.is_none() && OpenImage::is_at(&self.path)
    }

    /// The path of an executable file, which exists while the second value is open.
    ///
    /// # Errors
    /// It cannot be read, or no file in memory can be made.
    fn executable(&self) -> Result<(PathBuf, Option<File>), Failure> {
        if self.from_image.is_none() {
            return Ok((self.path.clone(), None));
        }
        let failed = |error| Failure::io(Doing::Make, &self.path, error);
        let file = memfd::holding(c"emulator", MFdFlags::MFD_CLOEXEC, &self.bytes()?).map_err(failed)?;
        let path = memfd::path(&file).ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        Ok((path, Some(file)))
    }
}

/// The programs of `sources`, each once: rows may share one, those for directories for instance.
pub fn distinct<'s, 't>(sources: &'s [Source<'t>]) -> Vec<&'s Source<'t>> {
    let mut distinct: Vec<&Source<'_>> = Vec::new();
    for source in sources {
        if !distinct.iter().any(|known| known.is(source)) {
            distinct.push(source);
        }
    }
    distinct
}

/// An image that emulators are taken from, and what messages call it.
pub type ImagePlace<'i> = (&'i Rc<OpenImage>, &'static str);

/// What messages call the image that this command runs from.
pub const OWN_IMAGE: &str = "the image of this command";
/// What they call the one that an installation replaces.
pub const INSTALLED_IMAGE: &str = "the installed image";

/// Where emulators come from.
#[derive(Clone, Debug)]
pub enum EmulatorPlace {
    /// A directory that is searched for the table's file names.
    Directory(PathBuf),
    /// The file of an architecture.
    File(String, PathBuf),
}

impl EmulatorPlace {
    /// Reads `PATH` or `ARCH=PATH`.
    ///
    /// # Errors
    /// The path is not a directory, and no architecture precedes it.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
            let name = String::from_utf8_lossy(&bytes[..equals]);
            if !name.contains('/') {
                return Ok(EmulatorPlace::File(name.into_owned(), OsStr::from_bytes(&bytes[equals + 1..]).into()));
            }
        }
        let path = PathBuf::from(text);
        if path.is_dir() {
            Ok(EmulatorPlace::Directory(path))
        } else {
            Err(format!("{} is not a directory; give a single emulator as ARCH=FILE", path.display()))
        }
    }

    /// The same place from wherever this process works; unchanged if its directory is gone.
    pub fn absolute(self) -> Self {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        match self {
            EmulatorPlace::File(name, path) => EmulatorPlace::File(name, absolute(path)),
            EmulatorPlace::Directory(path) => EmulatorPlace::Directory(absolute(path)),
        }
    }
}

/// The emulators of those of `rows` that are not disabled, from the places given. If none is given:
/// from where the table says they are installed, which may be newer, or else from the first of
/// `images` that has one. If there are several for one architecture, the first one runs.
///
/// # Errors
/// [`Failure::UnknownArchitectures`], and [`Failure::DamagedImage`].
pub fn find<'t>(
    table: &'t ArchTable,
    rows: &[&'t Architecture],
    from: &[EmulatorPlace],
    images: &[ImagePlace<'_>],
) -> Result<Vec<Source<'t>>, Failure> {
    let mut sources = Vec::new();
    for place in from {
        if let EmulatorPlace::File(name, path) = place {
            let rows = architectures::find(table, name)?.variants().filter(|row| !row.has_own_emulator);
            sources.extend(rows.map(|row| Source::of_file(row, path.clone())));
        }
    }
    let variants = rows.iter().flat_map(|architecture| architecture.variants());
    for architecture in variants.filter(|architecture| architecture.strategy == Strategy::Map) {
        let installed = from.is_empty() || architecture.has_own_emulator;
        let mut places = Vec::new();
        for directory in
            from.iter().filter_map(|place| if let EmulatorPlace::Directory(path) = place { Some(path) } else { None })
        {
            places.extend(architecture.emulator_names().map(|name| directory.join(name)).find(|path| path.is_file()));
        }
        if installed {
            places.extend(architecture.emulator_paths().map(PathBuf::from).find(|path| path.is_file()));
        }
        let wanted = images.iter().filter(|_| installed && places.is_empty());
        let embedded = wanted.map(|image| Source::of_image(architecture, *image)).find_map(Result::transpose);
        let embedded = embedded.transpose()?;
        if embedded.is_none() && places.is_empty() {
            missing(architecture);
        }
        sources.extend(embedded);
        sources.extend(places.into_iter().map(|path| Source::of_file(architecture, path)));
    }
    sources.retain(|source: &Source<'_>| source.architecture.disabled.is_none());
    for source in &sources {
        log::info!("{}: emulator {}", source.architecture.title(), source.shown());
    }
    Ok(sources)
}

/// Says that the row has no emulator. For an architecture that is usual; one for a directory was
/// asked for.
fn missing(row: &Architecture) {
    if !row.has_own_emulator || row.disabled.is_some() {
        log::info!("{}: no emulator", row.title());
        return;
    }
    let paths: Vec<&str> = row.emulator_paths().collect();
    warn(format_args!("{}: no emulator at {}: these programs do not run without it", row.title(), paths.join(", ")));
}

/// The emulators of those of `rows` that are not disabled, which `image` embeds, for the image that
/// replaces it: from where the table says they are installed, or else from `image`. Those that were
/// chosen with `--from` come from `image`.
///
/// # Errors
/// [`Failure::DamagedImage`].
pub fn again<'t>(rows: &[&'t Architecture], image: &Rc<OpenImage>) -> Result<Vec<Source<'t>>, Failure> {
    let mut sources = Vec::new();
    for row in rows.iter().flat_map(|row| row.variants()).filter(|row| row.disabled.is_none()) {
        let embedded = Source::of_image(row, (image, INSTALLED_IMAGE))?;
        let is_usual = |source: &Source<'_>| row.emulator_paths().any(|path| Path::new(path) == source.path);
        let installed = host::installed(row).filter(|_| embedded.as_ref().is_none_or(is_usual));
        let installed = installed.map(|path| Source::of_file(row, path.to_owned()));
        // The file may be another by now, and no reason to give up what works.
        let installed = installed.filter(|source| embedded.is_none() || source.can_be_embedded().is_ok());
        let source = installed.or(embedded);
        source.iter().for_each(|source| log::info!("{}: emulator {}, again", row.title(), source.shown()));
        if source.is_none() {
            missing(row);
        }
        sources.extend(source);
    }
    Ok(sources)
}

/// An emulator that is embedded in the image as a file that can be executed.
///
/// # Errors
/// It cannot be read, or no file can be made.
pub fn outside(embedded: &Embedded<'_>, image: &Effective) -> Result<File, Failure> {
    let name = Path::new(OsStr::from_bytes(embedded.name().to_bytes()));
    let program = match image {
        Effective::Image(image) => image.elf(embedded)?,
        // A table has no programs.
        Effective::Table(_) => Vec::new(),
    };
    memfd::holding(embedded.name(), MFdFlags::MFD_CLOEXEC, &program)
        .map_err(|error| Failure::io(Doing::Make, name, error))
}

/// The result of probing an emulator, when an image is written or when the emulator is about to
/// run.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The version that it reports; may be empty.
    pub version: String,
    /// Whether it refuses the table's model or options for its version, and so gets none of them.
    pub plain: bool,
    /// A warning about that.
    pub warning: Option<String>,
}

impl Probed {
    /// The result for an emulator that is not probed, because nothing in its row depends on it.
    pub const UNKNOWN: Probed = Probed { version: String::new(), plain: false, warning: None };

    /// The result as the table stores it, for an emulator that is opened by its path.
    pub fn assignment(&self) -> Assignment {
        Assignment { version: self.version.parse().ok(), plain: self.plain, ..Assignment::default() }
    }

    /// Prints the warning, if there is one.
    pub fn warn(&self) {
        self.warning.iter().for_each(warn);
    }
}

/// Runs an emulator to learn its version, and whether it accepts the table's models: a program must
/// not fail because of an option from the table.
pub fn examine(source: &Source<'_>) -> Probed {
    let version = source.version();
    let known = if version.is_empty() { "not known" } else { &version };
    log::info!("{}: version {known}", source.shown());
    let CpuChoice { cpu, larger_cpu, options, .. } = source.architecture.tuned(version.parse().ok().as_ref());
    let mut models: Vec<Vec<&str>> = cpu.into_iter().chain(larger_cpu).map(|model| vec!["-cpu", model]).collect();
    if models.is_empty() && !options.is_empty() {
        models.push(Vec::new());
    }
    let given = models.into_iter().map(|model| model.into_iter().chain(options.iter().map(String::as_str)).collect());
    let (plain, warning) = refuses(source, given.collect());
    Probed { version, plain, warning }
}

/// What the file of an emulator tells without being run: its version. It is taken to accept the
/// table's models for that.
pub fn read(source: &Source<'_>) -> Result<Probed, Failure> {
    let version = match &source.from_image {
        Some(program) => program.program.version.clone(),
        None => version_in(&source.bytes()?),
    };
    log::info!("{}: version {}", source.shown(), if version.is_empty() { "not known" } else { &version });
    Ok(Probed { version, plain: false, warning: None })
}

/// Whether an emulator refuses one of these lists of options, and a warning about that.
fn refuses(source: &Source<'_>, given: Vec<Vec<&str>>) -> (bool, Option<String>) {
    if given.is_empty() {
        return (false, None);
    }
    // Without a path it cannot be tried. The result from when its image was written is still valid.
    if let Some(program) = source.from_image.as_ref().filter(|_| !memfd::has_paths()) {
        return (program.program.cpus.is_empty(), None);
    }
    let (path, _file) = match source.executable() {
        Ok(executable) => executable,
        Err(failure) => return (true, Some(failure.to_string())),
    };
    let probe = source.architecture.probe_elf();
    let refused = given.into_iter().find_map(|given| {
        log::info!("{}: tried with {}", source.shown(), given.join(" "));
        let fault = probe::run_by(&path, source.path.as_os_str(), given.iter().copied(), &probe).err()?;
        Some((given.join(" "), fault))
    });
    let warning = refused.map(|(given, fault)| {
        format!("{}: with {given}, the probe {fault}: the emulator runs without", source.path.display())
    });
    (warning.is_some(), warning)
}

/// The identity of the file at `path`; `None` if it cannot be determined.
fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|metadata| disk::identity(&metadata))
}

/// Probes the emulator of `architecture` that is opened by its path, if there is one. The result is
/// valid for this file only.
pub fn ask(architecture: &Architecture) -> Option<(Probed, Asked)> {
    let path = host::emulator(architecture)?;
    let file = identity(path)?;
    let probed = examine(&Source::of_file(architecture, path.to_owned()));
    // The file may have been replaced meanwhile.
    let same = identity(path) == Some(file);
    if !same {
        log::info!("{}: replaced while it was asked", show(path.as_os_str()));
    }
    let asked = Asked { file, path: path.to_string_lossy().into_owned(), version: probed.version.clone() };
    same.then_some((probed, asked))
}

/// The table of `image`, completed by asking the emulator of `row`, which is opened by its path;
/// `None` if there is nothing to ask.
pub fn informed(image: &Image<'_>, table: &ArchTable, row: &Row<'_>) -> Option<Effective> {
    if row.program() != COMMAND {
        return None;
    }
    let architecture = table.titled(&title_of(&image.table, row)?).filter(|found| found.is_tuned())?;
    if image.table.asked(row).is_some_and(|asked| host::emulator(architecture).and_then(identity) == Some(asked.file)) {
        return None;
    }
    ask(architecture).map(|(probed, asked)| {
        probed.warning.iter().for_each(|warning| log::info!("{warning}"));
        let given = Assignment { asked: Some(asked), ..probed.assignment() };
        Effective::Table(table.compile_with(&[(architecture.title(), given)]))
    })
}

/// The version that the emulator with these bytes would report.
fn version_in(file: &[u8]) -> String {
    const NAMED: &[u8] = b" version ";
    let lines = file.split(|byte| matches!(byte, 0 | b'\n'));
    let line = lines.filter(|line| line.starts_with(b"qemu-")).find_map(|line| {
        let at = line.windows(NAMED.len()).position(|part| part == NAMED)?;
        let name = &line[..at];
        (!name.contains(&b' ')).then(|| String::from_utf8_lossy(line).into_owned())
    });
    reported(&line.unwrap_or_default())
}

/// The version that an emulator reports: the text after "version" in the first line of `--version`,
/// as every QEMU prints it. Empty if there is no such text, or the emulator does not end.
pub fn version(path: &Path) -> String {
    reported(&probe::says(path, "--version").unwrap_or_default())
}

/// The version in a line of `--version`.
fn reported(line: &str) -> String {
    let version = line.split_once(" version ").map_or("", |(_, version)| version);
    version.chars().filter(|character| !character.is_control()).take(100).collect()
}
