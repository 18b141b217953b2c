//! Changes of the registry: all or none, and at every moment there is an entry for the programs.
//!
//! Whether a new entry works is tried before it gets any program but a marked one. An entry cannot be overwritten, and its
//! name is taken until it is removed; so what replaces it is registered under a temporary name first. The newest entry
//! wins: from then on the new one runs the programs, and the old one can make room. A run that is interrupted leaves
//! temporary entries, all of them ours; [`Leftover`] is how the next run ends the change.

use std::ffi::{OsStr, OsString};
use std::ops::Range;

use dispatch_core::Rule;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::mount::Registry;
use crate::failure::Failure;
use dispatch_entry::{Entry, Matcher, RegisterLine};

/// Begins the name of a temporary entry; the name that it is on its way to follows. Others do not name entries like that,
/// and tools that look for `qemu-*` do not take it for one of those.
const TEMPORARY: &str = "binfmt-dispatch.temporary.";
/// Begins the name of an entry that is tried.
const TRIAL: &str = "binfmt-dispatch.trial.";
/// What marks a program for such an entry: EI_PAD, bytes of the ELF header that nobody looks at.
const MARK: (Range<usize>, &[u8; 7]) = (9..16, b"a trial");

/// Holds back the signals that people and service managers end programs with, as long as it exists: between removal
/// and registration there is no entry. What came meanwhile acts afterwards.
#[derive(Debug)]
pub struct SignalGuard {
    before: Option<SigSet>,
}

impl SignalGuard {
    /// From now on.
    pub fn begin() -> Self {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        // Fails for an invalid argument only.
        SignalGuard { before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok() }
    }
}

impl Drop for SignalGuard {
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
        self.before.as_ref().map(|_| renamed(&self.line, temporary(self.line.name()))).transpose()
    }
}

/// Calls `run` with `program`, marked, while there is an entry as `line` is to make one, which gets marked programs only.
///
/// # Errors
/// The kernel refuses the entry.
pub fn on_trial<T>(
    registry: &Registry,
    line: &RegisterLine,
    program: &[u8],
    run: impl FnOnce(&[u8]) -> T,
) -> Result<T, Failure> {
    let (place, mark) = MARK;
    let marked = |bytes: &[u8], mark: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().max(place.end), 0);
        bytes[place.clone()].copy_from_slice(mark);
        bytes
    };
    let matcher = match line.rule() {
        Some(rule) => Rule::new(0, &marked(rule.magic(), mark), &marked(rule.mask(), &[0xff; 7])).map(Matcher::Rule),
        None => None,
    };
    // Without a rule there is nothing to be added to it; entries of ours all have one.
    let Some(matcher) = matcher else { return Ok(run(program)) };
    let name = trial(line.name());
    let trial = RegisterLine::new(&name, matcher, line.interpreter(), line.flags());
    let trial = trial.map_err(|fault| Failure::BadLine { entry: name, fault })?;
    registry.register(&trial).map_err(|failure| named(failure, line))?;
    let outcome = run(&marked(program, mark));
    remove(registry, &trial);
    Ok(outcome)
}

/// Makes all changes or none. `undoing` is called before an old entry is brought back, should that have to be: the kernel
/// opens its interpreter anew.
///
/// # Errors
/// The first entry that failed; then the registry is as before.
pub fn make_all<'c>(
    registry: &Registry,
    changes: impl IntoIterator<Item = &'c Change>,
    undoing: impl FnOnce(),
) -> Result<(), Failure> {
    let mut transaction = Transaction { registry, begun: Vec::new() };
    for change in changes {
        transaction.begin(change)?;
    }
    if let Err(failure) = transaction.switch() {
        undoing();
        return Err(failure);
    }
    transaction.end();
    Ok(())
}

/// Changes under way. What is not ended is taken back when this is dropped.
#[derive(Debug)]
struct Transaction<'c> {
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
    /// Gives the programs to a new entry. One that it replaces is still there.
    fn begin(&mut self, change: &'c Change) -> Result<(), Failure> {
        let cover = change.cover()?;
        let registered = self.registry.register(cover.as_ref().unwrap_or(&change.line));
        registered.map_err(|failure| named(failure, &change.line))?;
        self.begun.push(Begun { change, cover, state: State::Covered });
        Ok(())
    }

    /// Gives the new entries their names.
    fn switch(&mut self) -> Result<(), Failure> {
        self.begun.iter_mut().try_for_each(|begun| begun.switch(self.registry))
    }

    fn end(mut self) {
        let registry = self.registry;
        self.begun.drain(..).filter_map(|begun| begun.cover).for_each(|cover| remove(registry, &cover));
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

/// A failure of a temporary entry for `line`, whose own name says more to a person.
fn named(failure: Failure, line: &RegisterLine) -> Failure {
    match failure {
        Failure::InterpreterRefused { interpreter, error, .. } => {
            Failure::InterpreterRefused { entry: line.name().to_owned(), interpreter, error }
        }
        failure => failure,
    }
}

/// The name of the temporary entry that is on its way to `name`.
pub fn temporary(name: &OsStr) -> OsString {
    [OsStr::new(TEMPORARY), name].into_iter().collect()
}

/// The name of the entry that is tried before there is one called `name`.
pub fn trial(name: &OsStr) -> OsString {
    [OsStr::new(TRIAL), name].into_iter().collect()
}

/// A temporary entry of ours that a run left when it was interrupted.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The entry.
    pub entry: Entry,
    /// The name that it was on its way to, or tried for.
    pub name: OsString,
}

impl Leftover {
    /// Ends the change: an old entry that is still there stays, else the new one gets its name. The programs run
    /// throughout.
    ///
    /// # Errors
    /// The kernel refuses; then the temporary entry is still there, and works as it did.
    pub fn finish(&self, registry: &Registry) -> Result<(), Failure> {
        let covers = self.entry.name == temporary(&self.name);
        if covers && registry.entry(&self.name)?.is_none() {
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
        let guard = SignalGuard::begin();
        assert!(blocked());
        drop(guard);
        assert_eq!(blocked(), before);
    }
}
