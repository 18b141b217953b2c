//! The emulator's initial stack, built in place from the kernel's. [`crate::handoff`] describes the
//! layout.
//!
//! The guest's arguments, the environment and the auxiliary vector stay where the kernel wrote
//! them. The emulator's own arguments are written in front of the guest's, in words that the
//! interpreter has reserved below the kernel's. A start therefore needs no more stack than one by
//! the kernel, however long the guest's arguments are.

use core::cell::Cell;
use core::ops::Range;

use crate::handoff::{Handoff, PRESERVE_ARGV0, TRANSPARENT, aux};
use crate::table::MAX_ROW_WORDS;

/// Words to reserve in front of the kernel's: the options and settings of a row, at most nine other
/// arguments, and one word to align argc to 16 bytes.
pub const SPARE: usize = MAX_ROW_WORDS + 28;

/// The values in which a program's auxiliary vector differs from the kernel's.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// `AT_PHDR`: address of the program headers.
    pub phdr: usize,
    /// `AT_PHNUM`. `AT_PHENT` stays, because both files have the host's class.
    pub phnum: usize,
    /// `AT_ENTRY`.
    pub entry: usize,
    /// `AT_EXECFD`, if the descriptor was moved.
    pub execfd: Option<usize>,
    /// `AT_FLAGS` bit 0. Bit 1 is cleared, because the emulator's argv is no longer the guest's.
    pub argv0_flag: bool,
}

impl Patch {
    /// The value for the entry `kind`, given the kernel's value.
    pub fn apply(&self, kind: usize, value: usize) -> usize {
        match kind {
            aux::PHDR => self.phdr,
            aux::PHNUM => self.phnum,
            aux::ENTRY => self.entry,
            // The base address of a dynamic linker, of which there is none.
            aux::BASE => 0,
            aux::EXECFD => self.execfd.unwrap_or(value),
            aux::FLAGS => value & !(PRESERVE_ARGV0 | TRANSPARENT) | usize::from(self.argv0_flag),
            _ => value,
        }
    }

    /// Changes the auxiliary vector.
    pub fn write(&self, auxv: &[Cell<usize>]) {
        for pair in auxv.chunks_exact(2) {
            if let [kind, value] = pair {
                value.set(self.apply(kind.get(), value.get()));
            }
        }
    }
}

/// Receives addresses of strings, one by one.
pub type Push<'p> = dyn FnMut(usize) + 'p;
/// Passes addresses of strings to a sink. Every call passes the same ones.
pub type Words<'c> = dyn Fn(&mut Push<'_>) + 'c;
/// Passes the addresses of settings, given the caller's variables that are kept.
pub type Settings<'c> = dyn Fn(&[Cell<usize>], &mut Push<'_>) + 'c;

/// How the emulator's stack differs from the kernel's.
pub struct Change<'c> {
    /// The arguments in front of the guest's.
    pub front: &'c Words<'c>,
    /// How many of the kernel's arguments they replace.
    pub replaced: usize,
    /// Whether to keep the caller's variable at this address.
    pub keeps: &'c dyn Fn(usize) -> bool,
    /// The settings that are added to the caller's variables.
    pub settings: &'c Settings<'c>,
}

/// Indexes of the words at which the parts of a changed stack begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// argc, which the stack pointer points to.
    pub argc: usize,
    /// The environment.
    pub envp: usize,
    /// The auxiliary vector.
    pub auxv: usize,
}

impl Change<'_> {
    /// Makes the change in `words`: spare words, and from index `argc` on the words that `handoff`
    /// was read from. `None` if the additions do not fit into the spare words; the contents are
    /// then undefined.
    pub fn make(&self, words: &[Cell<usize>], argc: usize, handoff: &Handoff<'_>) -> Option<Parts> {
        let front = count(self.front);
        let arguments = argc.checked_add(1)?.checked_add(self.replaced)?;
        let argv_end = argc.checked_add(1)?.checked_add(handoff.argv.len())?;
        let envp_start = argv_end.checked_add(1)?;
        let envp_end = envp_start.checked_add(handoff.envp.len())?;

        // The caller's variables that are kept move up, towards the auxiliary vector. The settings
        // go in front of them.
        let mut callers = envp_end;
        for variable in words.get(envp_start..envp_end)?.iter().rev().map(Cell::get) {
            if (self.keeps)(variable) {
                callers = callers.checked_sub(1)?;
                words.get(callers)?.set(variable);
            }
        }
        let kept = words.get(callers..envp_end)?;
        let added = count(&|push| (self.settings)(kept, push));

        let envp = callers.checked_sub(added)?;
        let guests = envp.checked_sub(1)?.checked_sub(argv_end.checked_sub(arguments)?)?;
        let start = guests.checked_sub(front)?.checked_sub(1)?;
        // If the number of added words is odd, everything moves by one word.
        let odd = usize::from(words.get(start)?.as_ptr() as usize & 8 != 0);
        let lower = |index: usize| index.checked_sub(odd);

        slide(words, arguments..argv_end, lower(guests)?)?;
        words.get(lower(envp)?.checked_sub(1)?)?.set(0);
        let mut setting = words.get(lower(envp)?..)?.iter();
        (self.settings)(kept, &mut |word| put(&mut setting, word));
        slide(words, callers..words.len(), lower(callers)?)?;

        let mut first = words.get(lower(start)?..)?.iter();
        put(&mut first, front.checked_add(argv_end.checked_sub(arguments)?)?);
        (self.front)(&mut |word| put(&mut first, word));
        Some(Parts {
            argc: lower(start)?,
            envp: lower(envp)?,
            auxv: lower(words.len().checked_sub(handoff.auxv.len().checked_add(2)?)?)?,
        })
    }
}

