//! The documents of an installation: man pages, and completions for shells.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::Installation;
use super::place::Place;
use crate::documents::{Directory, Document, is_document};
use crate::failure::{Doing, Failure};
use crate::platform::files::Replacement;

/// The directory that has the others.
const SHARE: &str = "share";

/// The path of a document on this system.
pub fn path(place: &Place, document: &Document) -> PathBuf {
    let packages = directory(place, Directory::ZshOfPackages);
    match document.directory {
        // The distribution says by this directory where its zsh looks.
        Directory::Zsh if packages.is_dir() => packages,
        other => directory(place, other),
    }
    .join(&document.name)
}

/// The documents that are installed in `directory`, of this version or another one.
pub fn installed(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|file| file.path()).filter(|path| is_document(path)).collect()
}

/// One line for each directory of these documents, which says how many there are, and `what`.
pub fn counts<'d>(documents: impl Iterator<Item = &'d Path>, what: &str) -> String {
    let mut counts: Vec<(&Path, usize)> = Vec::new();
    for directory in documents.filter_map(Path::parent) {
        match counts.iter_mut().find(|(other, _)| *other == directory) {
            Some((_, count)) => *count += 1,
            None => counts.push((directory, 1)),
        }
    }
    let line = |(directory, count): (&Path, usize)| {
        let files = if count == 1 { "file" } else { "files" };
        format!("{}: {count} {files} {what}\n", directory.display())
    };
    counts.into_iter().map(line).collect()
}

/// The directories of documents on this system.
pub fn directories(place: &Place) -> Vec<PathBuf> {
    Directory::ALL.into_iter().map(|other| directory(place, other)).collect()
}

fn directory(place: &Place, directory: Directory) -> PathBuf {
    place.on_disk(&place.prefix).join(SHARE).join(directory.path())
}

/// Puts the documents in their places, and returns the paths of those written. One that is there
/// already stays as it is.
///
/// # Errors
/// [`Failure::Io`].
pub fn install(
    place: &Place,
    documents: &[Document],
    installation: &mut Installation,
) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for document in documents {
        let path = path(place, document);
        if fs::read(&path).is_ok_and(|text| text == document.text.as_bytes()) {
            continue;
        }
        installation.directory_of(&path)?;
        // The next installation compares it, and writes it anew.
        installation.file(Replacement::of(&path, document.text.as_bytes())?.spoilable(), 0o644)?;
        written.push(path);
    }
    Ok(written)
}

/// Removes the documents of an earlier installation that this one does not have.
pub fn remove_earlier(place: &Place, documents: &[Document]) {
    let current: Vec<PathBuf> = documents.iter().map(|document| path(place, document)).collect();
    let installed = directories(place).into_iter().flat_map(|directory| installed(&directory));
    for path in installed.filter(|path| !current.contains(path)) {
        let removed = fs::remove_file(&path).map_err(|error| Failure::io(Doing::Remove, &path, error));
        removed.unwrap_or_else(|failure| failure.report());
    }
}

/// Writes the documents into directories below `share`, which need not exist.
///
/// # Errors
/// [`Failure::Io`].
pub fn write(share: &Path, documents: &[Document]) -> Result<(), Failure> {
    for document in documents {
        let directory = share.join(document.directory.path());
        fs::create_dir_all(&directory).map_err(|error| Failure::io(Doing::Make, &directory, error))?;
        let path = directory.join(&document.name);
        fs::write(&path, &document.text).map_err(|error| Failure::io(Doing::Write, &path, error))?;
    }
    Ok(())
}
