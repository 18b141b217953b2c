//! Registers an image as the interpreter of foreign programs, for `register` and `install`.
//!
//! [`plan`] reads everything and writes nothing; [`Changes::prove`] tries the entries;
//! [`Changes::make`] registers those that work.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Architecture};

use super::mount::Registry;
use super::own_programs;
use super::ownership::{self, RegisteredRow};
use super::question::Asker;
use super::selection::{self, Chosen, Interpreter, Selection, Skipped};
use super::transaction::{self, Change, Leftover, make_all, on_trial};
use crate::defaults;
use crate::failure::{Failure, report_all, show, warn};
use crate::platform::kernel::Version;
use crate::platform::probe;
use crate::platform::signals::SignalGuard;
use crate::progress;
use binfmt_misc::{Entry, LineFault, Matcher, RegisterLine};

/// The options of the commands that register.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Replace existing entries, whoever registered them
    #[arg(long)]
    pub replace: bool,
    /// Where `binfmt_misc` is mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    pub mount: PathBuf,
    /// Only print what would be written
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// The requested state of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'r, 't> {
    /// All known architectures.
    pub table: &'t ArchTable,
    /// The requested architectures; `None` for all.
    pub named: Option<&'r [&'t Architecture]>,
    /// Architectures that are registered with the others if nothing is in the way; their entries
    /// stay as they are otherwise.
    pub kept: &'r [&'t Architecture],
    /// The interpreter to register.
    pub interpreter: Interpreter<'r>,
    /// Which existing entries are replaced.
    pub replace: Replace,
    /// If given, entries of binfmt-dispatch are replaced too if their image is not known to have
    /// this identity.
    pub identity: Option<&'r str>,
    /// Whether foreign programs may be started.
    pub probing: bool,
}

/// Which existing entries are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Entries of binfmt-dispatch that differ.
    Different,
    /// All entries of binfmt-dispatch, because the image has changed.
    Ours,
    /// All entries, whoever registered them.
    All,
}

/// The planned changes.
#[derive(Debug)]
pub struct Changes<'t> {
    /// The architectures.
    pub items: Vec<Item<'t>>,
    /// Architectures left out; none of them was requested by name.
    pub skipped: Vec<(&'t Architecture, Skipped)>,
    /// Entries of binfmt-dispatch.
    ours: Vec<Entry>,
    /// Other entries.
    foreign: Vec<Entry>,
}

/// The changes for one architecture.
#[derive(Debug)]
pub struct Item<'t> {
    /// The architecture.
    pub architecture: &'t Architecture,
    /// Its entries after the changes.
    pub lines: Vec<RegisterLine>,
    /// Its changes; empty if all entries are registered already.
    pub changes: Vec<Change>,
}

/// The outcome for one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is registered now, and its probe ran.
    Ok,
    /// It is registered now; no probe was run.
    Registered,
    /// It was registered before.
    Kept,
    /// It is registered now, and its programs are refused, because the table disables it.
    Disabled,
    /// Its probe did not run.
    Failed,
}

/// Opens the registry, which must not be disabled as a whole.
///
/// # Errors
/// There is no registry, or it is disabled.
pub fn open_registry(mount: &Path) -> Result<Registry, Failure> {
    let registry = Registry::open(mount)?;
    if registry.enabled()? { Ok(registry) } else { Err(Failure::AllDisabled { directory: mount.to_owned() }) }
}

/// Whether entries get flag T. Where nothing may be written (`dry`), or not by this process, the
/// kernel's release decides.
///
/// # Errors
/// The kernel cannot be asked, although this process may change entries.
pub fn knows_transparent(registry: &Registry, dry: bool) -> Result<bool, Failure> {
    let by_release = || Ok(Version::running() >= Some(Version::TRANSPARENT));
    if dry {
        return by_release();
    }
    match registry.knows_transparent() {
        Err(Failure::NotPermitted { .. }) => by_release(),
        answer => answer,
    }
}

/// Changes of interrupted runs that cannot be completed before other entries are registered.
#[derive(Debug, Default)]
pub struct Unsettled(Vec<Leftover>);

