//! Where an installation is, and which files there are ours.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::snippet::MARK;
use crate::defaults;
use crate::failure::{Doing, Failure};
use crate::image::OpenImage;
use crate::platform::files;

/// The places below the prefix. The image is outside every PATH, since the kernel starts it and nobody else has to.
const IMAGE: &str = "libexec/binfmt-dispatch/binfmt-dispatch";
const COMMAND: &str = "bin/binfmt-dispatch";
/// systemd registers in the order of the files' names, and the last entry wins (`boot.rs`): others' snippets, which have the
/// names of packages or emulators, come before.
const SNIPPET: &str = "lib/binfmt.d/zz-binfmt-dispatch.conf";
/// Its name in earlier installations.
const EARLIER_SNIPPET: &str = "lib/binfmt.d/binfmt-dispatch.conf";
/// What the command is a link to.
pub const LINK: &str = "../libexec/binfmt-dispatch/binfmt-dispatch";

/// Where an installation is.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The directory that has bin, lib and libexec; systemd looks below /usr and /usr/local only, so elsewhere nothing is
    /// registered at boot
    #[arg(long, value_name = "DIR", default_value = defaults::PREFIX)]
    pub prefix: PathBuf,
    /// The root of another system, whose files alone are touched
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

    /// The image, as the system that it is for sees it.
    pub fn image(&self) -> PathBuf {
        self.prefix.join(IMAGE)
    }

    /// The link that people call, likewise.
    pub fn command(&self) -> PathBuf {
        self.prefix.join(COMMAND)
    }

    /// The snippet for systemd, likewise.
    pub fn snippet(&self) -> PathBuf {
        self.prefix.join(SNIPPET)
    }

    /// Image, link and snippet, from here.
    pub fn files(&self) -> [PathBuf; 3] {
        [self.image(), self.command(), self.snippet()].map(|path| self.on_disk(&path))
    }

    /// Where the snippet of earlier installations is, likewise.
    pub fn earlier_snippet(&self) -> PathBuf {
        self.prefix.join(EARLIER_SNIPPET)
    }

    /// The directories that are nobody else's if an installation's file was in them and nothing else is, from here.
    pub fn directories(&self) -> Vec<PathBuf> {
        let files = [self.image(), self.snippet()];
        files.iter().filter_map(|file| file.parent()).map(|directory| self.on_disk(directory)).collect()
    }

    /// Keeps other runs from the files below the prefix, which has to be there, as long as the lock lives; `None` if it is
    /// not. That is for runs that have no registry: anybody can lock a directory, and make root wait.
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
            // A run that failed meanwhile may have removed the prefix that it had made.
            let file = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let locked = lock.metadata().map(file).map_err(failed)?;
            if path.metadata().is_ok_and(|metadata| file(metadata) == locked) {
                return Ok(Some(lock));
            }
        }
    }

    /// Files that runs left which were killed, from here.
    pub fn left(&self) -> Vec<PathBuf> {
        [self.image(), self.snippet()].iter().flat_map(|path| files::left_beside(&self.on_disk(path))).collect()
    }

    /// Where a path of that system is from here.
    pub fn on_disk(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// Whether the file is an image, be it a damaged one.
pub fn is_image(path: &Path) -> bool {
    matches!(OpenImage::open(path), Ok(Some(_)) | Err(Failure::DamagedImage { .. }))
}

/// Whether the file is the link to the image.
pub fn is_link(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new(LINK))
}

/// Whether the file is a snippet of ours.
pub fn is_snippet(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.lines().nth(1) == Some(MARK))
}
