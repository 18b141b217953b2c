//! What an installation does with the translations of the one that it replaces: keeps them for the
//! same build of the emulator, makes new ones for another, or says that there are none any more.

use std::collections::BTreeSet;
use std::rc::Rc;

use dispatch_core::NAME;
use dispatch_table::ArchTable;

use super::request::translate;
use super::roots::Root;
use crate::failure::{Failure, show, warn};
use crate::image::emulators::Source;
use crate::image::translations::Keeper;
use crate::image::{OpenImage, Translated};

/// The installation that is replaced.
#[derive(Debug)]
pub struct Former<'f> {
    /// Its image, if it can be read.
    pub image: Option<&'f Rc<OpenImage>>,
    /// The root directories that it remembers.
    pub roots: &'f [Root],
}

/// Why translations are dropped.
enum Reason<'r> {
    /// They are for another build of the emulator or another CPU model, and no root directory is
    /// remembered.
    Other,
    /// The same, and this keeps the programs of a root directory from being run again.
    Obstacle(&'r str),
    /// The emulator keeps none.
    KeepsNone,
    /// New ones could not be made.
    Failed(Failure),
}

impl Former<'_> {
    /// Whether there is anything to keep.
    pub fn has_any(&self) -> bool {
        let translated = |image: &Rc<OpenImage>| {
            let programs = image.programs().unwrap_or_default();
            programs.iter().any(|program| image.translated(program.number).is_some())
        };
        !self.roots.is_empty() || self.image.is_some_and(translated)
    }

    /// Gives the emulators in `sources` translations: those of the root directories `asked`, and for
    /// other architectures those of this installation, or new ones if their emulator is another
    /// build. Warns of those that are dropped.
    ///
    /// # Errors
    /// As [`translate`] for `asked`; an emulator cannot be read; [`Failure::Interrupted`].
    pub fn settle(&self, table: &ArchTable, asked: &[Root], sources: &mut [Source<'_>]) -> Result<(), Failure> {
        translate(table, asked, sources)?;
        let is_asked = |name: &String| asked.iter().any(|root| root.architecture == *name);
        // A row for a directory has its architecture's emulator, or one of its own.
        let names: BTreeSet<String> = sources.iter().map(|source| source.architecture.name.clone()).collect();
        names.into_iter().filter(|name| !is_asked(name)).try_for_each(|name| self.keep(table, &name, sources))
    }

    /// Settles one architecture.
    fn keep(&self, table: &ArchTable, name: &str, sources: &mut [Source<'_>]) -> Result<(), Failure> {
        let Some(index) = sources.iter().position(|source| source.architecture.title() == name) else { return Ok(()) };
        let roots: Vec<Root> = self.roots.iter().filter(|root| root.architecture == name).cloned().collect();
        let source = &sources[index];
        let own = source.in_image().and_then(|(image, number)| Some((image, number, image.translated(number)?)));
        let former = self.image.and_then(|image| {
            let number = image.emulator_for(name).ok()??.number;
            Some((image, number, image.translated(number)?))
        });
        let known: Vec<_> = own.into_iter().chain(former).collect();
        if roots.is_empty() && known.is_empty() {
            return Ok(());
        }
        let had = !known.is_empty();
        let keeper = Keeper::of(&source.bytes()?);
        let version = source.version();
        let model = source.architecture.tuned(version.parse().ok().as_ref()).cpu;
        let fits = |translated: &Translated| {
            keeper.is_some_and(|keeper| keeper.build == translated.build)
                && model.is_none_or(|model| model == translated.model)
        };
        if let Some((image, number, _)) = known.iter().find(|(.., translated)| fits(translated)) {
            log::info!("{name}: translations kept");
            sources[index].trained = image.translations(*number).map(Rc::new);
            return Ok(());
        }
        let (mut there, mut obstacles) = (Vec::new(), Vec::new());
        for root in roots {
            match root.obstacle() {
                Some((path, why)) => obstacles.push(format!("{} {why}", show(path.as_os_str()))),
                None => there.push(root),
            }
        }
        let reason = match (there.is_empty(), obstacles.first()) {
            _ if keeper.is_none() => Reason::KeepsNone,
            (true, Some(obstacle)) => Reason::Obstacle(obstacle),
            (true, None) => Reason::Other,
            (false, _) => match translate(table, &there, sources) {
                Ok(()) => {
                    obstacles.iter().for_each(|obstacle| warn(format!("{name}: translated in part: {obstacle}")));
                    return Ok(());
                }
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(failure) => Reason::Failed(failure),
            },
        };
        warn(reason.told(name, &sources[index], had));
        // Those of the image that the emulator is taken from are no better.
        sources[index].trained = Some(Rc::default());
        Ok(())
    }
}

impl Reason<'_> {
    /// The warning for an architecture and its emulator. `had` says whether there were translations.
    fn told(&self, name: &str, source: &Source<'_>, had: bool) -> String {
        let again = format!("run `{NAME} install {name} --translate ROOT` for new ones");
        let dropped = format!("{name}: installed without translations");
        let other = "those from before are for another build of the emulator or another CPU model";
        match self {
            Reason::Other => format!("{dropped}: {other}: {again}"),
            Reason::Obstacle(obstacle) if had => format!("{dropped}: {other}, and {obstacle}: {again}"),
            Reason::Obstacle(obstacle) => format!("{dropped}: {obstacle}: {again}"),
            Reason::KeepsNone => format!(
                "{dropped}: {} keeps none: name an emulator that `ci/emulators` builds with --from, or give \
                 --no-translations",
                source.shown()
            ),
            Reason::Failed(failure) => format!("{dropped}: no new ones can be made: {failure}"),
        }
    }
}
