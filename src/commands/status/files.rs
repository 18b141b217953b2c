//! The files at the paths of interpreters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::image::OpenImage;

/// The identity of an image, and the architectures whose emulators it embeds.
type Found = (String, BTreeSet<String>);

/// The files at interpreters' paths, each read once: many entries share one. The outer `None` is no
/// file, the inner one no image.
#[derive(Default)]
pub(super) struct Files(BTreeMap<PathBuf, Option<Option<Found>>>);

impl Files {
    /// The image at `path`.
    fn at(&mut self, path: &Path) -> Option<Option<&Found>> {
        let read = || {
            path.symlink_metadata().ok()?;
            let image = OpenImage::open(path).ok().flatten();
            Some(image.map(|image| (image.identity(), image.embedded().unwrap_or_default())))
        };
        Some(self.0.entry(path.to_owned()).or_insert_with(read).as_ref()?.as_ref())
    }

    /// Whether the file at `path` is not the image `identity`; `None` if there is no file.
    pub(super) fn differs(&mut self, path: &Path, identity: &str) -> Option<bool> {
        Some(self.at(path)?.is_none_or(|(there, _)| there != identity))
    }

    /// Whether the file at `path` is an image with an emulator for the architecture `name`.
    pub(super) fn embeds(&mut self, path: &Path, name: &str) -> bool {
        self.at(path).flatten().is_some_and(|(_, embedded)| embedded.contains(name))
    }
}
