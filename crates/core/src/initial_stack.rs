//! The initial stack block of the emulator, as the kernel would have written it (layout: [`crate::handoff`]).
//!
//! Built in fresh memory below the kernel's own block: argv and envp may shrink or grow without anything having to be
//! moved aside. Strings of ours are copied behind the words, because the table they come from may be unmapped.

use crate::handoff::{Handoff, PRESERVE_ARGV0, aux};
use crate::plan::Word;

/// How much room a block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Machine words of argc, argv, envp and auxv.
    pub words: usize,
    /// Bytes of strings.
    pub strings: usize,
}

/// What a program's auxiliary vector says differently from the kernel's.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// AT_PHDR: address of the program headers.
    pub phdr: usize,
    /// AT_PHNUM; AT_PHENT stays, as both files are of the host's class.
    pub phnum: usize,
    /// AT_ENTRY.
    pub entry: usize,
    /// AT_EXECFD, if it has moved.
    pub execfd: Option<usize>,
    /// AT_FLAGS bit 0.
    pub argv0_flag: bool,
}

impl Patch {
    /// Changes nothing but AT_BASE, which must be zero anyway, and AT_FLAGS.
    pub fn of(handoff: &Handoff<'_>) -> Self {
        let value = |kind| handoff.aux(kind).unwrap_or(0);
        Patch {
            phdr: value(aux::PHDR),
            phnum: value(aux::PHNUM),
            entry: value(aux::ENTRY),
            execfd: None,
            argv0_flag: false,
        }
    }

    /// The value for entry `kind`, given the kernel's.
    pub fn apply(&self, kind: usize, value: usize) -> usize {
        match kind {
            aux::PHDR => self.phdr,
            aux::PHNUM => self.phnum,
            aux::ENTRY => self.entry,
            // Where a dynamic linker would be.
            aux::BASE => 0,
            aux::EXECFD => self.execfd.unwrap_or(value),
            aux::FLAGS => value & !PRESERVE_ARGV0 | usize::from(self.argv0_flag),
            _ => value,
        }
    }
}

/// Passes words one by one, the same ones each time.
pub type Words<'c> = dyn Fn(&mut dyn FnMut(Word<'static, usize>)) + 'c;

/// Everything that a block is made of.
#[derive(Clone, Copy)]
pub struct Contents<'c> {
    /// The arguments.
    pub argv: &'c Words<'c>,
    /// The environment.
    pub envp: &'c Words<'c>,
    /// The kernel's auxiliary vector, AT_NULL left out.
    pub auxv: &'c [usize],
    /// What is different in the block's.
    pub patch: Patch,
}

impl Contents<'_> {
    /// How much room the block takes.
    pub fn measure(&self) -> Size {
        let mut nowhere = Room { words: &mut [], strings: &mut [], at: 0, used: Size { words: 0, strings: 0 } };
        self.fill(&mut nowhere);
        nowhere.used
    }

    /// Writes the block into `words` and its strings into `strings`, which lie at address `at`; both as large as
    /// [`Contents::measure`] says. `None` when they are smaller.
    pub fn write(&self, words: &mut [usize], strings: &mut [u8], at: usize) -> Option<()> {
        let size = Size { words: words.len(), strings: strings.len() };
        let mut room = Room { words, strings, at, used: Size { words: 0, strings: 0 } };
        self.fill(&mut room);
        (room.used == size).then_some(())
    }

    fn fill(&self, room: &mut Room<'_>) {
        let mut argc = 0usize;
        (self.argv)(&mut |_| argc = argc.saturating_add(1));
        room.push(argc);
        (self.argv)(&mut |word| room.place(word));
        room.push(0);
        (self.envp)(&mut |word| room.place(word));
        room.push(0);
        for pair in self.auxv.chunks_exact(2) {
            if let [kind, value] = *pair {
                room.push(kind);
                room.push(self.patch.apply(kind, value));
            }
        }
        room.push(aux::NULL);
        room.push(0);
    }
}

/// The room for a block. What does not fit is counted and not written.
struct Room<'s> {
    words: &'s mut [usize],
    strings: &'s mut [u8],
    /// Address of `strings`.
    at: usize,
    used: Size,
}

impl Room<'_> {
    fn push(&mut self, word: usize) {
        if let Some(to) = self.words.get_mut(self.used.words) {
            *to = word;
        }
        self.used.words = self.used.words.saturating_add(1);
    }

    /// Pushes the address of a string, copied here first if it is ours.
    fn place(&mut self, word: Word<'_, usize>) {
        let string = match word {
            Word::Callers(address) => return self.push(address),
            Word::Ours(string) => string.to_bytes_with_nul(),
        };
        self.push(self.at.saturating_add(self.used.strings));
        let end = self.used.strings.saturating_add(string.len());
        if let Some(to) = self.strings.get_mut(self.used.strings..end) {
            to.copy_from_slice(string);
        }
        self.used.strings = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const AUXV: [usize; 6] = [aux::EXECFD, 0, aux::PHDR, 7, aux::SECURE, 0];

    #[test]
    fn what_is_written_reads_back_as_a_kernels_stack() {
        let contents = Contents {
            argv: &|push| [Word::Ours(c"/q"), Word::Callers(0x1100), Word::Ours(c"--")].map(push).into_iter().collect(),
            envp: &|push| [Word::Callers(0x2000), Word::Ours(c"A=b")].map(push).into_iter().collect(),
            auxv: &AUXV,
            patch: Patch { phdr: 1, phnum: 3, entry: 4, execfd: Some(5), argv0_flag: false },
        };
        let size = contents.measure();
        assert_eq!(size, Size { words: 16, strings: 10 });
        let (mut words, mut strings) = (vec![usize::MAX; size.words], vec![0xff; size.strings]);
        let at = 0x5000;
        contents.write(&mut words, &mut strings, at).unwrap();
        assert_eq!(strings, b"/q\0--\0A=b\0");
        let written = Handoff::read(&words).unwrap();
        assert_eq!(written.argv, [at, 0x1100, at + 3]);
        assert_eq!(written.envp, [0x2000, at + 6]);
        assert_eq!(written.auxv, [aux::EXECFD, 5, aux::PHDR, 1, aux::SECURE, 0]);
        for (w, s) in [(size.words - 1, size.strings), (size.words, size.strings - 1)] {
            assert_eq!(contents.write(&mut words[..w], &mut strings[..s], at), None);
        }
    }

    #[test]
    fn the_vector_describes_the_emulator_and_nothing_else_changes() {
        let patch = Patch { phdr: 1, phnum: 3, entry: 4, execfd: Some(5), argv0_flag: false };
        assert_eq!(patch.apply(aux::PHDR, 9), 1);
        assert_eq!(patch.apply(aux::BASE, 9), 0);
        assert_eq!(patch.apply(aux::FLAGS, 3), 2);
        assert_eq!(Patch { argv0_flag: true, ..patch }.apply(aux::FLAGS, 2), 3);
        assert_eq!(patch.apply(aux::SECURE, 1), 1);
        assert_eq!(patch.apply(51, 9), 9);
    }
}
