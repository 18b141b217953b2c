//! Changes of the registry that can be taken back.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::failure::Failure;
use crate::registry::{Entry, RegisterLine, Registry};

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
    /// Makes it. An entry cannot be overwritten, so for a moment there is none.
    ///
    /// # Errors
    /// The kernel refuses; then the registry is as before.
    pub fn make(&self, registry: &Registry) -> Result<(), Failure> {
        if self.before.is_some() {
            registry.unregister(self.line.name())?;
        }
        registry.register(&self.line).inspect_err(|_| self.restore(registry))
    }

    /// Takes it back. A second failure is only reported: the one that led here is what the caller is to know.
    pub fn undo(&self, registry: &Registry) {
        if let Err(failure) = registry.unregister(self.line.name()) {
            failure.report();
        }
        self.restore(registry);
    }

    /// Brings the entry back that made room. It becomes the newest, and the kernel opens its interpreter anew: both
    /// are lost without a trace when an entry is removed.
    fn restore(&self, registry: &Registry) {
        let Some(entry) = &self.before else { return };
        let restored = RegisterLine::of_entry(entry)
            .map_err(|fault| Failure::BadLine { entry: entry.name.clone(), fault })
            .and_then(|line| registry.register(&line))
            .and_then(|()| if entry.enabled { Ok(()) } else { registry.disable(&entry.name) });
        if let Err(failure) = restored {
            failure.report();
        }
    }
}

/// Makes all changes or none.
///
/// # Errors
/// The first change that failed.
pub fn make_all<'c>(registry: &Registry, changes: impl IntoIterator<Item = &'c Change>) -> Result<(), Failure> {
    let mut made: Vec<&Change> = Vec::new();
    for change in changes {
        if let Err(failure) = change.make(registry) {
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