/// Completes the changes of interrupted runs. Failures are only reported: the existing entries work
/// as before. `probing` is as in [`Goal`].
///
/// # Errors
/// The registry cannot be read.
pub fn finish_leftovers(
    registry: &Registry,
    table: &ArchTable,
    image: &Path,
    probing: bool,
) -> Result<Unsettled, Failure> {
    let entries = registry.entries()?;
    let mut leftovers = Unsettled::default();
    if !entries.iter().any(transaction::is_named_so) {
        return Ok(leftovers);
    }
    let asker = Asker::new(registry, &entries, table)?;
    let ask = |entry: &Entry, architecture: &Architecture| if probing { asker.ask(entry, architecture) } else { None };
    let known = ownership::look_up(table, &entries, image, ask);
    for interrupted in ownership::leftovers(&known, &entries, image, ask) {
        match interrupted.finish(registry) {
            Ok(true) => log::info!("{}: completed the change of an interrupted run", show(&interrupted.entry.name)),
            Ok(false) => leftovers.0.push(interrupted),
            Err(failure) => failure.report(),
        }
    }
    Ok(leftovers)
}

impl Unsettled {
    /// Completes the changes that were waiting for other entries to be registered.
    pub fn finish(&self, registry: &Registry) {
        for interrupted in &self.0 {
            if let Err(failure) = interrupted.finish(registry) {
                failure.report();
            }
        }
    }
}

/// Plans the changes.
///
/// # Errors
/// All reasons why the goal cannot be reached.
pub fn plan<'t>(registry: &Registry, goal: Goal<'_, 't>) -> Result<Changes<'t>, Vec<Failure>> {
    match plan_possible(registry, goal) {
        Ok((changes, failures)) if failures.is_empty() => Ok(changes),
        Ok((_, failures)) => Err(failures),
        Err(failure) => Err(vec![failure]),
    }
}

/// Plans those of the changes that are possible; with the reasons why the others are not.
///
/// # Errors
/// The registry cannot be read.
pub fn plan_possible<'t>(registry: &Registry, goal: Goal<'_, 't>) -> Result<(Changes<'t>, Vec<Failure>), Failure> {
    let Goal { table, interpreter, probing, .. } = goal;
    let entries = registry.entries()?;
    let asker = Asker::new(registry, &entries, table)?;
    let ask = |entry: &Entry, architecture: &Architecture| if probing { asker.ask(entry, architecture) } else { None };
    let known = ownership::look_up(table, &entries, interpreter.path, ask);
    // Leftover entries are removed when the entries that they stand in for are registered.
    let left = ownership::leftovers(&known, &entries, interpreter.path, ask);
    let is_left = |entry: &Entry| left.iter().any(|left| left.entry.name == entry.name);
    let lasting = entries.iter().filter(|entry| !is_left(entry)).cloned();
    let (ours, foreign): (Vec<Entry>, Vec<Entry>) = lasting.partition(|entry| is_ours(&known, entry));

    // An entry of binfmt-dispatch shows that the architecture was not native when the entry was
    // made. The probe cannot show it now, because that entry would run it.
    let all_ours = || ours.iter().chain(left.iter().map(|left| &left.entry));
    let emulated = |program: &[u8]| all_ours().any(|entry| entry.accepts(program));
    let native = |architecture: &Architecture| {
        !emulated(&architecture.probe_elf()) && own_programs::runs(architecture, &foreign, probing)
    };
    let Selection { chosen, skipped, mut failures } = selection::select(table, goal.named, interpreter, native);
    let item = |Chosen { architecture, lines }: Chosen<'t>| {
        let changes: Result<Vec<Change>, Failure> =
            lines.iter().filter_map(|line| change(line, &known, (goal.replace, goal.identity)).transpose()).collect();
        changes.map(|changes| Item { architecture, lines, changes })
    };
    let mut items = Vec::new();
    for made in chosen.into_iter().map(item) {
        made.map_or_else(|failure| failures.push(failure), |item| items.push(item));
    }
    if !goal.kept.is_empty() {
        let kept = selection::select(table, Some(goal.kept), interpreter, native);
        let mut in_the_way = kept.failures;
        for made in kept.chosen.into_iter().map(item) {
            made.map_or_else(|failure| in_the_way.push(failure), |item| items.push(item));
        }
        in_the_way.iter().for_each(|failure| log::info!("left as it is: {failure}"));
        selection::sort(table, &mut items, |item| item.architecture);
    }
    Ok((Changes { items, skipped, ours, foreign }, failures))
}

