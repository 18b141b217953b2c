//! Changes of the registry that can be taken back, and during which there is always an entry.
//!
//! An entry cannot be overwritten, and its name is taken until it is removed. So what replaces it is registered by a
//! temporary name first: the newest entry wins, and at every moment one of the two accepts the programs. A run that is
//! interrupted leaves that entry; [`Interrupted`] is how the next one ends the change.

use std::ffi::OsString;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::failure::Failure;
use crate::registry::{Entry, RegisterLine, Registry};

/// Ends the name under which a new entry covers for the one that it replaces.
pub const NEW: &str = ".new";
/// Ends the name under which the entry that was replaced covers while it is brought back.
pub const OLD: &str = ".old";
/// Holds back the signals that people and service managers end programs with, as long as it exists: between removal
/// and registration there is no entry. What came meanwhile acts afterwards.
#[derive(Debug)]
pub struct Uninterrupted {
    before: Option<SigSet>,
}

impl Uninterrupted {
    /// From now on.
    pub fn begin() -> Self {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        // Fails for an invalid argument only.
        Uninterrupted { before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok() }
    }
}

impl Drop for Uninterrupted {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}

/// One entry that is about to change.
#[derive(Debug)]
pub struct Change {
    /// The new entry.
    pub line: RegisterLine,
    /// The one by this name that makes room.
    pub before: Option<Entry>,
}

impl Change {
    /// Makes it. `undoing` is called before what was there is brought back: the kernel opens its interpreter anew.
    ///
    /// # Errors
    /// The kernel refuses; then the registry is as before.
    pub fn make(&self, registry: &Registry, undoing: &mut dyn FnMut()) -> Result<(), Failure> {
        let Some(before) = &self.before else { return registry.register(&self.line) };
        let cover = self.cover(&self.line, NEW)?;
        registry.register(&cover).map_err(|failure| match failure {
            // Its own name says more to a person.
            Failure::InterpreterRefused { interpreter, error, .. } => {
                Failure::InterpreterRefused { entry: self.line.name().to_owned(), interpreter, error }
            }
            failure => failure,
        })?;
        let made = registry.unregister(self.line.name()).and_then(|()| {
            registry.register(&self.line).inspect_err(|_| {
                undoing();
                restore(registry, before).unwrap_or_else(|failure| failure.report());
            })
        });
        remove(registry, &cover);
        made
    }

    /// Takes it back. A second failure is only reported: the one that led here is what the caller is to know.
    pub fn undo(&self, registry: &Registry) {
        let cover = self.before.as_ref().filter(|before| before.enabled).and_then(|before| {
            let cover = line_of(before).and_then(|line| self.cover(&line, OLD));
            let registered = cover.and_then(|cover| registry.register(&cover).map(|()| cover));
            registered.inspect_err(Failure::report).ok()
        });
        remove(registry, &self.line);
        if let Some(before) = &self.before {
            restore(registry, before).unwrap_or_else(|failure| failure.report());
        }
        if let Some(cover) = cover {
            remove(registry, &cover);
        }
    }

    fn cover(&self, line: &RegisterLine, ending: &str) -> Result<RegisterLine, Failure> {
        renamed(line, with(self.line.name().to_owned(), ending))
    }
}

/// Brings an entry back that made room. It becomes the newest, and the kernel opens its interpreter anew: both are lost
/// without a trace when an entry is removed.
fn restore(registry: &Registry, entry: &Entry) -> Result<(), Failure> {
    registry.register(&line_of(entry)?)?;
    if entry.enabled { Ok(()) } else { registry.disable(&entry.name) }
}

fn remove(registry: &Registry, line: &RegisterLine) {
    registry.unregister(line.name()).unwrap_or_else(|failure| failure.report());
}

fn line_of(entry: &Entry) -> Result<RegisterLine, Failure> {
    RegisterLine::of_entry(entry).map_err(|fault| Failure::BadLine { entry: entry.name.clone(), fault })
}

fn renamed(line: &RegisterLine, name: OsString) -> Result<RegisterLine, Failure> {
    line.renamed(&name).map_err(|fault| Failure::BadLine { entry: name, fault })
}

fn with(mut name: OsString, ending: &str) -> OsString {
    name.push(ending);
    name
}

/// A temporary entry that a run left when it was interrupted.
#[derive(Clone, Debug)]
pub struct Interrupted {
    /// The entry.
    pub entry: Entry,
    /// The name that it was on its way to.
    pub name: OsString,
    /// Whether it is what was there before, and was being brought back.
    pub undoing: bool,
}

impl Interrupted {
    /// Ends the change: afterwards the entry has its own name. Its programs run throughout.
    ///
    /// # Errors
    /// The kernel refuses; then the temporary entry is still there, and works as it did.
    pub fn finish(&self, registry: &Registry) -> Result<(), Failure> {
        let mut taken = registry.entry(&self.name)?.is_some();
        if taken && self.undoing {
            registry.unregister(&self.name)?;
            taken = false;
        }
        if !taken {
            registry.register(&renamed(&line_of(&self.entry)?, self.name.clone())?)?;
        }
        registry.unregister(&self.entry.name)
    }
}

/// Makes all changes or none. `undoing` is called before anything is taken back, and maybe more than once.
///
/// # Errors
/// The first change that failed.
pub fn make_all<'c>(
    registry: &Registry,
    changes: impl IntoIterator<Item = &'c Change>,
    mut undoing: impl FnMut(),
) -> Result<(), Failure> {
    let mut made: Vec<&Change> = Vec::new();
    for change in changes {
        if let Err(failure) = change.make(registry, &mut undoing) {
            undoing();
            made.iter().rev().for_each(|change| change.undo(registry));
            return Err(failure);
        }
        made.push(change);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_for_the_end() {
        let blocked = || SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM);
        let before = blocked();
        let uninterrupted = Uninterrupted::begin();
        assert!(blocked());
        drop(uninterrupted);
        assert_eq!(blocked(), before);
    }
}
