//! Which table and which image this run of the command uses.

use std::path::{Path, PathBuf, absolute};

use dispatch_table::ArchTable;

use crate::defaults;
use crate::failure::{Doing, Failure, show};
use crate::image::site::{self, Site};
use crate::image::{self, Effective, OpenImage};

/// What decides about programs in this run.
#[derive(Debug)]
pub struct Context {
    /// The architectures.
    pub table: ArchTable,
    /// The image that this process was started from, or else the table.
    pub image: Effective,
    /// Whether a person has given rows for the table.
    given: bool,
}

impl Context {
    /// For a command that writes an image with these tables of the site's own, if it does; with the rows in the file `rows`.
    ///
    /// # Errors
    /// A table cannot be read, or is wrong.
    pub fn new(written: Option<(Site, PathBuf)>, rows: Option<&Path>) -> Result<Self, Failure> {
        // An image brings its own table, and emulators. What goes into the next one begins anew: a row that the site has taken
        // out of its tables must not live on.
        let own = image::own();
        let table = match (written, &own) {
            (Some((site, directory)), _) => site.merged(ArchTable::builtin(), &directory)?,
            (None, Some(own)) => own.table()?,
            (None, None) => ArchTable::builtin(),
        };
        log::info!(
            "the table: {}",
            if own.is_some() { "that of the image this command was started from" } else { "built in" }
        );
        let (table, own) = match rows {
            Some(path) => (site::merged(table, path)?, None),
            None => (table, own),
        };
        let image = own.map_or_else(|| Effective::Table(table.compile()), Effective::Image);
        Ok(Context { table, image, given: rows.is_some() })
    }

    /// The table of what is registered, or is to be: that of the image at `path`, or at the default one; the one of this run
    /// if there is none, or if a person has given rows for it.
    ///
    /// # Errors
    /// As [`image_path`] and [`OpenImage::table`].
    pub fn registered(&self, path: Option<&Path>) -> Result<ArchTable, Failure> {
        let path = image_path(path)?;
        match OpenImage::open(&path) {
            Ok(Some(image)) if !self.given => {
                log::info!("the table: that of {}", show(path.as_os_str()));
                image.table()
            }
            // What is wrong with it is for the command to find.
            _ => Ok(self.table.clone()),
        }
    }
}

/// The file that a command is about: the one given, or the image that this process runs from, or the default.
///
/// # Errors
/// The current directory is gone.
pub fn image_path(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => absolute(path).map_err(|error| Failure::io(Doing::Find, path, error)),
        None => Ok(image::own_path().unwrap_or_else(|| defaults::IMAGE.into())),
    }
}

/// The image at `path`.
///
/// # Errors
/// There is none, with what to do about it.
pub fn open_image(path: &Path) -> Result<OpenImage, Failure> {
    match OpenImage::open(path) {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(Failure::NotAnImage { path: path.to_owned() }),
        Err(Failure::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::NoImage { path: path.to_owned() })
        }
        Err(failure) => Err(failure),
    }
}
