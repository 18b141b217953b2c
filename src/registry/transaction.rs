//! Changes of the registry: all or none. At every moment there is an entry for the programs.
//!
//! A new entry is tried before it gets any program but a marked one. An entry cannot be
//! overwritten, and its name is taken until it is removed. So its replacement is first registered
//! under a temporary name. The newest entry wins: from then on the new one runs the programs, and
//! the old one can be removed. A run that is interrupted leaves temporary entries, all of them of
//! binfmt-dispatch; [`Leftover`] is how the next run ends the change.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use dispatch_core::Rule;

use super::mount::Registry;
use crate::failure::Failure;
use binfmt_misc::{Entry, Matcher, RegisterLine};

/// Prefix of the name of a temporary entry; the final name follows. Other software does not use
/// such names, and tools that look for `qemu-*` do not find it.
const TEMPORARY: &str = "binfmt-dispatch.temporary.";
/// Prefix of the name of an entry that is being tried.
const TRIAL: &str = "binfmt-dispatch.trial.";
/// The mark of a program for such an entry, in `EI_PAD`: unused bytes of the ELF header.
const MARK: (Range<usize>, &[u8; 7]) = (9..16, b"a trial");

/// Most entries that have a temporary name and the numbered ones.
const MOST: u32 = 100;

/// One entry that is about to change.
#[derive(Debug)]
pub struct Change {
    /// The new entry.
    pub line: RegisterLine,
    /// The old entry of this name, which it replaces.
    pub before: Option<Entry>,
}

impl Change {
    /// Registers the temporary entry that takes the programs over, where there is an entry to be
    /// replaced.
    fn cover(&self, registry: &Registry) -> Result<Option<RegisterLine>, Failure> {
        let cover = |_| register_as(registry, &self.line, &temporary(self.line.name()));
        self.before.as_ref().map(cover).transpose()
    }
}

/// Calls `run` with `program`, marked, while there is an entry as `line` is to make one, which gets
/// marked programs only.
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
    // Without a rule there is nothing to add a mark to. All entries of binfmt-dispatch have one.
    let Some(matcher) = matcher else { return Ok(run(program)) };
    let name = trial(line.name());
    let trial = RegisterLine::new(&name, matcher, line.interpreter(), line.flags());
    let trial = trial.map_err(|fault| Failure::BadLine { entry: name, fault })?;
    let trial = register_as(registry, &trial, trial.name()).map_err(|failure| named(failure, line))?;
    let outcome = run(&marked(program, mark));
    remove(registry, &trial);
    Ok(outcome)
}

/// Makes all changes or none. `undoing` is called before an old entry is brought back, should that
/// have to be: the kernel opens its interpreter anew.
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

/// Changes in progress. Unfinished ones are undone when this is dropped.
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
    /// Gives the programs to a new entry. The entry that it replaces is still there.
    fn begin(&mut self, change: &'c Change) -> Result<(), Failure> {
        let cover = change.cover(self.registry).map_err(|failure| named(failure, &change.line))?;
        if cover.is_none() {
            self.registry.register(&change.line)?;
        }
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

    /// A second failure is only reported; the caller gets the first one.
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

/// Restores an entry that was removed. It becomes the newest, and the kernel opens its interpreter
/// again: nothing else remains of an entry's place and file when it is removed.
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

/// Registers `line` by `name`, or, where an entry has that, by the first free one with a number
/// behind.
fn register_as(registry: &Registry, line: &RegisterLine, name: &OsStr) -> Result<RegisterLine, Failure> {
    let mut number = 1;
    loop {
        let mut name = name.to_owned();
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let line = renamed(line, name)?;
        match registry.register(&line) {
            Err(Failure::EntryExists { .. }) if number < MOST => number += 1,
            registered => return registered.map(|()| line),
        }
    }
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
fn temporary(name: &OsStr) -> OsString {
    [OsStr::new(TEMPORARY), name].into_iter().collect()
}

/// The name of the entry that is tried before there is one called `name`.
fn trial(name: &OsStr) -> OsString {
    [OsStr::new(TRIAL), name].into_iter().collect()
}

/// Whether an entry has a name as temporary ones have.
pub fn is_named_so(entry: &Entry) -> bool {
    [TEMPORARY, TRIAL].iter().any(|prefix| entry.name.as_bytes().starts_with(prefix.as_bytes()))
}

/// Whether the entry has the name of a temporary one that is on its way to `name`.
pub fn is_temporary(entry: &Entry, name: &OsStr) -> bool {
    is_numbered(&entry.name, &temporary(name))
}

/// Whether the entry is one that was tried for `name`: only such entries compare the mark.
pub fn is_trial(entry: &Entry, name: &OsStr) -> bool {
    let (place, mark) = MARK;
    let compares = |rule: &Rule| {
        rule.magic().get(place.clone()) == Some(&mark[..]) && rule.mask().get(place.clone()) == Some(&[0xff; 7][..])
    };
    is_numbered(&entry.name, &trial(name)) && entry.flags.fix_binary && entry.rule().is_some_and(compares)
}

/// Whether `name` is `plain`, or has a number behind it as [`register_as`] adds them.
fn is_numbered(name: &OsStr, plain: &OsStr) -> bool {
    match name.as_bytes().strip_prefix(plain.as_bytes()) {
        Some([b'.', number @ ..]) => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        rest => rest.is_some_and(<[u8]>::is_empty),
    }
}

/// A temporary entry of binfmt-dispatch that an interrupted run left.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The entry.
    pub entry: Entry,
    /// The name that it was on its way to, or tried for.
    pub name: OsString,
    /// Whether it has the programs that the entry called `name` is to have, and not just marked
    /// ones.
    pub covers: bool,
    /// Whether the file that the entry has is not at its path, seen from here; then it cannot be
    /// opened for another entry.
    pub elsewhere: bool,
}

impl Leftover {
    /// Ends the change, if that can be done: an old entry that is still there stays, else the new
    /// one gets its name. The programs run throughout. Without that, the temporary entry is still
    /// there, and works as it did.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn finish(&self, registry: &Registry) -> Result<bool, Failure> {
        if self.covers && registry.entry(&self.name)?.is_none() {
            if self.elsewhere {
                return Ok(false);
            }
            registry.register(&renamed(&line_of(&self.entry)?, self.name.clone())?)?;
        }
        registry.unregister(&self.entry.name)?;
        Ok(true)
    }
}
