//! `install`: writes the image, the link in PATH and the snippet for systemd, and registers the
//! image. It says what it does while it does it: on a terminal, the step that takes long now too.

mod text;
mod translations;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture};

use self::translations::{Translate, Translations};
use crate::documents::{Document, is_document};
use crate::failure::{self, Doing, Failure};
use crate::formats::binfmt_d::{self, binfmt_d};
use crate::image::OpenImage;
use crate::image::destination::Destination;
use crate::image::emulators::Source;
use crate::image::request::{self, Contents};
use crate::install::boot;
use crate::install::earlier::Earlier;
use crate::install::files::Installation;
use crate::install::place::{LINK, Place, is_link, is_snippet};
use crate::output::{self, print};
use crate::platform::files::Replacement;
use crate::platform::host;
use crate::platform::signals::SignalGuard;
use crate::registry::registration::{self, Changes, Goal, Options, Outcome, Replace, Unsettled};
use crate::registry::selection::{self, Credentials, Interpreter, Skipped};
use crate::registry::{RegisterLine, Registry};
use crate::translate::roots;
use crate::{architectures, context, documents, install};

/// Install an image with the emulators embedded, and register it
///
/// Writes below the prefix: the image libexec/binfmt-dispatch/binfmt-dispatch, the link
/// bin/binfmt-dispatch to it, lib/binfmt.d/zz-binfmt-dispatch.conf, and in share man pages and
/// completions for bash, zsh and fish. Tries each entry with a tiny program of the architecture,
/// and registers the image. An older one is replaced without a moment in which programs fail. If a
/// step fails, everything stays as it was. Where architectures are named, those that were installed
/// before are kept. Translations (--translate) are kept too, or made again for another build of the
/// emulator.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    pub contents: Contents,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    translate: Translate,
    /// Keep none of the architectures that were installed before
    #[arg(long, requires = "architectures")]
    only: bool,
    /// Ignore the set-ID bits and file capabilities of all programs
    #[arg(long)]
    no_credentials: bool,
    /// Do not register with the running kernel; implied by --root
    #[arg(long)]
    no_register: bool,
    /// Install no man pages and no completions for shells
    #[arg(long)]
    no_docs: bool,
    #[command(flatten)]
    options: Options,
}

/// Installs; the result is an exit code.
///
/// # Errors
/// A step failed; everything is as it was before.
pub fn run(args: &Args, table: &ArchTable, command: clap::Command) -> Result<u8, Failure> {
    args.place.check()?;
    let documents = if args.no_docs { Vec::new() } else { documents::all(command) };
    let named = architectures::named(table, &args.contents.architectures)?;
    let registry = match args.no_register || args.place.root.is_some() {
        true => None,
        false => Some(registration::open_registry(&args.options.mount)?),
    };
    let earlier = Earlier::read(&args.place, table)?.filter(|_| named.is_some() && !args.only);
    let installed = earlier.as_ref().map(|earlier| &earlier.image);
    let emulators = args.contents.sources(table, Destination::here(), installed)?;
    let transparent = match &registry {
        Some(registry) => registration::knows_transparent(registry, args.options.dry_run)?,
        None => false,
    };
    let path = args.place.image();
    let translations = Translations::default();
    let mut job = Job { args, table, documents, named, registry, emulators, path, transparent, translations };
    // This may take minutes, so it is done before anything is locked.
    job.translations = Translations::make(&job, !args.options.dry_run)?;
    if args.options.dry_run { job.preview() } else { job.install() }
}

/// The request: what is to be installed, and where.
struct Job<'j> {
    args: &'j Args,
    table: &'j ArchTable,
    documents: Vec<Document>,
    /// The requested architectures; `None` for all.
    named: Option<Vec<&'j Architecture>>,
    /// `None` if nothing is to be registered.
    registry: Option<Registry>,
    /// The emulators of the requested architectures.
    emulators: Vec<Source<'j>>,
    /// The path of the image in the entries.
    path: PathBuf,
    /// Whether the running kernel knows flag T.
    transparent: bool,
    translations: Translations,
}

