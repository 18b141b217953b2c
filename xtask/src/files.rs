//! Files and directories that appear when they are complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::Result;

/// A temporary directory in `directory`, on the same file system, so that its contents can be moved
/// there by a rename. Its path is absolute. It is removed when it is dropped.
pub fn work_in(directory: &Path) -> Result<TempDir> {
    let failed = |error| format!("{}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(failed)?;
    Ok(tempfile::Builder::new().prefix(".partial.").tempdir_in(absolute(directory)?).map_err(failed)?)
}

/// Moves `new` to `place`. What was there is then called `new`, or `new` with the extension `.old`.
pub fn put(new: &Path, place: &Path) -> Result<()> {
    match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => {}
        // Not every file system supports an exchange.
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(place, new.with_extension("old"))?,
        exchanged => return Ok(exchanged?),
    }
    Ok(fs::rename(new, place)?)
}

/// Writes a file.
pub fn write(file: &Path, text: &str) -> Result<()> {
    let work = work_in(file.parent().unwrap_or(file))?;
    let new = work.path().join("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, file)?)
}

/// Removes a directory with its contents, if it exists.
pub fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}

/// The paths in `directory` whose names end with `end`, sorted.
pub fn with_ending(directory: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(end) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_replaced() {
        let work = tempfile::tempdir().unwrap();
        let place = work.path().join("place");
        for round in ["1", "2"] {
            let new = work_in(work.path()).unwrap();
            let tree = new.path().join("tree");
            fs::create_dir(&tree).unwrap();
            fs::write(tree.join("file"), round).unwrap();
            put(&tree, &place).unwrap();
            assert_eq!(fs::read_to_string(place.join("file")).unwrap(), round);
        }
        let text = work.path().join("text");
        write(&text, "a\n").unwrap();
        write(&text, "b\n").unwrap();
        assert_eq!(fs::read_to_string(&text).unwrap(), "b\n");
        // No temporary file is left.
        assert_eq!(with_ending(work.path(), "").unwrap(), [place, text.clone()]);
        assert_eq!(with_ending(work.path(), "xt").unwrap(), [text]);
    }
}
