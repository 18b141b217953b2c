//! `register`: the image becomes the interpreter of foreign programs, and each entry is proved.

use std::path::{Path, PathBuf, absolute};

use clap::Args as ClapArgs;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture};

use crate::columns::{Columns, print};
use crate::failure::{Failure, show, warn};
use crate::image::OpenImage;
use crate::ownership::{self, Known};
use crate::registry::{Entry, Flags, RegisterLine, Registry};
use crate::selection::{self, Selection, Skipped};
use crate::transaction::{Change, Uninterrupted, make_all};
use crate::{defaults, native, probe};

/// Register this machine's emulators with the kernel
///
/// Adds an entry to binfmt_misc for every architecture whose emulator is installed, and runs a tiny program of each to
/// prove that it works. What fails is taken back. Nothing is written that would capture this machine's own programs.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Architectures by any of their names, or `all`, which leaves out what cannot be registered
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// The file to register, as `image` writes it; the kernel keeps it open, so a new one takes `--replace`
    #[arg(long, value_name = "FILE", default_value = defaults::IMAGE)]
    image: PathBuf,
    /// Let set-user-ID programs and file capabilities take effect
    #[arg(long)]
    credentials: bool,
    /// Register anew what is registered already, by whomever
    #[arg(long)]
    replace: bool,
    /// Where binfmt_misc is mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    mount: PathBuf,
    /// Only say what would be written
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Run no foreign programs, neither before nor after
    #[arg(long)]
    no_probe: bool,
}

/// What becomes of one architecture.
struct Item<'t> {
    architecture: &'t Architecture,
    /// None where every entry is there already.
    changes: Vec<Change>,
}

/// Registers; the result is an exit code.
///
/// # Errors
/// What prevents the whole; what prevents single architectures is reported as it is found, before anything is written.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let named = selection::named(table, &args.architectures)?;
    let interpreter = absolute(&args.image).map_err(|error| Failure::io("find", &args.image, error))?;
    open_image(&interpreter)?;
    let registry = Registry::open(&args.mount)?;
    if !registry.enabled()? {
        return Err(Failure::AllDisabled { directory: args.mount.clone() });
    }
    let entries = registry.entries()?;
    let known = ownership::look_up(table, &entries, &interpreter);
    let (ours, foreign): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| is_ours(&known, entry));

    // An entry of ours says that there was nothing native when it was made, and now runs the probe itself.
    let emulated = |program: &[u8]| ours.iter().any(|entry| entry.accepts(program));
    let native = |architecture: &Architecture| {
        !emulated(&architecture.probe_elf()) && native::runs(architecture, &foreign, !args.no_probe)
    };
    let flags = Flags::ours(args.credentials);
    let Selection { chosen, skipped, mut failures } =
        selection::select(table, named.as_deref(), (&interpreter, flags), native);
    let mut items = Vec::new();
    for chosen in chosen {
        let changes = chosen.lines.into_iter().filter_map(|line| change(line, &known, args.replace).transpose());
        match changes.collect() {
            Ok(changes) => items.push(Item { architecture: chosen.architecture, changes }),
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(first) = failures.first() {
        failures.iter().for_each(Failure::report);
        return Ok(first.exit_code());
    }

    if args.dry_run {
        let lines = items.iter().flat_map(|item| &item.changes).map(|change| format!("{}\n", change.line));
        print(lines.collect::<String>())?;
        return Ok(0);
    }
    if args.credentials {
        warn("set-user-ID programs are refused all the same, until their emulators are in the image");
    }
    warn_of_overlaps(&items, &foreign);
    let _uninterrupted = Uninterrupted::begin();
    make_all(&registry, items.iter().flat_map(|item| &item.changes))?;
    conclude(&registry, &items, &skipped, args.no_probe)
}

fn open_image(path: &Path) -> Result<OpenImage, Failure> {
    match OpenImage::open(path) {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(Failure::NotAnImage { path: path.to_owned() }),
        Err(Failure::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::NoImage { path: path.to_owned() })
        }
        Err(failure) => Err(failure),
    }
}

