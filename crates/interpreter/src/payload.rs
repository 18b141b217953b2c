//! The payload of this file, where the kernel has mapped it.

use dispatch_core::bytes;
use dispatch_core::elf::{Header, PT_LOAD};
use dispatch_core::image::Image;
use dispatch_core::record::Extent;

use crate::sys::{self, Place, Protection};

/// The payload. No reference to all of it ever exists: a file that was cut short has less of it, and the pages of its programs
/// move away. There is one value of this type, which is used up when a program is moved.
pub struct Payload {
    start: usize,
    /// In bytes.
    len: usize,
    /// How many bytes at its start there are references to.
    read: usize,
}

impl Payload {
    /// The payload of this file, whose first page is at `base`: the last `PT_LOAD`. Empty if the file's headers do not say.
    ///
    /// # Safety
    /// `base` is the address of this file's ELF header. Called once.
    pub unsafe fn of_file(base: usize) -> Self {
        // SAFETY: the first segment holds the ELF header and the program headers, and the kernel maps whole pages.
        let head = unsafe { core::slice::from_raw_parts(base as *const u8, 1024) };
        let find = || {
            let header = Header::parse(head).ok()?;
            let table = bytes::slice(head, header.phoff, header.program_headers_size())?;
            let last = header.program_headers(table).filter(|segment| segment.kind == PT_LOAD).last()?;
            let start = base.checked_add(usize::try_from(last.vaddr).ok()?)?;
            Some((start, usize::try_from(last.filesz).ok()?))
        };
        let (start, len) = find().unwrap_or((base, 0));
        Payload { start, len, read: 0 }
    }

    /// Its length, in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether its last byte is there. Of a file that was cut short, the kernel maps more than there is; touching that would be
    /// a bus error.
    pub fn is_whole(&self) -> bool {
        let last = self.start.wrapping_add(self.len).wrapping_sub(1);
        self.len == 0 || sys::is_readable(last as *const u8)
    }

    /// Its first `len` bytes, or all if it has fewer, of a payload that is whole.
    #[inline(never)]
    pub fn first(&mut self, len: usize) -> &'static [u8] {
        let len = len.min(self.len);
        self.read = self.read.max(len);
        // SAFETY: the kernel mapped so many bytes there, read-only. They stay until no code of ours runs any more: `body` moves
        // none of them, and `Remains::clear_out` is called last.
        unsafe { core::slice::from_raw_parts(self.start as *const u8, len) }
    }

    /// The address of a program's body, to be moved away; `None` if there may be references to a part of it.
    pub fn body(&self, body: Extent) -> Option<usize> {
        let offset = usize::try_from(body.offset).ok()?;
        let free = offset >= self.read && body.end() <= self.len as u64;
        free.then(|| self.start.saturating_add(offset))
    }

    /// What remains behind the table and the name of a program, which its arguments and variables may be in; that name ends
    /// `name_end` bytes from the start of the payload. With `reserve`, the addresses are to stay reserved.
    pub fn remains(self, image: &Image<'_>, name_end: u64, reserve: bool) -> Remains {
        let last = image.page.wrapping_sub(1);
        let kept = (image.table_end.max(name_end).saturating_add(last) & !last) as usize;
        Remains { start: self.start.saturating_add(kept), len: self.len.saturating_sub(kept), reserve }
    }
}

/// The part of the payload that the emulator does not need.
pub struct Remains {
    start: usize,
    len: usize,
    reserve: bool,
}

impl Remains {
    /// Unmaps it, or reserves its addresses.
    ///
    /// # Safety
    /// No reference to it is used any more.
    pub unsafe fn clear_out(self) {
        let Remains { start, len, reserve } = self;
        if reserve {
            // SAFETY: by this function's contract.
            let _ = unsafe { sys::map(Place::Over(start), len, Protection::NONE, None) };
        } else {
            // SAFETY: as above.
            unsafe { sys::unmap(start, len) };
        }
    }
}
