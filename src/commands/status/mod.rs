//! `status`: which rows of the table are registered, by whom, and whether the entries can work.

mod files;
mod image_on_disk;
mod metrics;
mod remedy;
mod text;
mod unseen;

use std::path::PathBuf;

use clap::Args as ClapArgs;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture};
use serde::Serialize;

use files::Files;
use image_on_disk::{Image, Upgrade};
use remedy::Paths;

use crate::failure::{Failure, ProbeFault};
use crate::image;
use crate::output::json::{self, Bytes, Shown};
use crate::output::print;
use crate::platform::{host, probe};
use crate::registry::ownership::{self, RegisteredRow};
use crate::registry::question::Asker;
use crate::registry::{Entry, Flags, Registry};
use crate::{architectures, context, defaults};

/// Show the entries registered with the kernel
///
/// For each registered architecture, a tiny program is started, to see whether its programs run.
/// Exits with 0 if binfmt-dispatch has at least one entry, and the programs of all registered
/// architectures run through it, and with 1 otherwise.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// The architectures to show; all of them if none is named
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// Show the entries that work, and the architectures without entries, too
    #[arg(short, long)]
    all: bool,
    /// Start no program: show what the registry says
    #[arg(long)]
    no_probe: bool,
    /// Print JSON; a path that is not UTF-8 is a list of bytes
    #[arg(long)]
    json: bool,
    /// Print metrics in the text format of Prometheus. Exits with 0 if the named architectures, or
    /// else those that are registered or embedded in the image, run through binfmt-dispatch. Where
    /// the entries cannot be seen, test programs alone tell that
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
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
    /// Entries with other names, those of other software.
    others: Vec<Other>,
    overlaps: Vec<Overlap>,
    /// Temporary entries left by interrupted runs.
    interrupted: Vec<Bytes>,
    image: Option<Image>,
    /// The first emulator that is not the embedded one any more, in another version.
    #[serde(skip)]
    upgrade: Option<Upgrade>,
    /// The identity of that image.
    #[serde(skip)]
    identity: Option<String>,
    #[serde(skip)]
    paths: Paths,
    /// Whether just some architectures are shown.
    #[serde(skip)]
    is_part: bool,
}

/// One entry that the table describes.
#[derive(Serialize)]
struct Row {
    entry: String,
    architecture: String,
    registered: bool,
    enabled: bool,
    ours: bool,
    /// The newer entry that gets its programs; null if it gets them itself.
    shadowed_by: Option<Bytes>,
    /// Whether a program of the architecture ran; null if none was started.
    runs: Option<bool>,
    /// Why it did not run.
    fault: Option<String>,
    /// Whether this machine may run such programs natively.
    native: bool,
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
    /// Whether that file embeds no emulator for it, and the registered image does.
    #[serde(skip)]
    lost: bool,
    /// Whether there is no file at the interpreter's path any more.
    gone: bool,
    /// Who has disabled the architecture in the table, so that its programs are refused.
    disabled_by: Option<String>,
    /// Whether the emulator that is installed is not the one that the image on disk embeds.
    newer_emulator: bool,
}

/// An entry whose name is not in the table.
#[derive(Serialize)]
struct Other {
    entry: Bytes,
    enabled: bool,
    flags: Shown<Flags>,
    interpreter: Bytes,
    /// `magic`, `extension` or `handler`, whose name is in the interpreter's place.
    matches: &'static str,
    /// Whether the kernel would look its interpreter up, and not find it.
    missing: bool,
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
    let usual = context::image_path(None)?;
    let (named, unknown) = architectures::known(table, &args.architectures)?;
    let paths = Paths { asked: image, usual };
    let status = match Registry::open(&args.mount) {
        Ok(registry) => Status::read(&registry, (table, named.as_deref()), paths, !args.no_probe)?,
        Err(Failure::NotMounted { .. } | Failure::NoBinfmtMisc) if args.json => {
            let image = Image::read(&paths.asked, table)?;
            Status { image, is_part: named.is_some(), ..Status::empty(Bytes::from(&args.mount), paths) }
        }
        Err(_) if args.metrics => Status::unseen(Bytes::from(&args.mount), (table, named.as_deref()), paths)?,
        Err(failure) => return Err(failure),
    };
    if args.metrics {
        print(status.metrics())?;
        return if status.is_ready() { unknown.map_or(Ok(0), Err) } else { Err(Failure::NotReady(status.missing())) };
    }
    if args.json {
        json::print(&status)?;
    } else {
        print(status.text(args))?;
    }
    if let Some(failure) = unknown {
        return Err(failure);
    }
    Ok(if status.is_good() { 0 } else { EXIT_NO })
}

impl Status {
    /// That of a registry that cannot be seen.
    fn empty(directory: Bytes, paths: Paths) -> Self {
        Status {
            directory,
            mounted: false,
            enabled: false,
            entries: Vec::new(),
            others: Vec::new(),
            overlaps: Vec::new(),
            interrupted: Vec::new(),
            image: None,
            upgrade: None,
            identity: image::own().map(|image| image.identity()),
            paths,
            is_part: false,
        }
    }

