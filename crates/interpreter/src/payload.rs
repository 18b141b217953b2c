//! The payload of this file, as mapped by the kernel.

use dispatch_core::bytes;
use dispatch_core::elf::{Header, PT_LOAD};
use dispatch_core::image::Image;
use dispatch_core::record::Extent;

use crate::sys::{self, Place, Protection};

/// The payload of a file that may have been cut short.
pub struct Payload {
    start: usize,
    /// Length, in bytes.
    len: usize,
}

impl Payload {
    /// The payload of the file whose first page is at `base`: the last `PT_LOAD`. Empty if the
    /// file's headers name none.
    ///
    /// # Safety
    /// `base` is the address of this file's ELF header. This function is called once.
    pub unsafe fn of_file(base: usize) -> Self {
        // SAFETY: the first segment holds the ELF header and the program headers, and the kernel
        // maps whole pages.
        let head = unsafe { core::slice::from_raw_parts(base as *const u8, 1024) };
        let find = || {
            let header = Header::parse(head).ok()?;
            let table = bytes::slice(head, header.phoff, header.program_headers_size())?;
            let last = header.program_headers(table).filter(|segment| segment.kind == PT_LOAD).last()?;
            let start = base.checked_add(usize::try_from(last.vaddr).ok()?)?;
            Some((start, usize::try_from(last.filesz).ok()?))
        };
        let (start, len) = find().unwrap_or((base, 0));
        Payload { start, len }
    }

    /// The same, if its last byte exists. If a file was cut short, the kernel maps more pages than
    /// the file has, and access to those is a bus error.
    pub fn whole(self) -> Option<WholePayload> {
        let Payload { start, len } = self;
        let last = start.wrapping_add(len).wrapping_sub(1);
        (len == 0 || sys::is_readable(last as *const u8)).then_some(WholePayload { start, len, read: 0 })
    }
}

/// A payload whose every byte exists. No reference ever covers all of it, because the pages of its
/// programs move. There is one value of this type; moving a program consumes it.
pub struct WholePayload {
    start: usize,
    /// Length, in bytes.
    len: usize,
    /// How many bytes at the start have references to them.
    read: usize,
}

impl WholePayload {
    /// Length, in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first `len` bytes, or all if it has fewer.
    #[inline(never)]
    pub fn first(&mut self, len: usize) -> &'static [u8] {
        let len = len.min(self.len);
        self.read = self.read.max(len);
        // SAFETY: the file has this many bytes there, and the kernel mapped them. Nothing writes to
        // them: in an image they are not writable, and without an image they are this program's own
        // constants, which `relocate` has finished. They stay until no code of this file runs any
        // more: `body` moves none of them, and `Remains::clear_out` is called last.
        unsafe { core::slice::from_raw_parts(self.start as *const u8, len) }
    }

    /// The address of a program's body, which is to be moved; `None` if parts of it may be
    /// referenced.
    pub fn body(&self, body: Extent) -> Option<usize> {
        let offset = usize::try_from(body.offset).ok()?;
        let free = offset >= self.read && body.end() <= self.len as u64;
        free.then(|| self.start.saturating_add(offset))
    }

    /// The rest of the payload behind the table and the name of a program, which its arguments and
    /// variables may point into. The name ends `name_end` bytes from the start of the payload. With
    /// `reserve`, the addresses stay reserved.
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
    /// Unmaps the rest, or reserves its addresses.
    ///
    /// # Safety
    /// Nothing reads it afterwards. The callers' slices of it still exist, but no caller is returned
    /// to.
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
