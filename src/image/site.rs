//! The site's own tables, whose rows go into an image.

use std::io;
use std::path::Path;

use dispatch_table::ArchTable;

use crate::failure::{Doing, Failure, show};
use crate::platform::files;

/// Largest table, in bytes. The built-in one has less than 64 KiB.
const LARGEST: u64 = 16 << 20;

/// Which of the site's tables are used.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Site {
    /// Ignore the tables in /etc/binfmt-dispatch
    #[arg(long)]
    pub no_site: bool,
}

impl Site {
    /// `table` with the rows in the files `*.json` of `directory`, in the order of their names.
    ///
    /// # Errors
    /// A file cannot be read, or is not a table; the message names the file and the row.
    pub fn merged(self, mut table: ArchTable, directory: &Path) -> Result<ArchTable, Failure> {
        if self.no_site {
            return Ok(table);
        }
        let failed = |error| Failure::io(Doing::Read, directory, error);
        let files = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(table),
            files => files.map_err(failed)?,
        };
        let mut paths = Vec::new();
        for file in files {
            let path = file.map_err(failed)?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            table = merged(table, &path)?;
        }
        Ok(table)
    }
}

/// The text of a table.
///
/// # Errors
/// As [`files::read`], and if it is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(files::read(path, LARGEST)?).map_err(|_| io::Error::other("not UTF-8"))
}

/// `table` with the rows in the file at `path`.
///
/// # Errors
/// The file cannot be read, or is not a table.
pub fn merged(table: ArchTable, path: &Path) -> Result<ArchTable, Failure> {
    let json = read(path).map_err(|error| Failure::UnreadableTable { path: path.to_owned(), error })?;
    log::info!("{}: rows for the table", show(path.as_os_str()));
    // Messages name the file, so it is found from any directory.
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let named = show(file.as_os_str()).to_string();
    table
        .merge_file(&json, Some(&named))
        .map_err(|error| Failure::BadTable { path: path.to_owned(), error: Box::new(error) })
}
