//! Changes of the registry: all or none, and at every moment there is an entry for the programs.
//!
//! An entry cannot be overwritten, and its name is taken until it is removed. So what replaces it is registered under a
//! temporary name first. The newest entry wins: from then on the new one runs the programs, and can be proved, while the
//! old one is still there. Only then the old one makes room. A run that is interrupted leaves temporary entries, all of
//! them ours; [`Interrupted`] is how the next run ends the change.

use std::ffi::OsString;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::failure::Failure;
use crate::registry::{Entry, RegisterLine, Registry};

/// Begins the name of a temporary entry; the name that it is on its way to follows. Others do not name entries like that,
/// and tools that look for `qemu-*` do not take it for one of those.
pub const TEMPORARY: &str = "binfmt-dispatch.temporary.";

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
    /// The temporary entry that takes the programs over, where there is an entry to be replaced.
    fn cover(&self) -> Result<Option<RegisterLine>, Failure> {
        self.before.as_ref().map(|_| renamed(&self.line, temporary(self.line.name().to_owned()))).transpose()
    }
}

/// Changes under way. What is not committed is taken back when this is dropped.
#[derive(Debug)]
pub struct Transaction<'c> {
    registry: &'c Registry,
    begun: Vec<Begun<'c>>,
}

/// A change whose new entry has the programs.
#[derive(Debug)]
struct Begun<'c> {
    change: &'c Change,
    cover: Option<RegisterLine>,
    state: State,
}

/// How far a change is that replaces an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The old entry is there.
    Covered,
    /// Neither the old entry nor the new one has the name.
    Removed,
    /// The new entry has the name.
    Switched,
}

impl<'c> Transaction<'c> {
    /// Gives all programs to the new entries. Those that are replaced are still there.
    ///
    /// # Errors
    /// The kernel refuses one; then the registry is as before.
    pub fn begin(registry: &'c Registry, changes: impl IntoIterator<Item = &'c Change>) -> Result<Self, Failure> {
        let mut transaction = Transaction { registry, begun: Vec::new() };
        for change in changes {
            let cover = change.cover()?;
            registry.register(cover.as_ref().unwrap_or(&change.line)).map_err(|failure| match failure {
                // Its own name says more to a person.
                Failure::InterpreterRefused { interpreter, error, .. } => {
                    Failure::InterpreterRefused { entry: change.line.name().to_owned(), interpreter, error }
                }
                failure => failure,
            })?;
            transaction.begun.push(Begun { change, cover, state: State::Covered });
        }
        Ok(transaction)
    }

    /// Takes some of the changes back: their old entries were there all the time.
    pub fn abandon(&mut self, changes: &[Change]) {
        let registry = self.registry;
        self.begun.retain(|begun| {
            let abandoned = changes.iter().any(|change| std::ptr::eq(change, begun.change));
            if abandoned {
                begun.take_back(registry);
            }
            !abandoned
        });
    }

    /// Gives the new entries their names. `undoing` is called before an old one is brought back, should that have to be:
    /// the kernel opens its interpreter anew.
    ///
    /// # Errors
    /// The first entry that failed; then the registry is as before.
    pub fn commit(mut self, undoing: impl FnOnce()) -> Result<(), Failure> {
        let registry = self.registry;
        if let Err(failure) = self.begun.iter_mut().try_for_each(|begun| begun.switch(registry)) {
            undoing();
            return Err(failure);
        }
        self.begun.drain(..).filter_map(|begun| begun.cover).for_each(|cover| remove(registry, &cover));
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.begun.iter().rev().for_each(|begun| begun.take_back(self.registry));
    }
}

impl Begun<'_> {
    fn switch(&mut self, registry: &Registry) -> Result<(), Failure> {
        if self.cover.is_some() {
            registry.unregister(self.change.line.name())?;
            self.state = State::Removed;
            registry.register(&self.change.line)?;
            self.state = State::Switched;
        }
        Ok(())
    }

    /// A second failure is only reported: the one that led here is what the caller is to know.
    fn take_back(&self, registry: &Registry) {
        if self.state == State::Switched {
            remove(registry, &self.change.line);
        }
        match &self.change.before {
            // The new entry is better than none.
            Some(before) if self.state != State::Covered => {
                if let Err(failure) = restore(registry, before) {
                    return failure.report();
                }
            }
            _ => {}
        }
        remove(registry, self.cover.as_ref().unwrap_or(&self.change.line));
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

/// The temporary name for an entry that is to be called `name`.
pub fn temporary(name: OsString) -> OsString {
    let mut temporary = OsString::from(TEMPORARY);
    temporary.push(name);
    temporary
}

/// A temporary entry of ours that a run left when it was interrupted.
#[derive(Clone, Debug)]
pub struct Interrupted {
    /// The entry.
    pub entry: Entry,
    /// The name that it was on its way to.
    pub name: OsString,
}

impl Interrupted {
    /// Ends the change: an old entry that is still there stays, else the new one gets its name. The programs run
    /// throughout.
    ///
    /// # Errors
    /// The kernel refuses; then the temporary entry is still there, and works as it did.
    pub fn finish(&self, registry: &Registry) -> Result<(), Failure> {
        if registry.entry(&self.name)?.is_none() {
            registry.register(&renamed(&line_of(&self.entry)?, self.name.clone())?)?;
        }
        registry.unregister(&self.entry.name)
    }
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
