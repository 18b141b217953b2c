//! `--install`: registers the image that this command runs from.

use std::collections::BTreeSet;
use std::path::Path;

use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture};

use super::{Args, own_image};
use crate::failure::{self, ContainerFault, Failure, note};
use crate::output::json::Bytes;
use crate::platform::host;
use crate::platform::signals::SignalGuard;
use crate::registry::registration::{self, Changes, Goal, Item, Outcome, Replace};
use crate::registry::selection::Interpreter;
use crate::registry::{Registry, ownership};

/// Registers the `named` architectures, or all that the image has emulators for. What is not
/// possible does not keep the others from being registered. The result is an exit code.
///
/// # Errors
/// Nothing is registered.
pub(super) fn run(
    args: &Args,
    named: Option<&[&Architecture]>,
    table: &ArchTable,
    registry: &Registry,
) -> Result<u8, Failure> {
    let (path, image) = own_image()?;
    let (embedded, identity) = (image.embedded()?, image.identity());
    let (wanted, mut failures) = wanted(table, named, &embedded);
    let leftovers = registration::finish_leftovers(registry, table, &path, true)?;
    let transparent = registration::knows_transparent(registry, false)?;
    let credentials = args.credentials;
    let interpreter = Interpreter { path: &path, embedded: &embedded, credentials, transparent };
    let replace = if args.replace { Replace::All } else { Replace::Different };
    let goal =
        Goal { table, named: Some(&wanted), kept: &[], interpreter, replace, identity: Some(&identity), probing: true };
    let (changes, refused) = registration::plan_possible(registry, goal)?;
    for failure in refused {
        match failure {
            // The request is met.
            Failure::Native { architecture } if named.is_some() => {
                note(format_args!("{architecture}: this machine runs such programs by itself"));
            }
            Failure::Native { .. } => {}
            failure => failures.push(failure),
        }
    }
    failure::report_all(&failures);
    changes.warn(interpreter);
    let _guard = SignalGuard::begin();
    let outcomes = changes.prove(registry, true)?;
    changes.make(registry, &outcomes, || {})?;
    leftovers.finish(registry);
    tell(&changes, &outcomes, &path);
    let failed = outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Failed);
    let code = if failed { EXIT_NO } else { 0 };
    Ok(failures.first().map_or(code, Failure::exit_code))
}

/// The architectures to register, and why others that were named are not possible: only an embedded
/// emulator works when the container is gone.
fn wanted<'t>(
    table: &'t ArchTable,
    named: Option<&[&'t Architecture]>,
    embedded: &BTreeSet<String>,
) -> (Vec<&'t Architecture>, Vec<Failure>) {
    let possible = |row: &&Architecture| embedded.contains(&row.name) || row.disabled.is_some();
    let Some(named) = named else { return (table.architectures().iter().filter(possible).collect(), Vec::new()) };
    let (wanted, others): (Vec<&Architecture>, Vec<&Architecture>) =
        named.iter().partition(|row| possible(row) || host::may_be_native(row));
    let fault = |row: &Architecture| ContainerFault::NotEmbedded { architecture: row.name.clone() };
    (wanted, others.into_iter().map(fault).map(Failure::Container).collect())
}

/// Says what was done for each architecture.
fn tell(changes: &Changes<'_>, outcomes: &[(&Item<'_>, Outcome)], own: &Path) {
    debug_assert_eq!(changes.items.len(), outcomes.len());
    for (item, outcome) in outcomes {
        let before = item.changes.iter().find_map(|change| change.before.as_ref());
        let done = match (outcome, before) {
            // Its fault was reported.
            (Outcome::Failed, _) => continue,
            (Outcome::Kept, _) => "is installed already".to_owned(),
            (Outcome::Disabled, _) => "is disabled, and its programs are refused".to_owned(),
            (_, None) => "installed".to_owned(),
            (_, Some(before)) if before.interpreter == own => "installed in place of another image".to_owned(),
            (_, Some(before)) => {
                let interpreter = ownership::show(&Bytes::from(&before.interpreter), false);
                format!("installed in place of {interpreter}")
            }
        };
        note(format_args!("{}: {done}", item.architecture.name));
    }
}
