//! `register`: registers the image as interpreter of foreign programs, and tries each entry.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use dispatch_core::refusal::EXIT_NO;
use dispatch_table::ArchTable;

use crate::failure::{self, Failure};
use crate::output::{BAD, Cell, Columns, GOOD, print};
use crate::platform::host;
use crate::platform::signals::SignalGuard;
use crate::registry::registration::{self, Changes, Goal, Options, Outcome, Replace};
use crate::registry::selection::{Credentials, Interpreter, Skipped};
use crate::{architectures, context};

/// Register an image with the kernel
///
/// Adds an entry to `binfmt_misc` for every architecture whose emulator is embedded or installed.
/// Each entry is first tried with a tiny program of the architecture. An entry that would capture
/// the host's own programs is refused.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Architectures, by any of their names; `all` or none: every foreign one that has an emulator
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// The image to register; default: the one that this command runs from, else
    /// /usr/libexec/binfmt-dispatch/binfmt-dispatch. The kernel keeps a registered image open, so
    /// registering a new one takes `--replace`
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    #[command(flatten)]
    credentials: Credentials,
    #[command(flatten)]
    options: Options,
    /// Do not try the entries with foreign programs
    #[arg(long)]
    no_probe: bool,
}

/// Registers; the result is an exit code.
///
/// # Errors
/// Nothing can be registered. Problems of single architectures are reported as they are found,
/// before anything is written.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let named = architectures::named(table, &args.architectures)?;
    let path = context::image_path(args.image.as_deref())?;
    let embedded = context::open_image(&path)?.embedded()?;
    let registry = registration::open_registry(&args.options.mount)?;
    let _lock = if args.options.dry_run { None } else { Some(registry.lock()?) };
    let transparent = registration::knows_transparent(&registry, args.options.dry_run)?;
    let interpreter = Interpreter { path: &path, embedded: &embedded, credentials: args.credentials, transparent };
    let leftovers = match args.options.dry_run {
        true => None,
        false => Some(registration::finish_leftovers(&registry, table, &path, !args.no_probe)?),
    };
    let replace = if args.options.replace { Replace::All } else { Replace::Different };
    let named = named.as_deref();
    let goal = Goal { table, named, kept: &[], interpreter, replace, identity: None, probing: !args.no_probe };
    let changes = match registration::plan(&registry, goal) {
        Ok(changes) => changes,
        Err(failures) => {
            failure::report_all(&failures);
            return Ok(failures.first().map_or(EXIT_NO, Failure::exit_code));
        }
    };
    if args.options.dry_run {
        print(changes.all().map(|change| format!("{}\n", change.line)).collect::<String>())?;
        return Ok(0);
    }
    changes.warn(interpreter);
    let _guard = SignalGuard::begin();
    let outcomes = changes.prove(&registry, !args.no_probe)?;
    changes.make(&registry, &outcomes, || {})?;
    leftovers.into_iter().for_each(|leftovers| leftovers.finish(&registry));
    conclude(&changes, &outcomes, interpreter)
}

/// Shows the outcome.
fn conclude(
    changes: &Changes<'_>,
    outcomes: &[(&registration::Item<'_>, Outcome)],
    interpreter: Interpreter<'_>,
) -> Result<u8, Failure> {
    let mut columns = Columns::new(&["ARCHITECTURE", "RESULT", "EMULATOR"]);
    for (item, outcome) in outcomes {
        let result = match outcome {
            Outcome::Ok => Cell::new("ok", GOOD),
            Outcome::Registered => Cell::new("registered", GOOD),
            Outcome::Kept => Cell::new("already registered", GOOD),
            Outcome::Disabled => Cell::from("disabled"),
            Outcome::Failed => Cell::new("failed", BAD),
        };
        let emulator = match host::installed(item.architecture) {
            _ if item.architecture.disabled.is_some() => architectures::disabled(item.architecture),
            _ if interpreter.holds(item.architecture) => "embedded in the image".to_owned(),
            emulator => emulator.map(|path| path.display().to_string()).unwrap_or_default(),
        };
        columns.push([Cell::from(&item.architecture.name), result, emulator.into()]);
    }
    for (architecture, reason) in &changes.skipped {
        let reason = match reason {
            Skipped::Native => "left out: this machine runs such programs natively",
            Skipped::NoEmulator => "left out: no emulator",
        };
        columns.push([architecture.name.clone(), reason.to_owned(), String::new()]);
    }
    print(columns)?;
    let failed = outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Failed);
    Ok(if failed { EXIT_NO } else { 0 })
}
