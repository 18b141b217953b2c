//! The image for the registry of one command: the file that this process runs from, or an image in
//! memory.
//!
//! It embeds every emulator that can be embedded, because a root directory that the command makes or
//! enters has none. That takes 25 ms for each emulator, and as much memory as the emulators are
//! large, while the registry exists.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use dispatch_table::{ArchTable, Architecture};
use nix::errno::Errno;
use nix::sys::memfd::MFdFlags;

use super::destination::Destination;
use super::emulators::{self, OWN_IMAGE, Source};
use super::own::{own, this_command};
use super::writer::{Content, write};
use crate::failure::{Doing, Failure, warn};
use crate::platform::{memfd, process};
use crate::progress;

/// An image to register.
#[derive(Debug)]
pub struct Temporary {
    /// Its file. An image in memory exists while a process or the kernel has it open.
    pub file: File,
    /// The architectures whose emulators it embeds.
    pub embedded: BTreeSet<String>,
}

impl Temporary {
    /// The image that this process runs from, if it has this table and embeds all that could be
    /// embedded for `rows`. Otherwise an image in memory, with the emulators that are installed, and
    /// those of the image that this process runs from.
    ///
    /// # Errors
    /// No file in memory can be made, or a file cannot be read.
    pub fn with_emulators(table: &ArchTable, rows: &[&Architecture]) -> Result<Self, Failure> {
        let own = own().map(Rc::new);
        let images: Vec<_> = own.iter().map(|own| (own, OWN_IMAGE)).collect();
        let mut sources = emulators::find(table, rows, &[], &images)?;
        sources.retain(|source| match source.can_be_embedded() {
            Ok(()) => true,
            Err(reason) => {
                log::info!("{}: opened by its path, as it {reason}", source.shown());
                false
            }
        });
        if let Some(own) = own {
            let runs: BTreeSet<String> = own.programs()?.into_iter().flat_map(|program| program.runs).collect();
            if own.table()? == *table && sources.iter().all(|source| runs.contains(&source.architecture.title())) {
                let embedded = own.embedded()?;
                let path = Path::new("/proc/self/exe");
                let file = File::open(path).map_err(|error| Failure::io(Doing::Read, path, error))?;
                return Ok(Temporary { file, embedded });
            }
        }
        match Self::in_memory(table, rows, &sources) {
            Err(failure @ Failure::NotForImage { .. }) => {
                warn(format_args!("{failure}; all emulators are opened by their paths"));
                Self::without_emulators(table, rows)
            }
            written => written,
        }
    }

    /// An image in memory that embeds none.
    ///
    /// # Errors
    /// No file in memory can be made.
    pub fn without_emulators(table: &ArchTable, rows: &[&Architecture]) -> Result<Self, Failure> {
        Self::in_memory(table, rows, &[])
    }

    fn in_memory(table: &ArchTable, rows: &[&Architecture], emulators: &[Source<'_>]) -> Result<Self, Failure> {
        let name = Path::new(memfd::SHOWN);
        let file = memfd::executable(c"binfmt-dispatch", MFdFlags::MFD_CLOEXEC).map_err(|errno| match errno {
            Errno::EACCES => Failure::MemoryForbidden,
            errno => Failure::io(Doing::Make, name, errno.into()),
        })?;
        let titles: BTreeSet<String> = emulators.iter().map(|source| source.architecture.title()).collect();
        let embedded = rows.iter().map(|row| row.name.clone()).filter(|name| titles.contains(name)).collect();
        let outside = rows.iter().flat_map(|row| row.variants()).filter(|row| !titles.contains(&row.title()));
        let destination = Destination::here();
        let content = Content {
            table,
            destination,
            command: this_command()?,
            emulators,
            examine: true,
            outside: outside.collect(),
            // The image in memory shows nobody its versions, and to start an emulator that has to be
            // read from a disk takes longer than to read it.
            ask_all: false,
            prelink: destination.addresses(),
            seed: process::random().map_err(Failure::Random)?,
        };
        let written = write(&content, &file, name);
        progress::clear();
        written.map(|()| Temporary { file, embedded })
    }
}
