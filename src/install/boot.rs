//! Predicts what systemd-binfmt does with a snippet at each boot (binfmt.d(5)).
//!
//! systemd reads the files of all its directories in the order of their names. Of files with the
//! same name, it reads only the one in the first directory. An entry replaces an earlier one of the
//! same name, and the last entry that accepts a program wins. So a snippet has to sort after others
//! with entries for the same programs, such as Debian's `qemu-aarch64.conf`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use binfmt_misc::grammar;

use super::place::Place;
use crate::binfmt_d::{COMMENTS, DIRECTORIES, Files};
use crate::failure::{Failure, show, warn};
use crate::platform::kernel::Version;
use crate::registry::RegisterLine;

/// Where binfmt-support keeps its formats, one file each (update-binfmts(8)).
const FORMATS: &str = "/var/lib/binfmts";

/// Whether each kernel that the machine boots knows flag T: the others refuse lines with it. `here`
/// says whether the running kernel knows it; it is one of them, unless the system is not running.
pub fn knows_transparent(place: &Place, here: bool) -> bool {
    let installed = Version::installed(&place.on_disk(Path::new("/")));
    let running = here || place.root.is_some();
    running && !installed.is_empty() && installed.iter().all(|version| *version >= Version::TRANSPARENT)
}

/// The lines as the snippet has them: with flag T if it is `transparent`, or else with P.
pub fn lines(lines: &[RegisterLine], transparent: bool) -> Result<Vec<RegisterLine>, Failure> {
    let suited = |line: &RegisterLine| {
        let flags = line.flags();
        let flags = if transparent { flags.made_transparent() } else { flags.made_preserving() };
        line.with_flags(flags).map_err(|fault| Failure::BadLine { entry: line.name().to_owned(), fault })
    };
    lines.iter().map(suited).collect()
}

/// Warns if the lines of the snippet will not take effect at the next boot, with the reason.
pub fn warn_of(place: &Place, lines: &[RegisterLine]) {
    let snippet = place.on_disk(&place.snippet());
    let (Some(own), Some(name)) = (snippet.parent(), snippet.file_name()) else { return };
    let directories = DIRECTORIES.map(|directory| real(&place.on_disk(Path::new(directory))));
    let files = Files::list(&directories).read;
    let files: Vec<(&OsString, &PathBuf)> =
        files.iter().filter_map(|(name, paths)| Some((name, paths.first()?))).collect();
    match files.iter().find(|(other, _)| *other == name).map(|(_, path)| path) {
        Some(path) if real(path) == real(&snippet) => {}
        Some(path) => warn(format_args!(
            "{}: hides {}, so nothing is registered at boot: remove it",
            show(path.as_os_str()),
            show(snippet.as_os_str()),
        )),
        // The snippet does not exist yet.
        None if directories.contains(&real(own)) => {}
        None => warn(format_args!(
            "{}: systemd does not look there, so nothing is registered at boot: link it into /etc/binfmt.d",
            show(snippet.as_os_str()),
        )),
    }
    for (_, path) in files.iter().filter(|(other, _)| **other > *name) {
        if let Some(entry) = winning(path, lines) {
            warn(format_args!(
                "{}: registers {} after binfmt-dispatch at each boot, and takes precedence: give it a name that sorts before {}",
                show(path.as_os_str()),
                show(entry.name()),
                show(name),
            ));
        }
    }
    for (path, entry) in formats(&place.on_disk(Path::new(FORMATS))) {
        // A name that is in use is left alone.
        if wins(&entry, lines) && !lines.iter().any(|ours| ours.name() == entry.name()) {
            warn(format_args!(
                "{}: binfmt-support registers {1} after binfmt-dispatch at each boot, and takes precedence: remove the \
                 package, or the format with `update-binfmts --remove {1} {2}`",
                show(path.as_os_str()),
                show(entry.name()),
                show(entry.interpreter().as_os_str()),
            ));
        }
    }
}

/// The formats that binfmt-support registers at boot, with their files.
fn formats(directory: &Path) -> Vec<(PathBuf, RegisterLine)> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let format = |path: PathBuf| {
        let text = fs::read(&path).ok()?;
        // Package, type, offset, magic or extension, mask, interpreter; then what does not matter.
        let mut fields = text.split(|byte| *byte == b'\n').skip(1);
        let kind: &[u8] = if fields.next()? == b"magic" { b"M" } else { b"E" };
        let [offset, magic, mask, interpreter] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
        let name = path.file_name()?.as_encoded_bytes();
        let line = [b"", name, kind, offset, magic, mask, interpreter, b""].join(&b':');
        Some((path, grammar::parse(&line).ok()?))
    };
    let mut formats: Vec<_> = files.filter_map(|file| format(file.path())).collect();
    formats.sort_by(|(one, _), (other, _)| one.cmp(other));
    formats
}

/// Whether an entry that is registered later gets programs of one of `lines`.
fn wins(entry: &RegisterLine, lines: &[RegisterLine]) -> bool {
    let overlaps = |ours: &RegisterLine| ours.rule().zip(entry.rule()).is_some_and(|(ours, its)| ours.overlaps(its));
    lines.iter().any(|ours| ours.name() == entry.name() || overlaps(ours))
}

/// The path with all links resolved, if it exists.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The first entry of a file that accepts programs of one of `lines`.
fn winning(path: &Path, lines: &[RegisterLine]) -> Option<RegisterLine> {
    let text = fs::read(path).ok()?;
    let entries = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let entries = entries.filter(|line| line.first().is_some_and(|byte| !COMMENTS.contains(byte)));
    // The kernel may accept a line that this parser does not, but its programs are unknown.
    entries.filter_map(|line| grammar::parse(line).ok()).find(|entry| wins(entry, lines))
}
