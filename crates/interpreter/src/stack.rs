//! The stack as the kernel left it, and room on it for the emulator's block.

use core::convert::Infallible;
use core::ffi::CStr;

use dispatch_core::block::{Contents, Size};
use dispatch_core::elf::{Header, PT_LOAD};

use crate::load::Loaded;
use crate::{cpu, sys};

/// What the kernel put into memory for us: the initial stack and this file.
pub struct Stack {
    words: &'static [usize],
    base: usize,
}

impl Stack {
    /// Takes the stack at `sp` and the file mapped at `base`.
    ///
    /// # Safety
    /// `sp` is the stack pointer at the start of the process, `base` the address of this file's ELF header.
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
        len = len.saturating_add(2);
        // SAFETY: all of these words have been read; the stack lives as long as the process.
        Stack { words: unsafe { core::slice::from_raw_parts(sp, len) }, base }
    }

    /// Where this file is mapped.
    pub fn base(&self) -> usize {
        self.base
    }

    /// argc, argv, envp, auxv, AT_NULL included.
    pub fn words(&self) -> &'static [usize] {
        self.words
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
    pub fn payload(&self) -> &'static [u8] {
        // SAFETY: the first segment holds the ELF header and the program headers, and the kernel maps whole pages.
        let head = unsafe { core::slice::from_raw_parts(self.base as *const u8, 1024) };
        let find = || {
            let header = Header::parse(head).ok()?;
            let table = dispatch_core::bytes::slice(head, header.phoff, header.program_headers_size())?;
            let last = header.program_headers(table).filter(|segment| segment.kind == PT_LOAD).last()?;
            let address = self.base.checked_add(usize::try_from(last.vaddr).ok()?)?;
            // SAFETY: the kernel mapped the segment there; it is not written to while we run.
            Some(unsafe { core::slice::from_raw_parts(address as *const u8, usize::try_from(last.filesz).ok()?) })
        };
        find().unwrap_or_default()
    }
}

/// The emulator's block.
pub struct Block {
    /// The stack pointer: the address of argc.
    pub sp: *const usize,
    words: &'static [usize],
}

impl Block {
    /// Becomes the program at `path`; returns only with the errno.
    pub fn exec(&self, path: &CStr) -> i32 {
        // argc, then argv with its NULL, then envp.
        let envp = self.words.first().map_or(0, |argc| argc.saturating_add(2));
        let array = |first| self.sp.wrapping_add(first);
        // SAFETY: `block::write` put both arrays there, each ended by a null, and the strings live as long as we do.
        unsafe { sys::exec(path, array(1), array(envp)) }
    }

    /// Gives the process to a program.
    pub fn enter(&self, loaded: Loaded) -> ! {
        // SAFETY: this is an initial stack block, aligned by `with_room`, and the program is mapped completely.
        unsafe { cpu::enter(self.sp, loaded.entry) }
    }

    /// The auxiliary vector, AT_NULL included, as address and bytes; `len` is that of the kernel's in words.
    pub fn auxv(&self, len: usize) -> (usize, usize) {
        let words = len.saturating_add(2);
        let first = self.words.len().saturating_sub(words);
        (self.sp.wrapping_add(first) as usize, words.saturating_mul(size_of::<usize>()))
    }
}

/// What goes on below a block; it does not come back.
pub type Then<'t> = dyn FnMut(Block) -> Infallible + 't;

/// Writes the block onto the stack, below everything that is there, and calls `then` below it.
pub fn with_block(contents: &Contents<'_>, then: &mut Then<'_>) -> ! {
    struct Context<'c, 't> {
        contents: &'c Contents<'c>,
        size: Size,
        then: &'c mut Then<'t>,
    }

    unsafe extern "C" fn inside(room: *mut u8, context: *mut u8) -> ! {
        // SAFETY: `with_block` passes the address of its own context, whose frame is never left.
        let context = unsafe { &mut *context.cast::<Context<'_, '_>>() };
        let sp = room.cast::<usize>();
        let at = sp.wrapping_add(context.size.words).cast::<u8>();
        // SAFETY: the room begins here, aligned to 16 bytes, and nobody else has it.
        let words = unsafe { zeroed(sp, context.size.words) };
        // SAFETY: and goes on after the words.
        let strings = unsafe { zeroed(at, context.size.strings) };
        match context.contents.write(words, strings, at as usize) {
            Some(()) => match (context.then)(Block { sp, words }) {},
            None => crate::line::broken(),
        }
    }

    let size = contents.measure();
    let bytes = size.words.saturating_mul(size_of::<usize>()).saturating_add(size.strings);
    let mut context = Context { contents, size, then };
    // SAFETY: `inside` accepts this context and does not return.
    unsafe { cpu::with_room(bytes, inside, (&raw mut context).cast()) }
}

/// `len` zeroes at `to`, of a type for which that is a value.
///
/// # Safety
/// They are writable, aligned, and nobody else's for the rest of the process.
unsafe fn zeroed<T: From<u8>>(to: *mut T, len: usize) -> &'static mut [T] {
    // SAFETY: by this function's contract; zero bytes are the number zero.
    unsafe { to.write_bytes(0, len) };
    // SAFETY: by this function's contract, and initialised now.
    unsafe { core::slice::from_raw_parts_mut(to, len) }
}