fn count(words: &Words<'_>) -> usize {
    let mut count = 0usize;
    words(&mut |_| count = count.saturating_add(1));
    count
}

fn put<'w>(to: &mut impl Iterator<Item = &'w Cell<usize>>, word: usize) {
    if let Some(to) = to.next() {
        to.set(word);
    }
}

/// Moves the words in `range` so that they begin at `to`.
fn slide(words: &[Cell<usize>], range: Range<usize>, to: usize) -> Option<()> {
    let upwards = to > range.start;
    let pairs = words.get(to..)?.iter().zip(words.get(range)?);
    let set = |(to, from): (&Cell<usize>, &Cell<usize>)| to.set(from.get());
    if upwards {
        pairs.rev().for_each(set);
    } else {
        pairs.for_each(set);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The kernel's words and some spare ones, at an address that is or is not a multiple of 16.
    fn make(odd: bool, words: &[usize], change: &Change<'_>) -> Option<(Parts, Vec<usize>)> {
        #[repr(align(16))]
        struct Aligned([Cell<usize>; 64]);
        let room = Aligned([const { Cell::new(usize::MAX) }; 64]);
        let words_at = 24 + usize::from(odd);
        let region = &room.0[usize::from(odd)..words_at + words.len()];
        let argc = region.len() - words.len();
        region[argc..].iter().zip(words).for_each(|(to, word)| to.set(*word));
        let parts = change.make(region, argc, &Handoff::read(&region[argc..]).unwrap())?;
        assert_eq!(region[parts.argc].as_ptr() as usize % 16, 0);
        Some((parts, region[parts.argc..].iter().map(Cell::get).collect()))
    }

    const KERNELS: [usize; 16] =
        [4, 0x10, 0x11, 0x12, 0x13, 0, 0x20, 0x21, 0x22, 0, aux::EXECFD, 3, aux::SECURE, 1, 0, 0];

    #[test]
    fn what_is_written_reads_back_as_a_kernels_stack() {
        for odd in [false, true] {
            for (front, kept, settings) in [
                (&[0x90, 0x91, 0x92, 0x93][..], &[0x20, 0x21, 0x22][..], &[][..]),
                (&[0x90, 0x91, 0x92], &[0x20, 0x21, 0x22], &[0xa0, 0xa1]),
                (&[0x90], &[0x21], &[]),
                (&[0x90, 0x91], &[], &[0xa0]),
                (&[], &[0x22], &[0xa0, 0xa1, 0xa2, 0xa3]),
            ] {
                let change = Change {
                    front: &|push| front.iter().for_each(|word| push(*word)),
                    replaced: 3,
                    keeps: &|variable| kept.contains(&variable),
                    settings: &|callers, push| {
                        assert!(callers.iter().map(Cell::get).eq(kept.iter().copied()));
                        settings.iter().for_each(|word| push(*word));
                    },
                };
                let (parts, words) = make(odd, &KERNELS, &change).unwrap();
                let expected = [front, &[0x13]].concat();
                let cells: Vec<_> = words.iter().copied().map(Cell::new).collect();
                let read = Handoff::read(&cells).unwrap();
                let plain = |cells: &[Cell<usize>]| cells.iter().map(Cell::get).collect::<Vec<_>>();
                assert_eq!(plain(read.argv), expected);
                assert_eq!(plain(read.envp), [settings, kept].concat());
                assert_eq!(plain(read.auxv), [aux::EXECFD, 3, aux::SECURE, 1]);
                assert_eq!(words[parts.envp - parts.argc..][..read.envp.len()], plain(read.envp));
                assert_eq!(words[parts.auxv - parts.argc..][..4], plain(read.auxv));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fits = |front: usize| {
            let front: &Words<'_> = &|push| (0..front).for_each(push);
            let change = Change { front, replaced: 3, keeps: &|_| true, settings: &|_, _| {} };
            make(false, &KERNELS, &change).is_some()
        };
        assert!(fits(27) && !fits(28) && !fits(1000));
    }

    #[test]
    fn the_vector_describes_the_emulator_and_nothing_else_changes() {
        let patch = Patch { phdr: 1, phnum: 3, entry: 4, execfd: Some(5), argv0_flag: false };
        assert_eq!(patch.apply(aux::PHDR, 9), 1);
        assert_eq!(patch.apply(aux::BASE, 9), 0);
        assert_eq!(patch.apply(aux::FLAGS, 7), 4);
        assert_eq!(Patch { argv0_flag: true, ..patch }.apply(aux::FLAGS, 4), 5);
        assert_eq!(patch.apply(aux::SECURE, 1), 1);
        assert_eq!(patch.apply(51, 9), 9);
        let vector = [aux::PHDR, 9, aux::SECURE, 1].map(Cell::new);
        patch.write(&vector);
        assert_eq!(vector.map(|word| word.get()), [aux::PHDR, 1, aux::SECURE, 1]);
    }
}
