//! `uninstall`: undoes `install`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use dispatch_core::NAME;
use dispatch_table::{ArchTable, Architecture};

use crate::documents::is_document;
use crate::failure::{Doing, Failure, show};
use crate::image::OpenImage;
use crate::install::documents;
use crate::install::place::{Place, is_link, is_snippet};
use crate::output::print;
use crate::platform::signals::SignalGuard;
use crate::registry::ownership;
use crate::registry::question::Asker;
use crate::registry::{Entry, Registry};
use crate::{context, defaults};

/// Remove the files that `install` wrote, and their entries from the kernel
///
/// Missing files are skipped, and files of other software stay. The directory
/// libexec/binfmt-dispatch is removed if it is empty, and so are lib/binfmt.d and the directories of
/// man pages and completions if a file was removed from them. All other directories stay.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Where `binfmt_misc` is mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    mount: PathBuf,
    /// Only print what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Uninstalls; the result is an exit code.
///
/// # Errors
/// The prefix is wrong, or nothing can be printed. Other failures are reported, and the code is
/// that of the first.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    args.place.check()?;
    let mut removal = Removal { dry_run: args.dry_run, ..Removal::default() };
    let registry = match args.place.root {
        Some(_) => None,
        None => removal.registry(&args.mount),
    };
    // Held to the end, as in `install`: another run may be about to write what this one removes.
    let lock = registry.as_ref().filter(|_| !args.dry_run).and_then(|registry| removal.tried(registry.lock()));
    if let Some(registry) = registry.filter(|_| args.dry_run || lock.is_some()) {
        removal.unregister(&registry, table, &args.place.image());
    }
    let _files = match lock {
        None if !args.dry_run => match args.place.lock()? {
            // Not even the prefix exists.
            None => return removal.end(),
            files => files,
        },
        _ => None,
    };
    let [image, command, snippet] = args.place.files();
    let _guard = SignalGuard::begin();
    removal.file(&snippet, is_snippet);
    let earlier = args.place.on_disk(&args.place.earlier_snippet());
    if is_snippet(&earlier) {
        removal.file(&earlier, is_snippet);
    }
    removal.file(&command, is_link);
    documents::directories(&args.place).iter().for_each(|directory| removal.documents(directory));
    args.place.left().iter().for_each(|left| removal.file(left, |_| true));
    // The image goes last, since it knows what it was registered for.
    removal.file(&image, OpenImage::is_at);
    args.place.directories().iter().for_each(|directory| removal.directory(directory));
    removal.end()
}

#[derive(Default)]
struct Removal {
    dry_run: bool,
    done: String,
    /// Output: files that are removed, or would be.
    files: Vec<PathBuf>,
    failures: Vec<Failure>,
}

impl Removal {
    fn end(self) -> Result<u8, Failure> {
        print(&self.done)?;
        self.failures.iter().for_each(Failure::report);
        Ok(self.failures.first().map_or(0, Failure::exit_code))
    }

    fn tried<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        result.map_err(|failure| self.failures.push(failure)).ok()
    }

    fn registry(&mut self, mount: &Path) -> Option<Registry> {
        match Registry::open(mount) {
            // Without a registry nothing is registered.
            Err(Failure::NotMounted { .. } | Failure::NoBinfmtMisc) => {
                log::info!("there is no registry");
                None
            }
            registry => self.tried(registry),
        }
    }

    /// Removes the entries whose interpreter is `image`, whatever registered them.
    fn unregister(&mut self, registry: &Registry, table: &ArchTable, image: &Path) {
        // The image knows the entries that it was registered for.
        let own = context::open_image(image).and_then(|image| image.table());
        let table = own.as_ref().unwrap_or(table);
        let Some(entries) = self.tried(registry.entries()) else { return };
        let Some(asker) = self.tried(Asker::new(registry, &entries, table)) else { return };
        let ask = |entry: &Entry, architecture: &Architecture| asker.ask(entry, architecture);
        let known = ownership::look_up(table, &entries, image, ask);
        let left = ownership::leftovers(&known, &entries, image, ask).into_iter();
        // Other images may still need a temporary entry that has programs.
        let left = left.filter(|left| left.entry.interpreter == image || !left.covers || left.elsewhere);
        let known = known.into_iter().filter(|known| known.ours).filter_map(|known| known.registered);
        let known = known.filter(|entry| entry.interpreter == image);
        let wanted: Vec<Entry> = known.chain(left.map(|left| left.entry)).collect();
        let _guard = SignalGuard::begin();
        for entry in wanted {
            let removed = if self.dry_run { Ok(()) } else { registry.unregister(&entry.name) };
            self.note(&entry.name.to_string_lossy(), removed);
        }
    }

    fn file(&mut self, path: &Path, ours: impl Fn(&Path) -> bool) {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                log::info!("{}: not there", show(path.as_os_str()));
            }
            Err(error) => self.failures.push(Failure::io(Doing::Remove, path, error)),
            Ok(_) if !ours(path) => self.failures.push(Failure::InTheWay { path: path.to_owned() }),
            Ok(_) => {
                let removed = if self.dry_run { Ok(()) } else { fs::remove_file(path) };
                let removed = removed.map_err(|error| Failure::io(Doing::Remove, path, error));
                if removed.is_ok() && !self.dry_run {
                    log::info!("{}: removed", show(path.as_os_str()));
                }
                if removed.is_ok() {
                    self.files.push(path.to_owned());
                }
                self.note(&path.display().to_string(), removed);
            }
        }
    }

    /// Removes the documents in a directory.
    fn documents(&mut self, directory: &Path) {
        let before = self.done.len();
        let documents = documents::installed(directory);
        documents.iter().for_each(|document| self.file(document, is_document));
        // One line for all of them.
        self.done.truncate(before);
        let removed = self.files.iter().map(PathBuf::as_path).filter(|file| documents.iter().any(|path| path == file));
        let what = if self.dry_run { "would be removed" } else { "removed" };
        self.done += &documents::counts(removed, what);
    }

    /// Removes an empty directory that has the name of binfmt-dispatch, or had one of its files.
    fn directory(&mut self, path: &Path) {
        let ours = path.ends_with(NAME) || self.files.iter().any(|file| file.parent() == Some(path));
        let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let only_ours =
            |mut files: fs::ReadDir| files.all(|file| file.is_ok_and(|file| self.files.contains(&file.path())));
        if !ours || !is_directory || !fs::read_dir(path).is_ok_and(only_ours) {
            return;
        }
        let removed = if self.dry_run { Ok(()) } else { fs::remove_dir(path) };
        match removed {
            // Another process has put a file there meanwhile.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => {
                let removed = removed.map_err(|error| Failure::io(Doing::Remove, path, error));
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