fn is_ours(known: &[RegisteredRow<'_>], entry: &Entry) -> bool {
    known.iter().any(|known| known.ours && known.registered.as_ref().is_some_and(|ours| ours.name == entry.name))
}

/// The change that registers `line`; `None` if it is registered already.
fn change(
    line: &RegisterLine,
    known: &[RegisteredRow<'_>],
    (replace, identity): (Replace, Option<&str>),
) -> Result<Option<Change>, Failure> {
    let known = known.iter().find(|known| *known.described.name == *line.name());
    let before = known.and_then(|known| known.registered.clone());
    let said = known.and_then(|known| Some(known.identity.as_ref()?.image.as_str()));
    let same = identity.is_none_or(|identity| said == Some(identity));
    match (&before, known) {
        (Some(entry), _) if replace == Replace::Different && same && line.describes(entry) => Ok(None),
        (Some(entry), Some(known)) if replace != Replace::All && !known.ours => {
            Err(Failure::EntryTaken { entry: entry.name.clone(), interpreter: entry.interpreter.clone() })
        }
        // It could not be restored.
        (Some(Entry { matcher: Matcher::Handler(_), name, .. }), _) => {
            Err(Failure::BadLine { entry: name.clone(), fault: LineFault::Handler })
        }
        _ => Ok(Some(Change { line: line.clone(), before })),
    }
}

impl<'t> Changes<'t> {
    /// Every change.
    pub fn all(&self) -> impl Iterator<Item = &Change> {
        self.items.iter().flat_map(|item| &item.changes)
    }

    /// Names of the entries for the file at `image` that stay unchanged because they were not
    /// requested.
    pub fn left<'p>(&'p self, image: &'p Path) -> impl Iterator<Item = &'p OsStr> {
        let planned = |entry: &&Entry| {
            let lines = self.items.iter().flat_map(|item| &item.lines);
            lines.map(RegisterLine::name).any(|name| *name == *entry.name)
        };
        // Entries of a row that the table no longer has look like those of other software.
        let entries = self.ours.iter().chain(&self.foreign);
        let left = entries.filter(move |entry| entry.interpreter == image && !planned(entry));
        left.map(|entry| entry.name.as_os_str())
    }

    /// Prints the warnings about the changes; called before they are made.
    pub fn warn(&self, interpreter: Interpreter<'_>) {
        let refused = |item: &Item<'_>| !interpreter.holds(item.architecture) && item.has_credentials();
        if self.items.iter().any(refused) {
            warn("set-user-ID programs are still refused unless their emulators are embedded in the image");
        }
        let had_none = |change: &Change| change.before.as_ref().is_some_and(|before| !before.flags.credentials);
        let asked_for = interpreter.credentials.credentials;
        if !asked_for && self.all().any(|change| change.line.flags().credentials && had_none(change)) {
            warn("set-user-ID programs now take effect; use --no-credentials to prevent that");
        }
        // Entries that are about to be replaced take part in no conflict.
        let stays = |entry: &Entry| !self.all().any(|change| *change.line.name() == *entry.name);
        for change in self.all() {
            let overlapping = ownership::overlapping(change.line.name(), change.line.rule(), &self.foreign);
            for entry in overlapping.into_iter().filter(|entry| stays(entry)) {
                warn(format_args!(
                    "{}: now takes precedence over {} ({}) for programs that match both",
                    show(change.line.name()),
                    show(&entry.name),
                    entry.interpreter.display(),
                ));
            }
        }
    }

    /// Runs the probe of every architecture through a trial entry, which matches no other program.
    /// Reports failures.
    ///
    /// # Errors
    /// The kernel refuses an entry, or a blocked signal is pending; then no trial entry is left.
    pub fn prove(&self, registry: &Registry, probing: bool) -> Result<Vec<(&Item<'t>, Outcome)>, Failure> {
        let mut failures = Vec::new();
        let outcomes = self.items.iter().enumerate().map(|(index, item)| {
            if probing {
                progress::show(index + 1, self.items.len(), format_args!("trying {}", item.architecture.name));
            }
            Ok((item, item.prove(registry, probing, &mut failures)?))
        });
        let outcomes = outcomes.collect();
        progress::clear();
        report_all(&failures);
        outcomes
    }

    /// Registers everything that works, or nothing; `undoing` as in [`make_all`].
    ///
    /// # Errors
    /// The first entry that failed.
    #[expect(clippy::unused_self, reason = "the outcomes are of these changes, and of no others")]
    pub fn make(
        &self,
        registry: &Registry,
        outcomes: &[(&Item<'t>, Outcome)],
        undoing: impl FnOnce(),
    ) -> Result<(), Failure> {
        let proved = outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Failed);
        make_all(registry, proved.flat_map(|(item, _)| &item.changes), undoing)
    }
}

impl Item<'_> {
    fn has_credentials(&self) -> bool {
        self.lines.iter().any(|line| line.flags().credentials)
    }

    /// A fault of the probe is added to `faults`.
    fn prove(&self, registry: &Registry, probing: bool, faults: &mut Vec<Failure>) -> Result<Outcome, Failure> {
        let kept = self.changes.is_empty();
        if !probing {
            return Ok(if kept { Outcome::Kept } else { Outcome::Registered });
        }
        let program = self.architecture.probe_elf();
        let accepts = |line: &&RegisterLine| line.rule().is_some_and(|rule| rule.accepts(&program));
        let ended = match self.lines.iter().find(accepts) {
            Some(line) if !kept => on_trial(registry, line, &program, probe::run)?,
            _ => probe::run(&program),
        };
        if SignalGuard::is_over() {
            return Err(Failure::Interrupted);
        }
        if ended.is_ok() {
            log::info!("{}: its probe ran", self.architecture.name);
        }
        Ok(match ended {
            Ok(()) if kept => Outcome::Kept,
            Ok(()) => Outcome::Ok,
            Err(fault) if self.architecture.disabled.is_some() && fault.is_refusal() => Outcome::Disabled,
            Err(fault) => {
                faults.push(Failure::ProbeFailed { architecture: self.architecture.name.clone(), fault, kept });
                Outcome::Failed
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use binfmt_misc::Flags;

    const OURS: &str = "/our/image";

    fn entry(table: &ArchTable, interpreter: &str) -> Entry {
        let described = table.architectures()[0].rules().remove(0);
        Entry {
            name: described.name.into(),
            enabled: true,
            interpreter: interpreter.into(),
            flags: Flags::of_image(false),
            matcher: Matcher::Rule(described.rule),
        }
    }

    /// The changes of a run, given this entry.
    fn changes(entry: Entry, replace: Replace) -> Result<Option<Change>, Failure> {
        let table = ArchTable::builtin();
        let described = table.architectures()[0].rules().remove(0);
        let name = OsStr::new(&described.name);
        let line =
            RegisterLine::new(name, Matcher::Rule(described.rule), Path::new(OURS), Flags::of_image(false)).unwrap();
        change(&line, &ownership::look_up(&table, &[entry], Path::new(OURS), |_, _| None), (replace, None))
    }

    #[test]
    fn what_is_registered_already_stays() {
        let table = ArchTable::builtin();
        assert!(matches!(changes(entry(&table, OURS), Replace::Different), Ok(None)));
        assert!(matches!(changes(entry(&table, OURS), Replace::Ours), Ok(Some(Change { before: Some(_), .. }))));
    }

    #[test]
    fn what_is_ours_and_differs_is_renewed() {
        let table = ArchTable::builtin();
        let entry = Entry { enabled: false, ..entry(&table, OURS) };
        assert!(matches!(changes(entry, Replace::Different), Ok(Some(Change { before: Some(_), .. }))));
    }

    #[test]
    fn a_handler_in_the_kernel_stays() {
        let table = ArchTable::builtin();
        let entry = Entry { matcher: Matcher::Handler("h".into()), ..entry(&table, "") };
        let replaced = changes(entry, Replace::All);
        assert!(matches!(replaced, Err(Failure::BadLine { fault: LineFault::Handler, .. })), "{replaced:?}");
    }

    #[test]
    fn an_entry_gets_the_flag_that_the_kernel_knows_now() {
        let table = ArchTable::builtin();
        let before = entry(&table, OURS);
        let line = RegisterLine::of_entry(&before).unwrap();
        let line = line.with_flags(line.flags().made_transparent()).unwrap();
        let known = ownership::look_up(&table, &[before], Path::new(OURS), |_, _| None);
        let planned = change(&line, &known, (Replace::Different, None)).unwrap().unwrap();
        assert_eq!((planned.line.flags().to_string(), planned.before.is_some()), ("OFT".to_owned(), true));
    }

    #[test]
    fn what_is_somebody_elses_is_replaced_only_on_request() {
        let table = ArchTable::builtin();
        for replace in [Replace::Different, Replace::Ours] {
            assert!(matches!(changes(entry(&table, "/bin/true"), replace), Err(Failure::EntryTaken { .. })));
        }
        let replaced = changes(entry(&table, "/bin/true"), Replace::All);
        assert!(matches!(replaced, Ok(Some(Change { before: Some(_), .. }))));
    }
}