/// All that goes into the new image.
struct Whole<'j> {
    emulators: Vec<Source<'j>>,
    /// Architectures that were installed before, and are not among the requested ones.
    kept: Vec<&'j Architecture>,
}

/// The changes of the registry.
struct Planned<'p> {
    registry: &'p Registry,
    changes: Changes<'p>,
    leftovers: Unsettled,
}

impl<'j> Job<'j> {
    /// The request, and what the earlier installation has beside it.
    fn whole(&self) -> Result<Whole<'j>, Failure> {
        let mut whole = Whole { emulators: self.emulators.clone(), kept: Vec::new() };
        if let Some(named) = self.named.as_deref().filter(|_| !self.args.only) {
            if let Some(earlier) = Earlier::read(&self.args.place, self.table)? {
                whole.kept = earlier.others(named);
                whole.emulators.extend(earlier.sources(&whole.kept)?);
            }
        }
        self.translations.give(&mut whole.emulators);
        Ok(whole)
    }

    fn interpreter<'i>(&'i self, embedded: &'i BTreeSet<String>) -> Interpreter<'i> {
        let credentials = Credentials { credentials: false, no_credentials: self.args.no_credentials };
        Interpreter { path: &self.path, embedded, credentials, transparent: self.transparent }
    }

    /// The snippet that registers the entries at each boot.
    fn snippet(&self, entries: &Entries<'_>) -> Result<Vec<u8>, Failure> {
        let transparent = boot::knows_transparent(&self.args.place, self.transparent);
        let mut suited = entries.clone();
        for (_, lines) in &mut suited {
            *lines = boot::lines(lines, transparent)?;
        }
        let snippet = binfmt_d(&host::row().name, &suited, binfmt_d::NAME);
        Ok([snippet, roots::lines(self.translations.roots()).into_bytes()].concat())
    }

    /// Prints what would be written.
    fn preview(&self) -> Result<u8, Failure> {
        let place = &self.args.place;
        refuse_others(place, &self.documents)?;
        let Whole { emulators, kept } = self.whole()?;
        let embedded = emulators.iter().map(|source| source.architecture.name.clone()).collect();
        let interpreter = self.interpreter(&embedded);
        let (entries, _) = entries(self.table, self.named.as_deref(), interpreter)?;
        let entries = with_kept(self.table, entries, &kept, interpreter)?;
        let files: String =
            place.files().iter().map(|path| format!("{}: would be written\n", path.display())).collect();
        let documents = self.documents.iter().map(|document| install::documents::path(place, document));
        let documents: Vec<PathBuf> = documents.collect();
        let documents = install::documents::counts(documents.iter().map(PathBuf::as_path), "would be written");
        let snippet = self.snippet(&entries)?;
        output::write(&[(files + &documents).as_bytes(), &snippet].concat())?;
        boot::warn_of(place, &lines(&entries));
        Ok(0)
    }

    fn install(&self) -> Result<u8, Failure> {
        let place = &self.args.place;
        let lock = self.registry.as_ref().map(Registry::lock).transpose()?;
        let mut installation = Installation::begin(place, lock.is_some())?;
        refuse_others(place, &self.documents)?;
        // Another run may have changed the installation before the lock was free.
        let Whole { emulators, kept } = self.whole()?;
        print(text::found(&emulators) + &text::kept(&kept))?;

        // First write everything beside its final place, where it does no harm.
        let [image, link, snippet] = &place.files();
        [image, link, snippet].into_iter().try_for_each(|file| installation.directory_of(file))?;
        let image = Replacement::begin(image)?;
        request::write_to(&self.args.contents, (self.table, &kept), &emulators, &image)?;
        let new_image = NewImage::read(&image.staged())?;
        let interpreter = self.interpreter(&new_image.embedded);
        let planned = match self.plan(interpreter, &kept)? {
            Ok(planned) => planned,
            Err(failures) => {
                failure::report_all(&failures);
                return Ok(failures.first().map_or(EXIT_NO, Failure::exit_code));
            }
        };
        let _guard = SignalGuard::begin();
        // Undo whatever is not kept before signals act again: of two values, the later one is
        // dropped first.
        let mut installation = installation;
        installation.file(image, 0o755)?;
        let proved = match &planned {
            Some(Planned { registry, changes, .. }) => {
                changes.warn(interpreter);
                changes.prove(registry, true)?
            }
            None => Vec::new(),
        };
        let outcomes: BTreeMap<&str, Outcome> =
            proved.iter().map(|(item, outcome)| (item.architecture.name.as_str(), *outcome)).collect();
        let (entries, skipped) = match &planned {
            Some(Planned { changes, .. }) => {
                let entries = changes.items.iter().map(|item| (item.architecture, item.lines.clone())).collect();
                (entries, changes.skipped.clone())
            }
            None => entries(self.table, self.named.as_deref(), interpreter)?,
        };
        let entries = with_kept(self.table, entries, &kept, interpreter)?;
        print(format!("\n{}\n", text::entries(&entries, &outcomes, &new_image, &skipped)))?;
        // An entry that does not work now would not work after the next boot either.
        let works = |architecture: &Architecture| outcomes.get(architecture.name.as_str()) != Some(&Outcome::Failed);
        let lasting: Vec<_> = entries.iter().filter(|(architecture, _)| works(architecture)).cloned().collect();
        installation.file(Replacement::of(snippet, &self.snippet(&lasting)?)?, 0o644)?;
        installation.link(LINK, link)?;
        let documented = install::documents::install(place, &self.documents, &mut installation)?;
        if let Some(Planned { registry, changes, leftovers }) = &planned {
            changes.make(registry, &proved, || installation.take_back())?;
            leftovers.finish(registry);
            warn_of_left(changes, &self.path);
        }
        installation.keep();
        self.conclude(&lasting, &documented, |architecture| outcomes.contains_key(architecture.name.as_str()))?;
        Ok(if outcomes.values().any(|outcome| *outcome == Outcome::Failed) { EXIT_NO } else { 0 })
    }

    /// The changes of the registry, if anything is to be registered.
    fn plan<'p>(
        &'p self,
        interpreter: Interpreter<'_>,
        kept: &[&'p Architecture],
    ) -> Result<Result<Option<Planned<'p>>, Vec<Failure>>, Failure> {
        let Some(registry) = &self.registry else { return Ok(Ok(None)) };
        let leftovers = registration::finish_leftovers(registry, self.table, &self.path, true)?;
        let replace = if self.args.options.replace { Replace::All } else { Replace::Ours };
        let named = self.named.as_deref();
        let goal = Goal { table: self.table, named, kept, interpreter, replace, identity: None, probing: true };
        let changes = registration::plan(registry, goal);
        Ok(changes.map(|changes| Some(Planned { registry, changes, leftovers })))
    }

    /// Removes what earlier versions left, and says what was done.
    fn conclude(
        &self,
        lasting: &Entries<'_>,
        documented: &[PathBuf],
        is_registered: impl Fn(&Architecture) -> bool,
    ) -> Result<(), Failure> {
        let place = &self.args.place;
        remove_earlier(&place.on_disk(&place.earlier_snippet()));
        install::documents::remove_earlier(place, &self.documents);
        let registered: Vec<_> = lasting.iter().filter(|(row, _)| is_registered(row)).cloned().collect();
        let registered = self.registry.as_ref().map(|_| text::registered(&registered, &self.args.options.mount));
        let lines = lines(lasting);
        print(text::files(place, lines.len(), documented) + &registered.unwrap_or_default())?;
        boot::warn_of(place, &lines);
        Ok(())
    }
}

