//! The image that this process runs from, and the parts of it that go into a new image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use super::destination::{Destination, check_host};
use super::interpreter::{Interpreter, InterpreterFault};
use super::reader::OpenImage;
use super::writer::Command;
use crate::failure::{Doing, Failure};
use crate::platform::process;

/// The file that this process was started from, even if its path now names another file. As the
/// path of an entry's interpreter it is the image of a container: when the kernel opens it, the
/// process is the one that registers.
pub const OWN: &str = "/proc/self/exe";

/// A path of the file that this process was started from. Without a /proc, it is the path given to
/// execve(2).
fn own_file() -> PathBuf {
    let own = PathBuf::from(OWN);
    if own.exists() { own } else { process::started_by().unwrap_or(own) }
}

/// The image that this process was started from; `None` if it was started from another file.
pub fn own() -> Option<OpenImage> {
    let path = own_file();
    let image = OpenImage::open(&path).ok().flatten()?;
    // The path given to execve(2) may name another file by now.
    (path == Path::new(OWN) || image.is_of_this_build()).then_some(image)
}

/// The path of the image that this process runs from, if it still exists.
pub fn own_path() -> Option<PathBuf> {
    own()?;
    let own = own_file();
    if own != Path::new(OWN) {
        return absolute(own).ok();
    }
    let path = fs::read_link(&own).ok()?;
    let [own, there] = [fs::metadata(own).ok()?, fs::metadata(&path).ok()?].map(|file| (file.dev(), file.ino()));
    (own == there).then_some(path)
}

/// The image that this process was started from, and a path by which the kernel opens it at
/// registration, also if no other process could: [`OWN`], or without a /proc its own path.
pub fn registrable() -> Option<(PathBuf, OpenImage)> {
    let image = own()?;
    let path = own_file();
    Some((absolute(path).ok()?, image))
}

/// The command of this process, for a new image.
///
/// # Errors
/// [`Failure::Io`]: its file is missing.
pub fn this_command() -> Result<Command, Failure> {
    let path = &own_file();
    let name = fs::read_link(path).unwrap_or_else(|_| path.to_owned());
    let bytes = match own() {
        Some(image) => image.program_elf(dispatch_core::image::COMMAND)?,
        None => fs::read(path).map_err(|error| Failure::io(Doing::Read, path, error))?,
    };
    Ok(Command { bytes, path: name.to_string_lossy().into_owned(), interpreter: Interpreter::own().clone() })
}

/// The command for `destination` in the file at `path`, which may be an image of it, for an image.
///
/// # Errors
/// [`Failure::Io`], [`Failure::OtherHost`], [`Failure::NotACommand`] and [`Failure::DamagedImage`].
pub fn command_at(path: &Path, destination: Destination) -> Result<Command, Failure> {
    let bytes = match OpenImage::open_of_any_host(path)? {
        Some(image) => image.program_elf(dispatch_core::image::COMMAND)?,
        None => fs::read(path).map_err(|error| Failure::io(Doing::Read, path, error))?,
    };
    let interpreter = Interpreter::of_command(&bytes)
        .map_err(|fault| Failure::NotACommand { path: path.to_owned(), version: fault == InterpreterFault::Version })?;
    check_host(path, destination.host())?;
    Ok(Command { bytes, path: path.to_string_lossy().into_owned(), interpreter })
}
