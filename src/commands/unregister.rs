//! `unregister`: removes the entries that `register` made, and no others.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use dispatch_table::{ArchTable, Architecture};

use crate::failure::{self, Failure};
use crate::output::print;
use crate::registry::ownership::{self, RegisteredRow};
use crate::registry::question::Asker;
use crate::registry::registration;
use crate::registry::{Entry, Registry};
use crate::{architectures, context, defaults};

/// Remove the entries of binfmt-dispatch from the kernel
///
/// Entries of the same names that other software registered stay; naming one is an error.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Architectures, by any of their names; default: all
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// Remove all entries of binfmt-dispatch; this is the default
    #[arg(long, conflicts_with = "architectures")]
    all: bool,
    /// The image that was registered; needed only if its entries are disabled, and it was not in
    /// the default place and is gone
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Where `binfmt_misc` is mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    mount: PathBuf,
    /// Only print what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Removes the entries; the result is an exit code.
///
/// # Errors
/// Nothing can be removed. Failures of single entries are reported, and the code is that of the
/// first.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let named = architectures::named(table, &args.architectures)?.filter(|_| !args.all);
    let image = context::image_path(args.image.as_deref())?;
    let registry = Registry::open(&args.mount)?;
    let _lock = if args.dry_run { None } else { Some(registry.lock()?) };
    if !args.dry_run {
        registration::finish_leftovers(&registry, table, &image, true)?;
    }
    let entries = registry.entries()?;
    let asker = Asker::new(&registry, &entries, table)?;
    let ask = |entry: &Entry, architecture: &Architecture| asker.ask(entry, architecture);
    let known = ownership::look_up(table, &entries, &image, ask);
    let (removable, mut failures): (Vec<&RegisteredRow<'_>>, _) = match &named {
        None => (known.iter().filter(|known| known.ours).collect(), Vec::new()),
        Some(architectures) => {
            let asked = |architecture| known.iter().filter(move |known| std::ptr::eq(known.architecture, architecture));
            sort(architectures.iter().map(|architecture| asked(*architecture).collect()))
        }
    };
    let mut done = String::new();
    let wanted = |name: &OsStr| removable.iter().any(|known: &&RegisteredRow<'_>| *known.described.name == *name);
    // Only if the change could not be completed, for instance without the file.
    let left = ownership::leftovers(&known, &entries, &image, ask);
    let left = left.into_iter().filter(|left| named.is_none() || wanted(&left.name));
    let left: Vec<String> = left.map(|left| left.entry.name.to_string_lossy().into_owned()).collect();
    for name in removable.iter().map(|known| &known.described.name).chain(&left) {
        if args.dry_run {
            done += &format!("{name}: would be removed\n");
            continue;
        }
        match registry.unregister(OsStr::new(name)) {
            Ok(()) => done += &format!("{name}: removed\n"),
            Err(failure) => failures.push(failure),
        }
    }
    print(done)?;
    failure::report_all(&failures);
    Ok(failures.first().map_or(0, Failure::exit_code))
}

/// Which of the requested architectures can be removed, and why the others cannot. An architecture
/// is registered if one of its entries is.
fn sort<'k, 't>(
    architectures: impl Iterator<Item = Vec<&'k RegisteredRow<'t>>>,
) -> (Vec<&'k RegisteredRow<'t>>, Vec<Failure>) {
    let (mut removable, mut failures) = (Vec::new(), Vec::new());
    for entries in architectures {
        if let Some(first) = entries.first().filter(|_| entries.iter().all(|known| known.registered.is_none())) {
            failures.push(Failure::NotRegistered { entry: first.described.name.clone().into() });
        }
        for known in entries {
            match &known.registered {
                Some(_) if known.ours => removable.push(known),
                Some(entry) => failures
                    .push(Failure::NotOurs { entry: entry.name.clone(), interpreter: entry.interpreter.clone() }),
                None => {}
            }
        }
    }
    (removable, failures)
}