/// Removes the snippet of earlier versions, which would register everything twice at boot.
fn remove_earlier(snippet: &Path) {
    if is_snippet(snippet) {
        let removed = fs::remove_file(snippet).map_err(|error| Failure::io(Doing::Remove, snippet, error));
        removed.unwrap_or_else(|failure| failure.report());
    }
}

fn lines(entries: &[(&Architecture, Vec<RegisterLine>)]) -> Vec<RegisterLine> {
    entries.iter().flat_map(|(_, lines)| lines).cloned().collect()
}

/// Warns of entries for emulators that an earlier installation embedded and this one does not. They
/// keep using the earlier file, which the kernel has open. Removing them would break programs that
/// run now.
fn warn_of_left(changes: &Changes<'_>, image: &Path) {
    let mut names: Vec<String> = changes.left(image).map(|name| failure::show(name).to_string()).collect();
    names.sort();
    if !names.is_empty() {
        failure::warn(format_args!(
            "{}: not part of this installation: the earlier one stays in use for them until the next boot",
            failure::listed(&names)
        ));
    }
}

/// The architectures whose emulators are embedded in the new image.
struct NewImage {
    embedded: BTreeSet<String>,
    /// Name and version of the emulator, by architecture; the version without what the
    /// distribution adds in parentheses.
    emulators: BTreeMap<String, String>,
}

