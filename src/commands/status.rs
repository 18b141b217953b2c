//! `status`: which rows of the table are registered, by whom, and whether the entries can work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use dispatch_core::NAME;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture};
use serde::Serialize;

use crate::failure::Failure;
use crate::image::OpenImage;
use crate::image::contents::{self, Listed};
use crate::output::json::{self, Bytes, Shown};
use crate::output::{Columns, print};
use crate::platform::host;
use crate::platform::memfd::DESCRIPTORS;
use crate::registry::ownership::{self, RegisteredRow};
use crate::registry::question::Asker;
use crate::registry::{Entry, Flags, Registry};
use crate::{context, defaults};

/// Show the entries registered with the kernel
///
/// Exits with 0 if binfmt-dispatch has at least one entry and all of its entries are enabled and
/// can work, and with 1 otherwise.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Print JSON; a path that is not UTF-8 is a list of bytes
    #[arg(long)]
    json: bool,
    /// The image that was registered; needed only if its entries are disabled, and it was not in
    /// the default place and is gone
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Where `binfmt_misc` is mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    mount: PathBuf,
}

/// The complete status.
#[derive(Serialize)]
struct Status {
    directory: Bytes,
    mounted: bool,
    enabled: bool,
    entries: Vec<Row>,
    overlaps: Vec<Overlap>,
    /// Temporary entries left by interrupted runs.
    interrupted: Vec<Bytes>,
    image: Option<Image>,
}

/// The image on disk.
#[derive(Serialize)]
struct Image {
    path: Bytes,
    programs: Vec<Listed>,
}

/// One entry that the table describes.
#[derive(Serialize)]
struct Row {
    entry: String,
    architecture: String,
    registered: bool,
    enabled: bool,
    ours: bool,
    flags: Option<Shown<Flags>>,
    interpreter: Option<Bytes>,
    emulator: Option<Bytes>,
    /// Whether the emulator is embedded in the image on disk.
    embedded: bool,
    /// Version of the registered binfmt-dispatch, and identity of its image; null if the
    /// interpreter did not answer.
    version: Option<String>,
    identity: Option<String>,
    /// Whether the registered image differs from the file at the interpreter's path; null if
    /// unknown.
    outdated: Option<bool>,
    /// Whether there is no file at the interpreter's path any more.
    gone: bool,
}

/// Two entries that accept some of the same programs; the one registered later gets them.
#[derive(Serialize)]
struct Overlap {
    entry: String,
    other: Bytes,
    interpreter: Bytes,
}

/// Shows the status; the result is an exit code.
///
/// # Errors
/// The registry cannot be read. A missing registry is an answer with `--json`, and a failure
/// without.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let image = context::image_path(args.image.as_deref())?;
    let status = match Registry::open(&args.mount) {
        Ok(registry) => Status::read(&registry, table, &image)?,
        Err(Failure::NotMounted { .. } | Failure::NoBinfmtMisc) if args.json => Status::unmounted(args, &image)?,
        Err(failure) => return Err(failure),
    };
    if args.json {
        json::print(&status)?;
    } else {
        print(status.text(&args.mount))?;
    }
    Ok(if status.is_good() { 0 } else { EXIT_NO })
}

impl Status {
    fn unmounted(args: &Args, image: &Path) -> Result<Self, Failure> {
        Ok(Status {
            directory: Bytes::from(&args.mount),
            mounted: false,
            enabled: false,
            entries: Vec::new(),
            overlaps: Vec::new(),
            interrupted: Vec::new(),
            image: Image::read(image)?.1,
        })
    }

    fn read(registry: &Registry, table: &ArchTable, image: &Path) -> Result<Self, Failure> {
        let entries = registry.entries()?;
        let asker = Asker::new(registry, &entries, table)?;
        let ask = |entry: &Entry, architecture: &Architecture| asker.ask(entry, architecture);
        let known = ownership::look_up(table, &entries, image, ask);
        let mut files = Files::default();
        let interrupted = ownership::leftovers(&known, &entries, image, ask);
        let lasting: Vec<Entry> = entries
            .iter()
            .filter(|entry| !interrupted.iter().any(|interrupted| interrupted.entry.name == entry.name))
            .cloned()
            .collect();
        let overlaps = known.iter().filter(|known| known.ours).flat_map(|known| overlaps(known, &lasting)).collect();
        let (embedded, image) = Image::read(image)?;
        Ok(Status {
            directory: Bytes::from(registry.directory()),
            mounted: true,
            enabled: registry.enabled()?,
            entries: known
                .iter()
                .map(|known| Row::new(known, embedded.contains(&known.architecture.name), &mut files))
                .collect(),
            overlaps,
            interrupted: interrupted.iter().map(|interrupted| Bytes::from(&interrupted.entry.name)).collect(),
            image,
        })
    }

    fn is_good(&self) -> bool {
        let ours = || self.entries.iter().filter(|row| row.ours);
        self.enabled
            && ours().next().is_some()
            && ours().all(|row| row.enabled && !row.lacks(|flags| flags.open_binary))
    }

