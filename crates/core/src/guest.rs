//! `Guest`: the contents of the foreign program's ELF header.

use core::ops::Range;

use crate::bytes;
use crate::elf::{Class, Fields, Header, HeaderFault};

/// Length of the note's header, which precedes the properties: three words and the name "GNU".
const NOTE_HEADER: usize = 16;
/// `n_type` of this note, `NT_GNU_PROPERTY_TYPE_0`, and its `n_namesz` and name.
const NOTE: (u32, u32, [u8; 4]) = (5, 4, *b"GNU\0");

/// Marks a program as a question to the interpreter: which image is registered? The mark is in
/// `e_ident` from byte 8 on, which the kernel rules do not compare. AppImage writes `AI\x02`
/// there; all other programs have zeros.
pub const QUESTION: [u8; 8] = *b"bd-ident";
/// Offset of the mark in the file.
pub const QUESTION_AT: usize = 8;

/// A program for another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The ELF header, checked.
    pub header: Header,
}

impl Guest {
    /// Identifies the program whose first bytes are `head`, which must hold at least the header.
    ///
    /// Security rule 5: nothing in a guest is trusted. Every field is checked, here or where it is
    /// used. Lints forbid code that could panic or overflow, and nothing is allocated.
    ///
    /// # Errors
    /// Every header that QEMU's loader would refuse too.
    pub fn identify(head: &[u8]) -> Result<Self, HeaderFault> {
        Header::parse(head).map(|header| Guest { header })
    }

    /// Whether the program that begins with `head` is a question. An interpreter that does not know
    /// questions runs it as a program.
    pub fn asks(head: &[u8]) -> bool {
        bytes::array(head, QUESTION_AT) == Some(QUESTION)
    }

    /// The file range of the program headers; empty if there are none or the field is invalid.
    pub fn program_headers(&self) -> Range<u64> {
        match self.header.phoff.checked_add(self.header.program_headers_size()) {
            Some(end) => self.header.phoff..end,
            None => 0..0,
        }
    }

    /// The file range of the first segment of `kind` (`p_type`). `program_headers` is the bytes of
    /// [`Guest::program_headers`]. `None` if there is no such segment.
    pub fn segment(&self, program_headers: &[u8], kind: u32) -> Option<Range<u64>> {
        let segment = self.header.program_headers(program_headers).find(|segment| segment.kind == kind)?;
        Some(segment.offset..segment.offset.checked_add(segment.filesz)?)
    }

    /// The four-byte property `kind` from the bytes of the guest's `PT_GNU_PROPERTY`. The note's
    /// descriptor is a list of `pr_type`, `pr_datasz` and data, padded to eight bytes in class 64
    /// and to four in class 32 (Linux Extensions to gABI, "Program Property").
    pub fn property(&self, note: &[u8], kind: u32) -> Option<u32> {
        let fields = |bytes| Fields { bytes, class: self.header.class, data: self.header.data };
        let header = fields(note);
        if (header.u32(8)?, header.u32(0)?, bytes::array(note, 12)?) != NOTE {
            return None;
        }
        let mut rest = bytes::slice(note, NOTE_HEADER as u64, header.u32(4)?.into())?;
        let word = if self.header.class == Class::Elf32 { 4 } else { 8 };
        loop {
            let property = fields(rest);
            let (found, len) = (property.u32(0)?, property.u32(4)? as usize);
            if found == kind && len == size_of::<u32>() {
                return property.u32(8);
            }
            // `pr_type` and `pr_datasz`, then the data with its padding.
            rest = rest.get((len.checked_add(word)?.checked_add(7)?) & !word.wrapping_sub(1)..)?;
        }
    }
}
