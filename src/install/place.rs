//! The place of an installation, and the files that belong to it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dispatch_core::NAME;
use nix::fcntl::{Flock, FlockArg};

use super::documents;
use crate::defaults;
use crate::failure::{Doing, Failure};
use crate::formats::binfmt_d::MARK;
use crate::platform::files;

/// The paths below the prefix. The image is in no directory of PATH, because only the kernel starts
/// it.
const IMAGE: &str = "libexec/binfmt-dispatch/binfmt-dispatch";
const COMMAND: &str = "bin/binfmt-dispatch";
/// systemd registers in the order of file names, and the last entry wins (`boot.rs`). Snippets of
/// other packages, named after packages or emulators, sort before this one.
const SNIPPET: &str = "lib/binfmt.d/zz-binfmt-dispatch.conf";
/// The name of the snippet in earlier versions.
const EARLIER_SNIPPET: &str = "lib/binfmt.d/binfmt-dispatch.conf";
/// The target of the link.
pub const LINK: &str = "../libexec/binfmt-dispatch/binfmt-dispatch";

/// The place of an installation.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Directory that contains bin, lib, libexec and share. systemd reads snippets below /usr and
    /// /usr/local only; with another prefix nothing is registered at boot
    #[arg(long, value_name = "DIR", default_value = defaults::PREFIX)]
    pub prefix: PathBuf,
    /// Work on the system rooted at DIR; touch nothing outside
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

impl Place {
    /// # Errors
    /// The prefix is not absolute.
    pub fn check(&self) -> Result<(), Failure> {
        if self.prefix.is_absolute() {
            return Ok(());
        }
        Err(Failure::Usage(format!("{}: the prefix has to be an absolute path", self.prefix.display())))
    }

    /// The path of the image in the target system.
    pub fn image(&self) -> PathBuf {
        self.prefix.join(IMAGE)
    }

    /// The path of the link in the target system.
    pub fn command(&self) -> PathBuf {
        self.prefix.join(COMMAND)
    }

    /// The path of the snippet for systemd in the target system.
    pub fn snippet(&self) -> PathBuf {
        self.prefix.join(SNIPPET)
    }

    /// Paths of image, link and snippet on this system.
    pub fn files(&self) -> [PathBuf; 3] {
        [self.image(), self.command(), self.snippet()].map(|path| self.on_disk(&path))
    }

    /// The path in the target system of the snippet that earlier versions wrote.
    pub fn earlier_snippet(&self) -> PathBuf {
        self.prefix.join(EARLIER_SNIPPET)
    }

    /// Directories of the installation's files, on this system. They can be removed once they are
    /// empty.
    pub fn directories(&self) -> Vec<PathBuf> {
        let files = [self.image(), self.snippet()];
        let directories = files.iter().filter_map(|file| file.parent()).map(|directory| self.on_disk(directory));
        directories.chain(documents::directories(self)).collect()
    }

    /// Locks the prefix, which keeps other runs from changing files below it; `None` if it does not
    /// exist. Only runs without a registry use this: any user can lock a directory, and root must
    /// not have to wait for other users.
    ///
    /// # Errors
    /// The prefix cannot be read.
    pub fn lock(&self) -> Result<Option<Flock<File>>, Failure> {
        let path = self.on_disk(&self.prefix);
        let failed = |error| Failure::io(Doing::Lock, &path, error);
        loop {
            let directory = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                directory => directory.map_err(failed)?,
            };
            let lock = Flock::lock(directory, FlockArg::LockExclusive);
            let lock = lock.map_err(|(_, errno)| failed(errno.into()))?;
            // A run that failed meanwhile may have removed the prefix again.
            let file = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let locked = lock.metadata().map(file).map_err(failed)?;
            if path.metadata().is_ok_and(|metadata| file(metadata) == locked) {
                return Ok(Some(lock));
            }
        }
    }

    /// Files on this system that killed runs left.
    pub fn left(&self) -> Vec<PathBuf> {
        let files = [self.image(), self.snippet()].into_iter().map(|path| self.on_disk(&path));
        let documents = documents::directories(self).into_iter().map(|directory| directory.join(NAME));
        files.chain(documents).flat_map(|path| files::left_beside(&path)).collect()
    }

    /// The path on this system of a path in the target system.
    pub fn on_disk(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// The prefix of the installation whose image is at `image`, if it is at the place of one.
pub fn prefix_of(image: &Path) -> Option<&Path> {
    image.ancestors().nth(Path::new(IMAGE).components().count()).filter(|prefix| prefix.join(IMAGE) == image)
}

/// Whether the file is the link to the image.
pub fn is_link(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new(LINK))
}

/// Whether the file is a snippet that `install` wrote.
pub fn is_snippet(path: &Path) -> bool {
    fs::read(path).is_ok_and(|text| text.split(|byte| *byte == b'\n').nth(1) == Some(MARK.as_bytes()))
}
