//! Reading files, and writing files that appear complete or not at all.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags as LinkFlags, OFlag};
use nix::unistd::{AccessFlags, access, linkat};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use tempfile::{NamedTempFile, TempPath};

use super::memfd;
use crate::failure::{Doing, Failure, show};

/// Opens a regular file. Other files are refused: opening a pipe would block, and opening a device
/// may have effects.
pub fn open(path: &Path) -> io::Result<File> {
    let regular = |metadata: std::fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(io::Error::other("not a regular file")),
    };
    regular(path.metadata()?)?;
    // The path may lead to another file by now.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    regular(file.metadata()?)?;
    Ok(file)
}

/// The contents of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`] and read(2), and if the file is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    // The end of some files in /proc is not known before.
    let size = file.metadata()?.len();
    if size <= most {
        file.take(most + 1).read_to_end(&mut bytes)?;
    }
    match size.max(bytes.len() as u64) > most {
        true => Err(io::Error::other(format!("larger than {} MiB", most >> 20))),
        false => Ok(bytes),
    }
}

/// Whether this process may execute the file at `path`, and not read it.
pub fn is_for_execution_alone(path: &Path) -> bool {
    let may = |what| access(path, what).is_ok();
    path.is_file() && may(AccessFlags::X_OK) && !may(AccessFlags::R_OK)
}

/// The mount that has the file at `path`: the highest directory above it on the same one.
pub fn mount_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let mount = |path: &Path| {
        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
        // Before Linux 5.8 mounts have no number there, only devices have.
        let number = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
        Some((found.stx_dev_major, found.stx_dev_minor, number.then_some(found.stx_mnt_id)))
    };
    let own = mount(&path)?;
    path.ancestors().take_while(|above| mount(above) == Some(own)).last().map(Path::to_owned)
}

/// Fills `buffer` from `offset` on; the result is shorter only at the end of the file.
///
/// # Errors
/// As pread(2).
pub fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file that appears at `path` when it is complete, or not at all.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    /// Its temporary name, if it needs one.
    name: Option<TempPath>,
    path: PathBuf,
    /// Whether it has to be whole even after a power failure.
    durable: bool,
}

impl Replacement {
    /// Begins an executable file for `path`.
    ///
    /// # Errors
    /// [`Failure::Io`]: nothing can be written there, or something other than a file is there.
    pub fn begin(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::io(Doing::Write, path, error);
        // The rename would replace a device or a pipe with a file.
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(metadata) if !metadata.is_file() => return Err(failed(io::Error::other("not a regular file"))),
            _ => {}
        }
        // The umask applies, as for any file that a person creates.
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o755);
        // A file without a name leaves nothing behind if this process is killed. Not every file
        // system can do that, and linking it to a name later needs /proc.
        let unnamed = || options.clone().custom_flags(OFlag::O_TMPFILE.bits()).open(directory(path)).ok();
        let (file, name) = match memfd::has_paths().then(unnamed).flatten() {
            Some(file) => (file, None),
            None => {
                let create = |path: &Path| options.create_new(true).open(path);
                let (file, name) = beside(path, create).map_err(failed)?.into_parts();
                (file, Some(name))
            }
        };
        Ok(Replacement { file, name, path: path.to_owned(), durable: true })
    }

    /// A file with this text.
    ///
    /// # Errors
    /// As [`Replacement::begin`], or it cannot be written.
    pub fn of(path: &Path, text: &[u8]) -> Result<Self, Failure> {
        let file = Replacement::begin(path)?;
        (&file.file).write_all(text).map_err(|error| Failure::io(Doing::Write, path, error))?;
        Ok(file)
    }

    /// The same file, which a power failure may spoil. Waiting for the disk takes most of the time
    /// of a small file.
    pub fn spoilable(self) -> Self {
        Replacement { durable: false, ..self }
    }

    /// The path to write to until then.
    pub fn staged(&self) -> PathBuf {
        let named = self.name.as_ref().map(|name| name.to_path_buf());
        named.or_else(|| memfd::path(&self.file)).unwrap_or_default()
    }

    /// The final path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`Failure::Io`]; then the old file is still there.
    pub fn finish(self) -> Result<(), Failure> {
        let failed = |error| Failure::io(Doing::Write, &self.path, error);
        if self.durable {
            self.file.sync_all().map_err(failed)?;
        }
        let name = match self.name {
            Some(name) => name,
            None => {
                let staged = self.staged();
                let link = |name: &Path| Ok(linkat(AT_FDCWD, &staged, AT_FDCWD, name, LinkFlags::AT_SYMLINK_FOLLOW)?);
                beside(&self.path, link).map_err(failed)?.into_temp_path()
            }
        };
        name.persist(&self.path).map_err(|error| failed(error.error))?;
        log::info!("{}: written", show(self.path.as_os_str()));
        if !self.durable {
            return Ok(());
        }
        File::open(directory(&self.path))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| Failure::io(Doing::Write, &self.path, error))
    }
}

/// Prefix of the names of files that are being put in place or removed.
const TEMPORARY: &str = ".binfmt-dispatch-";
/// Number of random letters and digits that follow the prefix.
const RANDOM: usize = 6;

/// Makes a temporary file in the directory of `path`. `tempfile` would do it, but adds its own
/// words to errors.
pub fn beside<F>(path: &Path, make: impl FnMut(&Path) -> io::Result<F>) -> io::Result<NamedTempFile<F>> {
    tempfile::Builder::new().prefix(TEMPORARY).rand_bytes(RANDOM).make_in(directory(path), make)
}

/// Files in the directory of `path` that killed runs left.
pub fn left_beside(path: &Path) -> Vec<PathBuf> {
    let named = |name: &OsStr| {
        let random = name.as_encoded_bytes().strip_prefix(TEMPORARY.as_bytes());
        random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
    };
    // If the directory cannot be read, nothing was written to it either.
    let files = fs::read_dir(directory(path)).into_iter().flatten().flatten();
    let left = files.filter(|file| named(&file.file_name()) && file.file_type().is_ok_and(|kind| kind.is_file()));
    left.map(|file| file.path()).collect()
}

/// The directory of `path`. The parent of a bare name is the empty path, which cannot be opened.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