    /// Reads the registry. If architectures are `named`, only their entries count.
    fn read(
        registry: &Registry,
        (table, named): (&ArchTable, Option<&[&Architecture]>),
        paths: Paths,
        probing: bool,
    ) -> Result<Self, Failure> {
        let image = &paths.asked;
        let entries = registry.entries()?;
        let asker = Asker::new(registry, &entries, table)?;
        let ask = |entry: &Entry, architecture: &Architecture| {
            if probing { asker.ask(entry, architecture) } else { None }
        };
        let mut known = ownership::look_up(table, &entries, image, ask);
        known.retain(|known| named.is_none_or(|named| named.iter().any(|one| one.name == known.architecture.name)));
        let mut files = Files::default();
        let interrupted = ownership::leftovers(&known, &entries, image, ask);
        let lasting: Vec<Entry> = entries
            .iter()
            .filter(|entry| !interrupted.iter().any(|interrupted| interrupted.entry.name == entry.name))
            .cloned()
            .collect();
        let overlaps = known.iter().filter(|known| known.ours).flat_map(|known| overlaps(known, &lasting)).collect();
        let others = lasting.iter().filter(|entry| !known.iter().any(|known| known.registered.as_ref() == Some(entry)));
        let others = others.filter(|_| named.is_none()).map(Other::of).collect();
        let image = Image::read(image, table)?;
        let tried = try_all(&known, &asker, probing);
        Ok(Status {
            mounted: true,
            enabled: registry.enabled()?,
            entries: known
                .iter()
                .zip(tried)
                .map(|(known, tried)| {
                    let mut row = Row::new(known, &mut files).with(tried);
                    let name = &known.architecture.name;
                    row.embedded = image.as_ref().is_some_and(|image| image.embedded.contains(name));
                    let replaced = |row: &Architecture| {
                        image.as_ref().is_some_and(|image| image.replaced.contains_key(&row.title()))
                    };
                    row.newer_emulator = known.architecture.variants().any(replaced);
                    row
                })
                .collect(),
            others,
            overlaps,
            interrupted: interrupted.iter().map(|interrupted| Bytes::from(&interrupted.entry.name)).collect(),
            upgrade: image.as_ref().filter(|_| probing).and_then(Image::upgrade),
            image,
            is_part: named.is_some(),
            ..Status::empty(Bytes::from(registry.directory()), paths)
        })
    }

    fn is_good(&self) -> bool {
        let registered = || self.entries.iter().filter(|row| row.registered);
        self.enabled && registered().any(|row| row.ours) && registered().all(Row::is_good)
    }
}

/// What a probe has shown of an entry.
#[derive(Default)]
struct Tried {
    shadowed_by: Option<Bytes>,
    outcome: Option<Result<(), ProbeFault>>,
}

/// Starts the probes of all registered and enabled entries in `known`, side by side.
fn try_all(known: &[RegisteredRow<'_>], asker: &Asker<'_>, probing: bool) -> Vec<Tried> {
    let (mut tried, mut programs, mut started) = (Vec::new(), Vec::new(), Vec::new());
    for known in known {
        let entry = known.registered.as_ref().filter(|entry| entry.enabled);
        let probe = entry.and_then(|entry| Some((entry, asker.probe_and_winner(entry, known.architecture)?)));
        let mut one = Tried::default();
        if let Some((entry, (program, winner))) = probe {
            if winner.name != entry.name {
                one.shadowed_by = Some(Bytes::from(&winner.name));
            }
            if probing && asker.hangs(entry) {
                one.outcome = Some(Err(ProbeFault::Hung(probe::PATIENCE)));
            } else if probing {
                started.push(tried.len());
                programs.push(program);
            }
        }
        tried.push(one);
    }
    for (index, outcome) in started.into_iter().zip(probe::run_all(&programs)) {
        tried[index].outcome = Some(outcome);
    }
    tried
}

impl Other {
    fn of(entry: &Entry) -> Self {
        Other {
            entry: Bytes::from(&entry.name),
            enabled: entry.enabled,
            flags: Shown(entry.flags),
            interpreter: Bytes::from(entry.starts()),
            matches: entry.matcher.kind(),
            missing: ownership::is_missing(entry),
        }
    }
}

impl Row {
    fn new(known: &RegisteredRow<'_>, files: &mut Files) -> Self {
        let entry = known.registered.as_ref();
        // A path of the process that registered means nothing to this one.
        let path = entry.map(|entry| &entry.interpreter).filter(|path| ownership::has_path(path));
        let told = known.identity.as_ref().zip(path);
        let outdated = told.map(|(identity, path)| files.differs(path, &identity.image));
        // An image gets flag C for the emulators that it embeds.
        let embedded = entry.zip(path).filter(|(entry, _)| entry.flags.credentials);
        let lost = embedded.is_some_and(|(_, path)| !files.embeds(path, &known.architecture.name));
        Row {
            entry: known.described.name.clone(),
            architecture: known.architecture.name.clone(),
            registered: entry.is_some(),
            enabled: entry.is_some_and(|entry| entry.enabled),
            ours: known.ours,
            flags: entry.map(|entry| Shown(entry.flags)),
            interpreter: entry.map(|entry| Bytes::from(entry.starts())),
            emulator: host::emulator(known.architecture).map(Bytes::from),
            embedded: false,
            version: known.identity.as_ref().map(|identity| identity.version.clone()),
            identity: known.identity.as_ref().map(|identity| identity.image.clone()),
            outdated: outdated.flatten(),
            lost,
            gone: outdated == Some(None),
            shadowed_by: None,
            runs: None,
            fault: None,
            native: host::may_be_native(known.architecture),
            disabled_by: known.architecture.disabled.clone(),
            newer_emulator: false,
        }
    }

    /// The row with what its probe has shown.
    fn with(self, Tried { shadowed_by, outcome }: Tried) -> Self {
        let runs = outcome.as_ref().map(Result::is_ok);
        Row { shadowed_by, runs, fault: outcome.and_then(Result::err).map(|fault| fault.to_string()), ..self }
    }

    /// Whether programs run through it, or are refused by it if the table says so.
    fn is_good(&self) -> bool {
        let works = self.ours && self.enabled && !self.lacks(|flags| flags.open_binary);
        works && self.shadowed_by.is_none() && self.runs.is_none_or(|runs| runs == self.disabled_by.is_none())
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