impl NewImage {
    fn read(path: &Path) -> Result<Self, Failure> {
        let image: OpenImage = context::open_image(path)?;
        let mut emulators = BTreeMap::new();
        for program in image.programs()? {
            let version = program.version.split(" (").next().unwrap_or_default();
            let shown = format!("{} {version}", program.name);
            emulators.extend(program.runs.into_iter().map(|name| (name, shown.trim_end().to_owned())));
        }
        Ok(NewImage { embedded: image.embedded()?, emulators })
    }
}

/// Architectures and their entries.
type Entries<'t> = Vec<(&'t Architecture, Vec<RegisterLine>)>;
/// Architectures without entries, with the reasons.
type LeftOut<'t> = Vec<(&'t Architecture, Skipped)>;

/// Entries for a system that is not running: those asked for, or every foreign one with an
/// emulator. Then the architectures left out.
fn entries<'t>(
    table: &'t ArchTable,
    named: Option<&[&'t Architecture]>,
    interpreter: Interpreter<'_>,
) -> Result<(Entries<'t>, LeftOut<'t>), Failure> {
    let native = |architecture: &Architecture| match named {
        // One that may be native can be asked for by name, for a machine that cannot run it.
        Some(_) => architecture.name == host::row().name,
        None => host::may_be_native(architecture),
    };
    let selection = selection::select(table, named, interpreter, native);
    match selection.failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => {
            let entries = selection.chosen.into_iter().map(|chosen| (chosen.architecture, chosen.lines)).collect();
            Ok((entries, selection.skipped))
        }
    }
}

/// The entries, and those of the architectures that are kept, in the order of the table. An entry
/// that cannot be registered now stays as it is, and is tried again at the next boot.
fn with_kept<'t>(
    table: &ArchTable,
    mut entries: Entries<'t>,
    kept: &[&'t Architecture],
    interpreter: Interpreter<'_>,
) -> Result<Entries<'t>, Failure> {
    for &row in kept {
        if !entries.iter().any(|(other, _)| other.name == row.name) {
            entries.push((row, selection::lines(row, interpreter.path, interpreter.flags(row))?));
        }
    }
    if !kept.is_empty() {
        selection::sort(table, &mut entries, |(row, _)| row);
    }
    Ok(entries)
}

/// Refuses to replace files that this program did not write.
fn refuse_others(place: &Place, documents: &[Document]) -> Result<(), Failure> {
    let [image, command, snippet] = place.files();
    let ours = [OpenImage::is_at(&image), is_link(&command), is_snippet(&snippet)];
    let documents = documents.iter().map(|document| install::documents::path(place, document));
    let documents = documents.map(|path| (is_document(&path), path));
    for (ours, path) in ours.into_iter().zip([image, command, snippet]).chain(documents) {
        if !ours && path.symlink_metadata().is_ok() {
            return Err(Failure::InTheWay { path });
        }
    }
    Ok(())
}