fn is_ours(known: &[Known<'_>], entry: &Entry) -> bool {
    known.iter().any(|known| known.ours && known.registered.as_ref().is_some_and(|ours| ours.name == entry.name))
}

/// What has to change for `line` to be an entry: nothing if it is one.
fn change(line: RegisterLine, known: &[Known<'_>], replace: bool) -> Result<Option<Change>, Failure> {
    let known = known.iter().find(|known| *known.described.name == *line.name());
    let before = known.and_then(|known| known.registered.clone());
    match (&before, known) {
        (Some(entry), _) if !replace && line.describes(entry) => Ok(None),
        (Some(entry), Some(known)) if !replace && !known.ours => {
            Err(Failure::EntryTaken { entry: entry.name.clone(), interpreter: entry.interpreter.clone() })
        }
        _ => Ok(Some(Change { line, before })),
    }
}

fn warn_of_overlaps(items: &[Item<'_>], foreign: &[Entry]) {
    for change in items.iter().flat_map(|item| &item.changes) {
        let overlapping = |entry: &&Entry| {
            let rules = change.line.rule().zip(entry.rule());
            entry.enabled
                && entry.name != change.line.name()
                && rules.is_some_and(|(ours, theirs)| ours.overlaps(theirs))
        };
        for entry in foreign.iter().filter(overlapping) {
            warn(format_args!(
                "{}: from now on gets programs that {} ({}) got, as the newest entry wins",
                show(change.line.name()),
                show(&entry.name),
                entry.interpreter.display(),
            ));
        }
    }
}

/// Proves what is registered, takes back what does not work, and shows the outcome.
fn conclude(
    registry: &Registry,
    items: &[Item<'_>],
    skipped: &[(&Architecture, Skipped)],
    no_probe: bool,
) -> Result<u8, Failure> {
    let mut columns = Columns::new(&["ARCHITECTURE", "RESULT", "EMULATOR"]);
    let mut code = 0;
    for Item { architecture, changes } in items {
        let outcome = if no_probe { Ok(()) } else { probe::run(&architecture.probe_elf()) };
        let kept = changes.is_empty();
        let result = match outcome {
            Ok(()) if kept => "already registered",
            Ok(()) if no_probe => "registered",
            Ok(()) => "ok",
            Err(fault) => {
                changes.iter().rev().for_each(|change| change.undo(registry));
                Failure::ProbeFailed { architecture: architecture.name.clone(), fault, kept }.report();
                code = EXIT_NO;
                "failed"
            }
        };
        let emulator = native::emulator(architecture).map(|path| path.display().to_string());
        columns.push([architecture.name.clone(), result.to_owned(), emulator.unwrap_or_default()]);
    }
    for (architecture, reason) in skipped {
        let reason = match reason {
            Skipped::Native => "left out: runs without",
            Skipped::NoEmulator => "left out: no emulator",
        };
        columns.push([architecture.name.clone(), reason.to_owned(), String::new()]);
    }
    print(columns)?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::registry::Matcher;

    const OURS: &str = "/our/image";

    fn entry(table: &ArchTable, interpreter: &str) -> Entry {
        let described = table.architectures[0].rules().remove(0);
        Entry {
            name: described.name.into(),
            enabled: true,
            interpreter: interpreter.into(),
            flags: Flags::ours(false),
            matcher: Matcher::Rule(described.rule),
        }
    }

    /// What a run would change, given this entry.
    fn changes(entry: Entry, replace: bool) -> Result<Option<Change>, Failure> {
        let table = ArchTable::builtin();
        let described = table.architectures[0].rules().remove(0);
        let name = OsStr::new(&described.name);
        let line = RegisterLine::new(name, Matcher::Rule(described.rule), Path::new(OURS), Flags::ours(false)).unwrap();
        change(line, &ownership::look_up(&table, &[entry], Path::new(OURS)), replace)
    }

    #[test]
    fn what_is_registered_already_stays() {
        let table = ArchTable::builtin();
        assert!(matches!(changes(entry(&table, OURS), false), Ok(None)));
    }

    #[test]
    fn what_is_ours_and_differs_is_renewed() {
        let table = ArchTable::builtin();
        let entry = Entry { enabled: false, ..entry(&table, OURS) };
        assert!(matches!(changes(entry, false), Ok(Some(Change { before: Some(_), .. }))));
    }

    #[test]
    fn what_is_somebody_elses_is_replaced_only_on_request() {
        let table = ArchTable::builtin();
        assert!(matches!(changes(entry(&table, "/bin/true"), false), Err(Failure::EntryTaken { .. })));
        assert!(matches!(changes(entry(&table, "/bin/true"), true), Ok(Some(Change { before: Some(_), .. }))));
    }
}
