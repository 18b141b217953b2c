//! `--uninstall`: removes entries of binfmt-dispatch.

use std::ffi::{OsStr, OsString};

use dispatch_table::{ArchTable, Architecture};
use glob::Pattern;

use super::platforms::{nothing, parts};
use super::{in_container, own_image};
use crate::architectures::{self, ALL};
use crate::failure::{self, Failure, note, show};
use crate::registry::ownership::{self, RegisteredRow};
use crate::registry::question::Asker;
use crate::registry::registration;
use crate::registry::{Entry, Registry};

/// One part of the list.
enum Wanted<'t> {
    /// Every entry whose name matches.
    Matching(Pattern),
    /// The entries of an architecture.
    Of(&'t Architecture),
    /// The entry with this name, which is not in the table.
    Called(OsString),
}

/// Removes the entries in `list` that belong to binfmt-dispatch. The result is an exit code.
///
/// # Errors
/// A part of the list is unknown, and nothing was removed; or the registry cannot be read.
pub(super) fn run(list: &str, table: &ArchTable, registry: &Registry) -> Result<u8, Failure> {
    let (path, _) = own_image()?;
    registration::finish_leftovers(registry, table, &path, true).map_err(in_container)?;
    let entries = registry.entries()?;
    let wanted = understood(list, table, &entries)?;
    let asker = Asker::new(registry, &entries, table)?;
    let ask = |entry: &Entry, architecture: &Architecture| asker.ask(entry, architecture);
    let known = ownership::look_up(table, &entries, &path, ask);
    let left = ownership::leftovers(&known, &entries, &path, ask);
    let is_ours = |entry: &Entry| {
        let registered = |known: &RegisteredRow<'_>| known.registered.as_ref().is_some_and(|it| it.name == entry.name);
        known.iter().any(|known| known.ours && registered(known))
            || left.iter().any(|left| left.entry.name == entry.name)
    };
    let mut failures = Vec::new();
    for wanted in &wanted {
        let found: Vec<&Entry> = entries.iter().filter(|entry| wanted.takes(entry, &known)).collect();
        if let (true, Wanted::Of(architecture)) = (found.is_empty(), wanted) {
            note(format_args!("{}: is not registered", architecture.name));
        }
        for entry in found {
            // Another part of the list may have removed it.
            if registry.entry(&entry.name)?.is_none() {
                continue;
            }
            let (name, interpreter) = (&entry.name, &entry.interpreter);
            if is_ours(entry) {
                match registry.unregister(name) {
                    Ok(()) => note(format_args!("{}: removed", show(name))),
                    Err(failure) => failures.push(in_container(failure)),
                }
            } else if let Wanted::Matching(_) = wanted {
                let interpreter = show(interpreter.as_os_str());
                note(format_args!("{}: left, as it belongs to other software ({interpreter})", show(name)));
            } else {
                failures.push(Failure::NotOurs { entry: name.clone(), interpreter: interpreter.clone() });
            }
        }
    }
    failure::report_all(&failures);
    Ok(failures.first().map_or(0, Failure::exit_code))
}

/// Understands all parts of the list.
fn understood<'t>(list: &str, table: &'t ArchTable, entries: &[Entry]) -> Result<Vec<Wanted<'t>>, Failure> {
    let mut wanted = Vec::new();
    for part in parts(list) {
        let part = if part.eq_ignore_ascii_case(ALL) { "*" } else { part };
        wanted.push(if part.contains(['*', '?', '[']) {
            let bad =
                |error| Failure::Usage(format!("--uninstall: {}: is no pattern: {error}", show(OsStr::new(part))));
            Wanted::Matching(Pattern::new(part).map_err(bad)?)
        } else if entries.iter().any(|entry| *entry.name == *part) && table.find(part).is_none() {
            Wanted::Called(part.into())
        } else {
            Wanted::Of(architectures::find(table, part)?)
        });
    }
    if wanted.is_empty() { Err(nothing("--uninstall")) } else { Ok(wanted) }
}

impl Wanted<'_> {
    fn takes(&self, entry: &Entry, known: &[RegisteredRow<'_>]) -> bool {
        match self {
            Wanted::Matching(pattern) => pattern.matches(&entry.name.to_string_lossy()),
            Wanted::Of(architecture) => known
                .iter()
                .any(|known| std::ptr::eq(known.architecture, *architecture) && *known.described.name == *entry.name),
            Wanted::Called(name) => entry.name == *name,
        }
    }
}
