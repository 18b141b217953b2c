//! The stack as the kernel left it, with words reserved below it for the emulator's stack.

use core::cell::Cell;
use core::ffi::CStr;

use dispatch_core::handoff::{Handoff, aux};
use dispatch_core::initial_stack::{Change, Parts, SPARE};

use crate::load::Loaded;
use crate::payload::Remains;
use crate::{cpu, sys};

/// The initial stack.
pub struct Stack {
    /// [`SPARE`] words, then the kernel's.
    words: &'static [Cell<usize>],
    /// The parts of the kernel's words.
    handoff: Handoff<'static>,
    /// The address of the highest string, `AT_EXECFN`; 0 if there is none.
    last_string: usize,
    base: usize,
}

impl Stack {
    /// Takes the stack at `sp`. This file, the program of the process, is mapped at `base`. `None` if
    /// it is no stack that a kernel writes.
    ///
    /// # Safety
    /// `sp` is the stack pointer at the start of the process, and nothing else uses the [`SPARE`]
    /// words below it.
    pub unsafe fn at(sp: *const usize, base: usize) -> Option<Self> {
        let word = |index: usize| {
            // SAFETY: exec(2) ends the block with AT_NULL, and the loops below stop there.
            unsafe { sp.wrapping_add(index).read() }
        };
        // argc, argv and its null; envp up to its null; pairs up to AT_NULL.
        let mut len = word(0).saturating_add(2);
        while word(len) != 0 {
            len = len.saturating_add(1);
        }
        len = len.saturating_add(1);
        let mut last_string = 0;
        while word(len) != 0 {
            if word(len) == aux::EXECFN {
                last_string = word(len.saturating_add(1));
            }
            len = len.saturating_add(2);
        }
        len = len.saturating_add(2).saturating_add(SPARE);
        let first = sp.wrapping_sub(SPARE).cast::<Cell<usize>>();
        // SAFETY: the kernel's words have been read, and by the contract the ones below belong to
        // this stack. It lives as long as the process, and from now on it is accessed through these
        // cells only.
        let words = unsafe { core::slice::from_raw_parts(first, len) };
        let handoff = Handoff::read(words.get(SPARE..)?)?;
        Some(Stack { words, handoff, last_string, base })
    }

    /// Where this file is mapped.
    pub fn base(&self) -> usize {
        self.base
    }

    /// The kernel's initial stack.
    pub fn handoff(&self) -> &Handoff<'static> {
        &self.handoff
    }

    /// Changes the kernel's initial stack to the one for a program. The words that `handoff` refers
    /// to are invalid afterwards.
    pub fn change(&self, change: &Change<'_>) -> Option<ProgramStack> {
        let parts = change.make(self.words, SPARE, &self.handoff)?;
        Some(ProgramStack { first: self.words.as_ptr().cast(), parts, words: self.words.len() })
    }

    /// The string at one of the addresses in argv or envp; empty if the kernel has put no string
    /// there. The strings lie between the words and the path of `AT_EXECFN`, which is copied first
    /// (fs/exec.c).
    pub fn string(&self, address: usize) -> &'static CStr {
        if !(self.words.as_ptr_range().end as usize..=self.last_string).contains(&address) {
            return c"";
        }
        // SAFETY: this part of the stack is the kernel's, nothing writes to it, and the last string
        // ends with NUL.
        unsafe { CStr::from_ptr(address as *const core::ffi::c_char) }
    }

    /// One past the NUL of the string at `address`.
    pub fn string_end(&self, address: usize) -> usize {
        address.saturating_add(self.string(address).to_bytes_with_nul().len())
    }
}

/// A stack that a program can start with.
pub struct ProgramStack {
    first: *const usize,
    parts: Parts,
    /// Number of words, counted from `first`.
    words: usize,
}

impl ProgramStack {
    /// The stack pointer: the address of argc.
    pub fn sp(&self) -> *const usize {
        self.first.wrapping_add(self.parts.argc)
    }

    /// Becomes the program at `path`. Returns only with the errno.
    pub fn exec(&self, path: &CStr) -> i32 {
        let envp = self.first.wrapping_add(self.parts.envp);
        // SAFETY: `Change::make` put both arrays there, each ended by a null, and the strings live
        // as long as the process.
        unsafe { sys::exec(path, self.sp().wrapping_add(1), envp) }
    }

    /// Starts a program in this process, and unmaps or reserves what `remains` of the payload.
    pub fn enter(&self, loaded: &Loaded, remains: Remains) -> ! {
        // SAFETY: this function does not return, and reads nothing of the payload from here on.
        unsafe { remains.clear_out() };
        // SAFETY: `Change::make` built and aligned this initial stack, and the program is
        // completely mapped.
        unsafe { cpu::enter(self.sp(), loaded.entry()) }
    }

    /// Address and length in bytes of the auxiliary vector, including `AT_NULL`.
    pub fn auxv(&self) -> (usize, usize) {
        let words = self.words.saturating_sub(self.parts.auxv);
        (self.first.wrapping_add(self.parts.auxv) as usize, words.saturating_mul(size_of::<usize>()))
    }
}