    fn text(&self, directory: &Path) -> String {
        let state = if self.enabled { "enabled" } else { "disabled" };
        let mut columns = Columns::new(&["ENTRY", "STATE", "OWNER", "FLAGS", "INTERPRETER", "EMULATOR"]);
        for row in &self.entries {
            let state = match (row.registered, row.enabled) {
                (false, _) => "",
                (true, true) => "enabled",
                (true, false) => "disabled",
            };
            let owner = match (row.registered, row.ours) {
                (false, _) => String::new(),
                (true, true) => format!("ours {}", row.version.as_deref().unwrap_or_default()).trim_end().to_owned(),
                (true, false) => "other".to_owned(),
            };
            let flags = row.flags.map(|flags| flags.0.to_string()).unwrap_or_default();
            let interpreter = row.interpreter.as_ref().map(|path| ownership::show(path, row.ours)).unwrap_or_default();
            let emulator = row.emulator.as_ref().map(Bytes::to_string).unwrap_or_default();
            let emulator = if row.embedded { "embedded in the image".to_owned() } else { emulator };
            columns.push([row.entry.clone(), state.to_owned(), owner, flags, interpreter, emulator]);
        }
        let mut text = format!("binfmt_misc on {}: {state}\n\n{columns}", directory.display());
        for Overlap { entry, other, interpreter } in &self.overlaps {
            text += &format!(
                "\n{entry} and {other} ({interpreter}) accept some of the same programs: the newer one wins\n"
            );
        }
        for row in self.entries.iter().filter(|row| row.ours) {
            let again = format!("run `{NAME} register --replace {}`", row.architecture);
            if row.lacks(|flags| flags.open_binary) {
                text += &format!("\n{} cannot work, as it lacks flag O: {again}\n", row.entry);
            } else if row.lacks(|flags| flags.preserve_argv0) {
                text += &format!("\n{} loses argv[0], as it lacks flag P: {again}\n", row.entry);
            }
        }
        for name in &self.interrupted {
            text +=
                &format!("\n{name} was left by an interrupted run: `{NAME} register` or `{NAME} unregister` ends it\n");
        }
        if let Some((entries, architectures)) = self.named(|row| row.outdated == Some(true)) {
            text += &format!(
                "\n{entries}: the registered image differs from the one on disk: \
                 run `{NAME} register --replace {architectures}`\n"
            );
        }
        if let Some((entries, _)) = self.named(|row| row.gone) {
            text += &format!(
                "\n{entries}: the registered image is not on disk any more, and works until the next boot: \
                 run `{NAME} install` or `{NAME} unregister`\n"
            );
        }
        if let Some(Image { path, programs }) = &self.image {
            text += &format!("\nin {path}:\n{}", contents::table(programs));
        }
        text
    }

    /// The entries for which `wanted` is true, and their architectures; `None` if there are none.
    fn named(&self, wanted: impl Fn(&Row) -> bool) -> Option<(String, String)> {
        let rows: Vec<&Row> = self.entries.iter().filter(|row| wanted(row)).collect();
        let entries = rows.iter().map(|row| row.entry.as_str()).collect::<Vec<_>>().join(", ");
        // Some architectures have several entries, next to each other.
        let mut architectures: Vec<&str> = rows.iter().map(|row| row.architecture.as_str()).collect();
        architectures.dedup();
        (!rows.is_empty()).then(|| (entries, architectures.join(" ")))
    }
}

/// The files at interpreters' paths, each read once: many entries share one.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, Option<Option<String>>>);

impl Files {
    /// Whether the file at `path` is not the image `identity`; `None` if there is no file.
    fn differs(&mut self, path: &Path, identity: &str) -> Option<bool> {
        let read = || {
            path.symlink_metadata().ok()?;
            Some(OpenImage::open(path).ok().flatten().map(|image| image.identity()))
        };
        let there = self.0.entry(path.to_owned()).or_insert_with(read).as_ref()?;
        Some(there.as_deref() != Some(identity))
    }
}

impl Image {
    /// The image at `path`, if there is one, and the architectures whose emulators it embeds.
    fn read(path: &Path) -> Result<(BTreeSet<String>, Option<Self>), Failure> {
        // `list` reports a damaged image; the registered one may be fine.
        let Some(open) = OpenImage::open(path).ok().flatten() else { return Ok(Default::default()) };
        let programs = contents::programs(&open)?;
        Ok((open.embedded()?, Some(Image { path: path.into(), programs })))
    }
}

impl Row {
    fn new(known: &RegisteredRow<'_>, embedded: bool, files: &mut Files) -> Self {
        let entry = known.registered.as_ref();
        // The path of a descriptor means nothing to this process.
        let path = entry.map(|entry| &entry.interpreter).filter(|path| !path.starts_with(DESCRIPTORS));
        let told = known.identity.as_ref().zip(path);
        let outdated = told.map(|(identity, path)| files.differs(path, &identity.image));
        Row {
            entry: known.described.name.clone(),
            architecture: known.architecture.name.clone(),
            registered: entry.is_some(),
            enabled: entry.is_some_and(|entry| entry.enabled),
            ours: known.ours,
            flags: entry.map(|entry| Shown(entry.flags)),
            interpreter: entry.map(|entry| Bytes::from(&entry.interpreter)),
            emulator: host::emulator(known.architecture).map(Bytes::from),
            embedded,
            version: known.identity.as_ref().map(|identity| identity.version.clone()),
            identity: known.identity.as_ref().map(|identity| identity.image.clone()),
            outdated: outdated.flatten(),
            gone: outdated == Some(None),
        }
    }

    /// Whether it is registered without this flag.
    fn lacks(&self, flag: fn(&Flags) -> bool) -> bool {
        self.flags.is_some_and(|flags| !flag(&flags.0))
    }
}

/// Enabled entries that accept some of the same programs as the registered entry `known`. Two
/// entries of binfmt-dispatch never overlap.
fn overlaps(known: &RegisteredRow<'_>, entries: &[Entry]) -> Vec<Overlap> {
    let Some(ours) = &known.registered else { return Vec::new() };
    let overlap = |other: &Entry| Overlap {
        entry: known.described.name.clone(),
        other: Bytes::from(&other.name),
        interpreter: Bytes::from(&other.interpreter),
    };
    ownership::overlapping(&ours.name, ours.rule(), entries).into_iter().map(overlap).collect()
}
