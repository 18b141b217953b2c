//! The stack as the kernel left it, with words below it that are set aside for the emulator's.

use core::cell::Cell;
use core::ffi::CStr;

use dispatch_core::Handoff;
use dispatch_core::elf::{Header, PT_LOAD};
use dispatch_core::initial_stack::{Change, Parts, SPARE};

use crate::load::{Loaded, Remains};
use crate::{cpu, sys};

/// What the kernel put into memory for us: the initial stack and this file.
pub struct Stack {
    /// [`SPARE`] words, then the kernel's.
    words: &'static [Cell<usize>],
    base: usize,
}

impl Stack {
    /// Takes the stack at `sp` and the file mapped at `base`.
    ///
    /// # Safety
    /// `sp` is the stack pointer at the start of the process, with [`SPARE`] words below it that nobody else uses; `base` the
    /// address of this file's ELF header.
    pub unsafe fn at(sp: *const usize, base: usize) -> Self {
        let word = |index: usize| {
            // SAFETY: exec(2) ends the block with AT_NULL, and nobody reads past that below.
            unsafe { sp.wrapping_add(index).read() }
        };
        // argc, argv and its NULL; envp up to its NULL; pairs up to AT_NULL.
        let mut len = word(0).saturating_add(2);
        while word(len) != 0 {
            len = len.saturating_add(1);
        }
        len = len.saturating_add(1);
        while word(len) != 0 {
            len = len.saturating_add(2);
        }
        len = len.saturating_add(2).saturating_add(SPARE);
        let first = sp.wrapping_sub(SPARE).cast::<Cell<usize>>();
        // SAFETY: the kernel's words have been read, and the ones below are this stack's by the contract; it lives as long as
        // the process, and from now on it is used through these cells only.
        Stack { words: unsafe { core::slice::from_raw_parts(first, len) }, base }
    }

    /// Where this file is mapped.
    pub fn base(&self) -> usize {
        self.base
    }

    /// What the kernel has written.
    pub fn handoff(&self) -> Option<Handoff<'static>> {
        Handoff::read(self.words.get(SPARE..)?)
    }

    /// Changes what the kernel has written to what a program is to find.
    pub fn change(&self, handoff: &Handoff<'_>, change: &Change<'_>) -> Option<Changed> {
        let parts = change.make(self.words, SPARE, handoff)?;
        Some(Changed { first: self.words.as_ptr().cast(), parts, words: self.words.len() })
    }

    /// The string at one of the addresses in argv or envp.
    pub fn string(&self, address: usize) -> &'static CStr {
        // SAFETY: argv and envp hold addresses of strings that the kernel put on the stack and ended with NUL, exec(2).
        unsafe { CStr::from_ptr(address as *const core::ffi::c_char) }
    }

    /// One past the NUL of the string at `address`.
    pub fn string_end(&self, address: usize) -> usize {
        address.saturating_add(self.string(address).to_bytes_with_nul().len())
    }

    /// The payload of this file: its last PT_LOAD. Empty if the file's own headers do not say.
    pub fn payload(&self) -> Payload {
        // SAFETY: the first segment holds the ELF header and the program headers, and the kernel maps whole pages.
        let head = unsafe { core::slice::from_raw_parts(self.base as *const u8, 1024) };
        let find = || {
            let header = Header::parse(head).ok()?;
            let table = dispatch_core::bytes::slice(head, header.phoff, header.program_headers_size())?;
            let last = header.program_headers(table).filter(|segment| segment.kind == PT_LOAD).last()?;
            let start = self.base.checked_add(usize::try_from(last.vaddr).ok()?)?;
            Some(Payload { start, len: usize::try_from(last.filesz).ok()? })
        };
        find().unwrap_or(Payload { start: self.base, len: 0 })
    }
}

/// The payload, where the kernel has mapped it. No reference to all of it exists: a file that was cut short has less of it, and
/// the pages of its programs move away.
#[derive(Clone, Copy)]
pub struct Payload {
    /// Its address.
    pub start: usize,
    /// Its length, in bytes.
    pub len: usize,
}

impl Payload {
    /// Whether its last byte is there. Of a file that was cut short, the kernel maps more than there is; touching that would be
    /// a bus error.
    pub fn is_whole(self) -> bool {
        let last = self.start.wrapping_add(self.len).wrapping_sub(1);
        self.len == 0 || sys::is_readable(last as *const u8)
    }

    /// Its first `len` bytes, or all if it has fewer, of a payload that is whole. They must not be those of programs that are
    /// about to be moved away.
    pub fn first(self, len: usize) -> &'static [u8] {
        // SAFETY: the kernel mapped so many bytes there, read-only. `Changed::enter` unmaps them when nothing of ours runs any
        // more, and `load::move_in` moves the bodies of programs only.
        unsafe { core::slice::from_raw_parts(self.start as *const u8, len.min(self.len)) }
    }
}

/// A stack that a program can start with.
pub struct Changed {
    first: *const usize,
    parts: Parts,
    /// How many there are, counted from `first`.
    words: usize,
}

impl Changed {
    /// The stack pointer: the address of argc.
    pub fn sp(&self) -> *const usize {
        self.first.wrapping_add(self.parts.argc)
    }

    /// Becomes the program at `path`; returns only with the errno.
    pub fn exec(&self, path: &CStr) -> i32 {
        let envp = self.first.wrapping_add(self.parts.envp);
        // SAFETY: `Change::make` put both arrays there, each ended by a null, and the strings live as long as we do.
        unsafe { sys::exec(path, self.sp().wrapping_add(1), envp) }
    }

    /// Gives the process to a program, without what `remains` of the payload.
    pub fn enter(&self, loaded: Loaded, remains: Remains) -> ! {
        // SAFETY: nothing of ours that looks at the payload runs after this.
        unsafe { remains.clear_out() };
        // SAFETY: this is an initial stack, aligned by `Change::make`, and the program is mapped completely.
        unsafe { cpu::enter(self.sp(), loaded.entry) }
    }

    /// The auxiliary vector, AT_NULL included, as address and bytes.
    pub fn auxv(&self) -> (usize, usize) {
        let words = self.words.saturating_sub(self.parts.auxv);
        (self.first.wrapping_add(self.parts.auxv) as usize, words.saturating_mul(size_of::<usize>()))
    }
}
