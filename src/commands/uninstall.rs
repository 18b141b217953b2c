//! `uninstall`: takes back what `install` did.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use dispatch_table::{ArchTable, Architecture};

use crate::failure::{Doing, Failure, show};
use crate::install::place::Place;
use crate::install::place::{is_image, is_link, is_snippet};
use crate::output::print;
use crate::registry::ownership;
use crate::registry::question::Asker;
use crate::registry::transaction::SignalGuard;
use crate::registry::{Entry, Registry};
use crate::{context, defaults};

/// Remove what `install` installed, and its entries from the kernel's registry
///
/// What is missing is passed over, and what is somebody else's is left alone. Directories go too, if they are empty and
/// no system has them anyway.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Where binfmt_misc is mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    mount: PathBuf,
    /// Only say what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Removes; the result is an exit code.
///
/// # Errors
/// The prefix is wrong, or nothing can be printed; everything else is reported, and the code is that of the first.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    args.place.check()?;
    let mut removal = Removal { dry_run: args.dry_run, done: String::new(), failures: Vec::new() };
    if args.place.root.is_none() {
        match Registry::open(&args.mount) {
            Ok(registry) => removal.unregister(&registry, table, &args.place.image()),
            // Then nothing is registered either.
            Err(Failure::NotMounted { .. } | Failure::NoBinfmtMisc) => log::info!("there is no registry"),
            Err(failure) => removal.failures.push(failure),
        }
    }
    let place = |path: PathBuf| args.place.on_disk(&path);
    let _guard = SignalGuard::begin();
    removal.file(&place(args.place.snippet()), is_snippet);
    let earlier = place(args.place.earlier_snippet());
    if is_snippet(&earlier) {
        removal.file(&earlier, is_snippet);
    }
    removal.file(&place(args.place.command()), is_link);
    args.place.left().iter().for_each(|left| removal.file(left, |_| true));
    // The last one, since it knows what it was registered for.
    removal.file(&place(args.place.image()), is_image);
    for directory in args.place.directories().into_iter().filter(|_| !args.dry_run) {
        // Unless somebody has something there.
        let _ = fs::remove_dir(place(directory));
    }
    print(&removal.done)?;
    removal.failures.iter().for_each(Failure::report);
    Ok(removal.failures.first().map_or(0, Failure::exit_code))
}

struct Removal {
    dry_run: bool,
    done: String,
    failures: Vec<Failure>,
}

impl Removal {
    /// Removes the entries whose interpreter is `image`, however they came there.
    fn unregister(&mut self, registry: &Registry, table: &ArchTable, image: &Path) {
        // The image knows the entries that it was registered for.
        let own = context::open_image(image).and_then(|image| image.table());
        let table = own.as_ref().unwrap_or(table);
        let _lock = match (!self.dry_run).then(|| registry.lock()).transpose() {
            Ok(lock) => lock,
            Err(failure) => return self.failures.push(failure),
        };
        let _guard = SignalGuard::begin();
        let entries = match registry.entries() {
            Ok(entries) => entries,
            Err(failure) => return self.failures.push(failure),
        };
        let asker = match Asker::new(registry, &entries, table) {
            Ok(asker) => asker,
            Err(failure) => return self.failures.push(failure),
        };
        let ask = |entry: &Entry, architecture: &Architecture| asker.ask(entry, architecture);
        let known = ownership::look_up(table, &entries, image, ask);
        let left = ownership::leftovers(&known, &entries, image, ask).into_iter();
        // Others of ours may still need a temporary entry that has programs.
        let left = left.filter(|left| left.entry.interpreter == image || !left.covers || left.elsewhere);
        let known = known.into_iter().filter(|known| known.ours).filter_map(|known| known.registered);
        let known = known.filter(|entry| entry.interpreter == image);
        for entry in known.chain(left.map(|left| left.entry)) {
            let removed = if self.dry_run { Ok(()) } else { registry.unregister(&entry.name) };
            self.note(&entry.name.to_string_lossy(), removed);
        }
    }

    fn file(&mut self, path: &Path, ours: impl Fn(&Path) -> bool) {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                log::info!("{}: not there", show(path.as_os_str()))
            }
            Err(error) => self.failures.push(Failure::io(Doing::Remove, path, error)),
            Ok(_) if !ours(path) => self.failures.push(Failure::InTheWay { path: path.to_owned() }),
            Ok(_) => {
                let removed = if self.dry_run { Ok(()) } else { fs::remove_file(path) };
                let removed = removed.map_err(|error| Failure::io(Doing::Remove, path, error));
                if removed.is_ok() && !self.dry_run {
                    log::info!("{}: removed", show(path.as_os_str()));
                }
                self.note(&path.display().to_string(), removed);
            }
        }
    }

    fn note(&mut self, name: &str, removed: Result<(), Failure>) {
        match removed {
            Ok(()) if self.dry_run => self.done += &format!("{name}: would be removed\n"),
            Ok(()) => self.done += &format!("{name}: removed\n"),
            Err(failure) => self.failures.push(failure),
        }
    }
}
