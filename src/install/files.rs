//! Puts several files in place, all or none.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use nix::sys::stat::{Mode, umask};
use tempfile::TempPath;

use super::place::Place;
use crate::failure::{Doing, Failure, show};
use crate::platform::files::{self, Replacement};

/// Files that are being put in place. If this is dropped before [`Installation::keep`], the old
/// files are restored.
#[derive(Debug)]
pub struct Installation {
    done: Vec<Step>,
    /// The lock, released when everything is kept or undone.
    lock: Option<Flock<File>>,
}

#[derive(Debug)]
enum Step {
    Directory(PathBuf),
    New(PathBuf),
    /// The old file under a temporary name; dropping this removes that.
    Replaced {
        path: PathBuf,
        before: TempPath,
    },
}

impl Installation {
    /// Begins an installation, and removes files that interrupted ones left. Without the registry's
    /// lock, makes the prefix and locks it.
    ///
    /// # Errors
    /// [`Failure::Io`].
    pub fn begin(place: &Place, locked: bool) -> Result<Self, Failure> {
        // All users must be able to read the installed files from the start.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
        let mut installation = Installation { done: Vec::new(), lock: None };
        while !locked && installation.lock.is_none() {
            installation.directory_of(&place.on_disk(&place.prefix).join("bin"))?;
            installation.lock = place.lock()?;
        }
        for left in place.left() {
            report(Doing::Remove, &left, fs::remove_file(&left));
        }
        Ok(installation)
    }

    /// Makes the directory of `path`, and those above it.
    ///
    /// # Errors
    /// [`Failure::Io`].
    pub fn directory_of(&mut self, path: &Path) -> Result<(), Failure> {
        let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|directory| !directory.exists()).collect();
        for directory in missing.into_iter().rev().filter(|directory| !directory.as_os_str().is_empty()) {
            match fs::create_dir(directory) {
                // Another run made it just now.
                Err(_) if directory.is_dir() => continue,
                made => made.map_err(|error| Failure::io(Doing::Make, directory, error))?,
            }
            log::info!("{}: directory made", show(directory.as_os_str()));
            self.done.push(Step::Directory(directory.to_owned()));
        }
        Ok(())
    }

    /// Puts a file in its place, with this mode.
    ///
    /// # Errors
    /// [`Failure::Io`]; then the old file is still there.
    pub fn file(&mut self, file: Replacement, mode: u32) -> Result<(), Failure> {
        let path = file.path().to_owned();
        let failed = |error| Failure::io(Doing::Write, &path, error);
        file.file().set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
        let step = if path.symlink_metadata().is_ok() {
            let before = files::beside(&path, |name| kept(&path, name)).map_err(failed)?.into_temp_path();
            Step::Replaced { path: path.clone(), before }
        } else {
            Step::New(path.clone())
        };
        file.finish()?;
        self.done.push(step);
        Ok(())
    }

    /// Makes a link to `target` at `path`, unless it exists.
    ///
    /// # Errors
    /// [`Failure::Io`].
    pub fn link(&mut self, target: &str, path: &Path) -> Result<(), Failure> {
        if fs::read_link(path).is_ok_and(|found| found == Path::new(target)) {
            return Ok(());
        }
        symlink(target, path).map_err(|error| Failure::io(Doing::Write, path, error))?;
        log::info!("{}: link made, to {target}", show(path.as_os_str()));
        self.done.push(Step::New(path.to_owned()));
        Ok(())
    }

    /// Keeps the new files.
    pub fn keep(mut self) {
        for step in self.done.drain(..) {
            if let Step::Replaced { before, .. } = step {
                let name = before.to_path_buf();
                report(Doing::Remove, &name, before.close());
            }
        }
    }

    /// Restores the old state.
    pub fn take_back(&mut self) {
        if !self.done.is_empty() {
            log::info!("files changed back: {}", self.done.len());
        }
        for step in self.done.drain(..).rev() {
            match step {
                Step::Directory(path) => match fs::remove_dir(&path) {
                    // Another process has put a file there meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                    removed => report(Doing::Remove, &path, removed),
                },
                Step::New(path) => report(Doing::Remove, &path, fs::remove_file(&path)),
                Step::Replaced { path, before } => {
                    report(Doing::Restore, &path, before.persist(&path).map_err(|error| error.error));
                }
            }
        }
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// Gives the file at `path` a second name, or copies it where hard links are not possible.
fn kept(path: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(path, name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::copy(path, name).map(drop),
        linked => linked,
    }
}

/// Reports a failure of undoing or cleaning up. The caller gets the original failure.
fn report(doing: Doing, path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        Failure::io(doing, path, error).report();
    }
}
