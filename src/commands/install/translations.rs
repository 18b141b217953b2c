//! The translations in the new image: those of the requested root directories, and what is kept of
//! the earlier installation.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use dispatch_table::ArchTable;

use super::{Job, Whole};
use crate::failure::Failure;
use crate::image::emulators::Source;
use crate::install::earlier::Earlier;
use crate::translate::keep::Former;
use crate::translate::request::Training;
use crate::translate::roots::Root;

/// The options.
#[derive(Clone, Debug, clap::Args)]
pub struct Translate {
    #[command(flatten)]
    training: Training,
    /// Keep no translations, and forget the root directories that they were made from
    #[arg(long, conflicts_with = "translate")]
    no_translations: bool,
}

/// What the new image gets, and what the snippet remembers.
#[derive(Debug, Default)]
pub struct Translations {
    roots: Vec<Root>,
    /// By the row's title, the emulator's path, and its translations; none if they are to be empty.
    given: BTreeMap<String, (PathBuf, Rc<Vec<u8>>)>,
    /// Whether there are to be none at all.
    none: bool,
}

impl Translate {
    /// The root directories that are named.
    ///
    /// # Errors
    /// One is of no architecture in the table, or cannot be remembered.
    pub fn asked(&self, table: &ArchTable) -> Result<Vec<Root>, Failure> {
        self.training.roots(table)?.into_iter().map(Root::lasting).collect()
    }
}

impl Translations {
    /// Makes them, or without `making` only finds out what the snippet remembers.
    ///
    /// # Errors
    /// As [`Former::settle`].
    pub fn make(job: &Job<'_>, making: bool) -> Result<Self, Failure> {
        let options = &job.args.translate;
        if options.no_translations {
            return Ok(Translations { none: true, ..Self::default() });
        }
        let mut roots = options.asked(job.table)?;
        let earlier = Earlier::read(&job.args.place, job.table)?;
        let former = Former {
            image: earlier.as_ref().map(|earlier| &earlier.image),
            roots: earlier.as_ref().map_or(&[], |earlier| &earlier.roots),
        };
        if roots.is_empty() && !former.has_any() {
            return Ok(Self::default());
        }
        let Whole { mut emulators, .. } = job.whole()?;
        if making {
            former.settle(job.table, &roots, &mut emulators)?;
        }
        let is_new = |root: &&Root| !roots.iter().any(|new| new.architecture == root.architecture);
        let is_installed = |root: &&Root| emulators.iter().any(|it| it.architecture.name == root.architecture);
        let kept: Vec<Root> = former.roots.iter().filter(is_new).filter(is_installed).cloned().collect();
        roots.extend(kept);
        let given = emulators
            .into_iter()
            .filter_map(|source| Some((source.architecture.title(), (source.path.clone(), source.trained?))));
        Ok(Translations { roots, given: given.collect(), none: false })
    }

    /// The root directories that the snippet remembers.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Gives the emulators their translations. If an emulator has been replaced since these were
    /// made, it ignores them.
    pub fn give(&self, emulators: &mut [Source<'_>]) {
        for source in emulators {
            let given = self.given.get(&source.architecture.title()).filter(|(path, _)| *path == source.path);
            source.trained = match given {
                Some((_, bytes)) => Some(Rc::clone(bytes)),
                None if self.none => Some(Rc::default()),
                None => None,
            };
        }
    }
}
