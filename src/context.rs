//! Which table and which image this run of the command uses.

use std::path::{Path, PathBuf, absolute};

use dispatch_table::ArchTable;

use crate::defaults;
use crate::failure::{Doing, Failure, show};
use crate::image::site::{self, Site};
use crate::image::{self, Effective, OpenImage};

/// The table and image of this run.
#[derive(Debug)]
pub struct Context {
    /// The architectures.
    pub table: ArchTable,
    /// The image that this process runs from, or else the table.
    pub image: Effective,
    /// Whether `--table` was given.
    given: bool,
}

impl Context {
    /// The context of a command. `written` is for one that writes an image: the site's tables that
    /// go into it. `rows` is the file of `--table`.
    ///
    /// # Errors
    /// A table cannot be read, or is wrong.
    pub fn new(written: Option<(Site, PathBuf)>, rows: Option<&Path>) -> Result<Self, Failure> {
        // An image brings its own table and emulators. A new image starts from the built-in table:
        // a row that the site has removed from its tables must not survive.
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

    /// The table of the image that is registered, or is to be: the one at `path`, or at the default
    /// path. Without such an image, or with `--table`, it is the table of this run.
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
            // The command itself reports what is wrong with the image.
            _ => Ok(self.table.clone()),
        }
    }
}

/// The image that a command works on: the one given, else the one that this process runs from, else
/// the default.
///
/// # Errors
/// The current directory is gone.
pub fn image_path(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => absolute(path).map_err(|error| Failure::io(Doing::Find, path, error)),
        None => Ok(image::own_path().unwrap_or_else(|| defaults::IMAGE.into())),
    }
}

/// The image at `path`, which is for this machine.
///
/// # Errors
/// There is no image at `path`, or it is for other hosts.
pub fn open_image(path: &Path) -> Result<OpenImage, Failure> {
    there(path, OpenImage::open(path))
}

/// The image at `path`, whatever hosts it is for.
///
/// # Errors
/// There is no image at `path`.
pub fn open_image_of_any_host(path: &Path) -> Result<OpenImage, Failure> {
    there(path, OpenImage::open_of_any_host(path))
}

fn there(path: &Path, opened: Result<Option<OpenImage>, Failure>) -> Result<OpenImage, Failure> {
    match opened {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(Failure::NotAnImage { path: path.to_owned() }),
        Err(Failure::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::NoImage { path: path.to_owned() })
        }
        Err(failure) => Err(failure),
    }
}
