//! Gives the stages access to the file system, through the standard library, and records which
//! emulators were tried.

use std::ffi::{CStr, OsStr};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dispatch_core::message::Text;
use dispatch_core::pipeline::{Part, World};
use dispatch_core::table::Identity;
use nix::errno::Errno;

use crate::failure::{show, text};
use crate::platform::{files, memfd};

/// Reads files, and records which ones it was asked to open.
#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// Paths that were tried, each with its outcome.
    pub tried: Vec<(PathBuf, io::Result<()>)>,
}

impl Disk {
    /// Wraps a file that is open already.
    pub fn adopt(&mut self, file: File) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }
}

fn path(string: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(string.to_bytes()))
}

/// The identity of the file, as the interpreter determines it.
pub fn identity(metadata: &Metadata) -> Identity {
    Identity {
        size: metadata.len(),
        inode: metadata.ino(),
        seconds: metadata.mtime() as u64,
        nanoseconds: metadata.mtime_nsec() as u64,
    }
}

fn errno(error: &io::Error) -> i32 {
    // Errors that the standard library makes up itself have no number.
    error.raw_os_error().unwrap_or(Errno::EIO as i32)
}

impl World for Disk {
    type File = usize;

    fn open(&mut self, name: &CStr) -> Result<usize, i32> {
        // Only regular files, as with execve(2); opening a pipe would block.
        let opened = files::open(path(name)).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            None => Errno::EACCES.into(),
        });
        match &opened {
            Ok(_) => log::info!("{}: the emulator, opened", show(path(name).as_os_str())),
            Err(error) => log::info!("{}: no emulator: {}", show(path(name).as_os_str()), text(error)),
        }
        let result = opened.as_ref().map(|_| ()).map_err(errno);
        self.tried.push((path(name).to_path_buf(), result.map_err(io::Error::from_raw_os_error)));
        opened.map(|file| self.adopt(file)).map_err(|error| errno(&error))
    }

    fn read_at<'b>(&mut self, file: usize, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], i32> {
        let read = files::read_full(&self.files[file], buffer, offset);
        read.map(|len| &buffer[..len]).map_err(|error| errno(&error))
    }

    fn identity(&mut self, file: usize) -> Result<Identity, i32> {
        self.files[file].metadata().map(|metadata| identity(&metadata)).map_err(|error| errno(&error))
    }

    fn look_for(&mut self, root: &CStr, name: &CStr) -> Result<(), i32> {
        let mut joined = root.to_bytes().to_vec();
        joined.extend(name.to_bytes());
        let found = Path::new(OsStr::from_bytes(&joined)).metadata();
        let outcome = found.as_ref().map_or_else(text, |_| "there".to_owned());
        log::info!("{}: the dynamic linker: {outcome}", Text(&joined));
        found.map(|_| ()).map_err(|error| errno(&error))
    }

    fn path<'b>(&mut self, file: usize, buffer: &'b mut Part) -> Option<&'b [u8]> {
        let path = std::fs::read_link(memfd::path(&self.files[file])?).ok()?;
        let buffer = buffer.get_mut(..path.as_os_str().len())?;
        buffer.copy_from_slice(path.as_os_str().as_bytes());
        Some(buffer)
    }

    fn env_is_set(&mut self, name: &[u8]) -> bool {
        std::env::var_os(OsStr::from_bytes(name)).is_some()
    }
}
