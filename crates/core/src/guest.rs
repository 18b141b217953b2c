//! Stage 2, `Guest`: what the ELF header of the foreign program says.

use core::ops::Range;

use crate::elf::{Fault, Header, PT_INTERP};

/// Longest `PT_INTERP` string that is looked at, its NUL included: PATH_MAX, as in the kernel's own loader.
pub const MAX_INTERPRETER: usize = 4096;

/// A program for another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its ELF header, checked.
    pub header: Header,
}

impl Guest {
    /// Identifies the program whose first bytes are `head` (at least the header; more does no harm).
    ///
    /// # Errors
    /// What QEMU's loader would refuse in the header as well.
    pub fn identify(head: &[u8]) -> Result<Self, Fault> {
        Header::parse(head).map(|header| Guest { header })
    }

    /// Where the program headers lie in the file; empty when there are none or the field is absurd.
    pub fn program_headers(&self) -> Range<u64> {
        match self.header.phoff.checked_add(self.header.program_headers_size()) {
            Some(end) => self.header.phoff..end,
            None => 0..0,
        }
    }

    /// Where the name of the dynamic linker lies in the file, its NUL included, given the bytes of
    /// [`Guest::program_headers`]; `None` for a static program and for a name that no kernel would accept.
    pub fn dynamic_linker(&self, program_headers: &[u8]) -> Option<Range<u64>> {
        let interp = self.header.program_headers(program_headers).find(|segment| segment.kind == PT_INTERP)?;
        let end = interp.offset.checked_add(interp.filesz)?;
        (2..=MAX_INTERPRETER as u64).contains(&interp.filesz).then_some(interp.offset..end)
    }
}
