//! The architectures of the image that an installation replaces. One that names architectures keeps
//! the others.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use binfmt_misc::grammar;
use dispatch_table::{ArchTable, Architecture};

use super::place::{Place, is_snippet};
use crate::failure::Failure;
use crate::image::OpenImage;
use crate::image::emulators::{self, Source};
use crate::translate::roots::{self, Root};

/// The installation at a place.
#[derive(Debug)]
pub struct Earlier<'t> {
    /// Its image.
    pub image: Rc<OpenImage>,
    /// Its architectures, in the order of the table.
    architectures: Vec<&'t Architecture>,
    /// The architectures whose emulators the image embeds.
    embedded: BTreeSet<String>,
    /// The root directories whose programs were translated.
    pub roots: Vec<Root>,
}

impl<'t> Earlier<'t> {
    /// The installation at `place`: the architectures that are registered at each boot, or without a
    /// snippet those that are embedded. `None` if there is no image that can be read.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn read(place: &Place, table: &'t ArchTable) -> Result<Option<Self>, Failure> {
        let [image, _, snippet] = place.files();
        let Some(image) = OpenImage::open(&image).ok().flatten() else { return Ok(None) };
        let text = snippet_text(&snippet);
        let (embedded, entries) = (image.embedded()?, text.as_deref().map(entries));
        let is_installed = |row: &&Architecture| match &entries {
            Some(entries) => row.rules().iter().any(|rule| entries.contains(&OsString::from(&rule.name))),
            None => embedded.contains(&row.name),
        };
        let architectures = table.architectures().iter().filter(is_installed).collect();
        let roots = text.as_deref().map(roots::remembered).unwrap_or_default();
        Ok(Some(Earlier { image: Rc::new(image), architectures, embedded, roots }))
    }

    /// Its architectures, but for the `named` ones.
    pub fn others(&self, named: &[&Architecture]) -> Vec<&'t Architecture> {
        let is_other = |row: &&Architecture| !named.iter().any(|named| named.name == row.name);
        self.architectures.iter().copied().filter(is_other).collect()
    }

    /// The emulators to embed for `kept`, some of its architectures: those that are embedded now.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn sources(&self, kept: &[&'t Architecture]) -> Result<Vec<Source<'t>>, Failure> {
        let embedded: Vec<_> = kept.iter().copied().filter(|row| self.embedded.contains(&row.name)).collect();
        emulators::again(&embedded, &self.image)
    }
}

/// The snippet; `None` if `install` did not write the file.
fn snippet_text(snippet: &Path) -> Option<Vec<u8>> {
    fs::read(snippet).ok().filter(|_| is_snippet(snippet))
}

/// The names of the entries in a snippet.
fn entries(text: &[u8]) -> BTreeSet<OsString> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| grammar::parse(line).ok());
    lines.map(|line| line.name().to_owned()).collect()
}
