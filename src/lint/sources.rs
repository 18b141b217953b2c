//! The files that are checked, in the order in which systemd-binfmt reads them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::finding::Check;
use crate::binfmt_d::{DIRECTORIES, Files};
use crate::failure::show;
use crate::platform::rooted;

/// A file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, for display.
    pub path: PathBuf,
    /// Where it is, with all links resolved as in its own system.
    pub real: PathBuf,
    /// What systemd-binfmt does with it.
    pub standing: Standing,
}

/// What systemd-binfmt does with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It registers its lines.
    Read,
    /// It finds nothing in it: the file is empty, or a link to /dev/null.
    Masked,
    /// It reads another file of the same name instead.
    Overridden(PathBuf),
    /// It passes over the file because of its name.
    Ignored,
}

impl Standing {
    /// The name, as it is in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Read => "read",
            Standing::Masked => "masked",
            Standing::Overridden(_) => "overridden",
            Standing::Ignored => "ignored",
        }
    }

    /// The finding for a file that is not read.
    pub fn check(&self) -> Check {
        match self {
            Standing::Overridden(_) => Check::Overridden,
            Standing::Ignored => Check::IgnoredName,
            Standing::Masked | Standing::Read => Check::Masked,
        }
    }

    /// What that finding says.
    pub fn message(&self) -> String {
        match self {
            Standing::Overridden(by) => {
                format!("is not read, as {} has the same name and comes first", show(by.as_os_str()))
            }
            Standing::Ignored => "is not read: systemd-binfmt reads files that are called NAME.conf".into(),
            Standing::Masked | Standing::Read => {
                "registers nothing, and hides files of the same name in later directories".into()
            }
        }
    }
}

/// The files that were named, in that order.
pub fn named(paths: &[PathBuf]) -> Vec<Source> {
    let source = |path: &PathBuf| Source { path: path.clone(), real: path.clone(), standing: Standing::Read };
    paths.iter().map(source).collect()
}

/// The files of the directories that systemd-binfmt reads in the system rooted at `root`.
pub fn of_system(root: &Path) -> Vec<Source> {
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in DIRECTORIES {
        // Where /lib is a link to /usr/lib, the last two are one.
        match rooted::resolve(root, Path::new(directory)) {
            Ok(real) if !directories.contains(&real) => directories.push(real),
            _ => {}
        }
    }
    let files = Files::list(&directories);
    let mut sources = Vec::new();
    for paths in files.read.into_values() {
        let first = paths.first().cloned().unwrap_or_default();
        for (number, path) in paths.into_iter().enumerate() {
            let overridden = (number > 0).then(|| Standing::Overridden(first.clone()));
            let real = real(root, &path);
            let standing = overridden.unwrap_or_else(|| standing(&real));
            sources.push(Source { path, real, standing });
        }
    }
    let ignored = |path: PathBuf| Source { real: path.clone(), path, standing: Standing::Ignored };
    sources.extend(files.ignored.into_iter().map(ignored));
    sources
}

/// Where a file of a directory below `root` is; the file itself if its links lead nowhere.
fn real(root: &Path, path: &Path) -> PathBuf {
    let inside = path.strip_prefix(root).unwrap_or(path);
    rooted::resolve(root, inside).unwrap_or_else(|_| {
        // A root directory need not have a /dev.
        let null = fs::read_link(path).is_ok_and(|target| target == OsStr::new("/dev/null"));
        if null { PathBuf::from("/dev/null") } else { path.to_owned() }
    })
}

fn standing(real: &Path) -> Standing {
    let Ok(metadata) = fs::metadata(real) else { return Standing::Read };
    // The null device is 1:3 (Documentation/admin-guide/devices.txt).
    let null = metadata.file_type().is_char_device() && (major(metadata.rdev()), minor(metadata.rdev())) == (1, 3);
    if null || metadata.is_file() && metadata.len() == 0 { Standing::Masked } else { Standing::Read }
}
