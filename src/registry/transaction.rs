//! Changes of the registry, all or none. At every moment some entry matches the programs.
//!
//! A new entry is tried first, with a rule that matches marked programs only. The kernel cannot
//! overwrite an entry, and the name is in use until the entry is removed. So the replacement is
//! first registered under a temporary name. The newest entry wins: from then on the new entry runs
//! the programs, and the old one can be removed. An interrupted run leaves temporary entries, all
//! of them of binfmt-dispatch; the next run completes the change ([`Leftover`]).

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
/// The mark of a program for a trial entry, in `EI_PAD`: unused bytes of the ELF header.
const MARK: (Range<usize>, &[u8; 7]) = (9..16, b"a trial");

/// Largest number of entries with the same temporary name, apart from the number at its end.
const MOST: u32 = 100;

/// One entry that is about to change.
#[derive(Debug)]
pub struct Change {
    /// The new entry.
    pub line: RegisterLine,
    /// The old entry of this name, if there is one; the new entry replaces it.
    pub before: Option<Entry>,
}

impl Change {
    /// If an entry is to be replaced, registers the temporary entry that takes over its programs.
    fn cover(&self, registry: &Registry) -> Result<Option<RegisterLine>, Failure> {
        let cover = |_| register_as(registry, &self.line, &temporary(self.line.name()));
        self.before.as_ref().map(cover).transpose()
    }
}

/// Calls `run` with a marked copy of `program`. During the call a trial entry is registered: it is
/// as `line` says, but matches marked programs only.
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

/// Makes all changes or none. If old entries have to be restored, `undoing` is called first,
/// because the kernel then opens their interpreters again.
///
/// # Errors
/// The failure of the first entry that failed; then the registry is as before.
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

/// Changes in progress. Dropping this undoes those that are not finished.
#[derive(Debug)]
struct Transaction<'c> {
    registry: &'c Registry,
    begun: Vec<Begun<'c>>,
}

/// A change whose new entry gets the programs already.
#[derive(Debug)]
struct Begun<'c> {
    change: &'c Change,
    cover: Option<RegisterLine>,
    state: State,
}

/// The progress of a change that replaces an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The old entry still has the name.
    Covered,
    /// No entry has the name: the old one is removed.
    Removed,
    /// The new entry has the name.
    Switched,
}

impl<'c> Transaction<'c> {
    /// Registers the new entry so that it gets the programs. The entry that it replaces stays
    /// registered.
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

/// Restores an entry that was removed. Its position and its open file are lost: it becomes the
/// newest entry, and the kernel opens its interpreter again.
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

/// Registers `line` under `name`. If that name is in use, appends the first number that makes it
/// free.
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

/// `failure` of a temporary entry, with the name that `line` has in its place: the user does not
/// know the temporary name.
fn named(failure: Failure, line: &RegisterLine) -> Failure {
    match failure {
        Failure::InterpreterRefused { interpreter, error, .. } => {
            Failure::InterpreterRefused { entry: line.name().to_owned(), interpreter, error }
        }
        Failure::TooManyInterpreters(_) => Failure::TooManyInterpreters(line.name().to_owned()),
        failure => failure,
    }
}

/// The name of the temporary entry that will be registered as `name`.
fn temporary(name: &OsStr) -> OsString {
    [OsStr::new(TEMPORARY), name].into_iter().collect()
}

/// The name of the trial entry for `name`.
fn trial(name: &OsStr) -> OsString {
    [OsStr::new(TRIAL), name].into_iter().collect()
}

/// Whether the entry has a temporary name, or that of a trial entry.
pub fn is_named_so(entry: &Entry) -> bool {
    [TEMPORARY, TRIAL].iter().any(|prefix| entry.name.as_bytes().starts_with(prefix.as_bytes()))
}

/// Whether the entry has the temporary name for `name`.
pub fn is_temporary(entry: &Entry, name: &OsStr) -> bool {
    is_numbered(&entry.name, &temporary(name))
}

/// Whether the entry is a trial entry for `name`: only trial entries compare the mark.
pub fn is_trial(entry: &Entry, name: &OsStr) -> bool {
    let (place, mark) = MARK;
    let compares = |rule: &Rule| {
        rule.magic().get(place.clone()) == Some(&mark[..]) && rule.mask().get(place.clone()) == Some(&[0xff; 7][..])
    };
    is_numbered(&entry.name, &trial(name)) && entry.flags.fix_binary && entry.rule().is_some_and(compares)
}

/// Whether `name` is `plain`, or `plain` with a number that [`register_as`] appended.
fn is_numbered(name: &OsStr, plain: &OsStr) -> bool {
    match name.as_bytes().strip_prefix(plain.as_bytes()) {
        Some([b'.', number @ ..]) => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        rest => rest.is_some_and(<[u8]>::is_empty),
    }
}

/// A temporary or trial entry of binfmt-dispatch that an interrupted run left.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The entry.
    pub entry: Entry,
    /// The name that was to be registered.
    pub name: OsString,
    /// Whether it matches all programs for `name`. A trial entry matches marked ones only.
    pub covers: bool,
    /// Whether the entry's open file is not at the entry's path, as seen by this process. Then it
    /// cannot be registered again.
    pub elsewhere: bool,
}

impl Leftover {
    /// Completes the change: keeps the old entry if it is still registered, or else registers the
    /// new one under its name. The programs run throughout. Returns false if that is not possible;
    /// then the temporary entry stays, and works as before.
    ///
    /// # Errors
    /// The kernel refuses a change.
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
