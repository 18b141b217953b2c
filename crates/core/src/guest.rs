//! Stage 2, `Guest`: what the ELF header of the foreign program says.

use core::ops::Range;

use crate::bytes;
use crate::elf::{Class, Fields, Header, HeaderFault};

/// What precedes the properties in their note: three words and the name "GNU".
const NOTE_HEADER: usize = 16;
/// `n_type` of that note, `NT_GNU_PROPERTY_TYPE_0`, and its `n_namesz` and name.
const NOTE: (u32, u32, [u8; 4]) = (5, 4, *b"GNU\0");

/// What stands in `e_ident` from byte 8 on, where no rule of ours looks, in a program that is a question to the
/// interpreter: which registered file it is. `AppImage` writes `AI\x02` there, and everything else zeros.
pub const QUESTION: [u8; 8] = *b"bd-ident";
/// Offset of that in the file.
pub const QUESTION_AT: usize = 8;

/// A program for another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its ELF header, checked.
    pub header: Header,
}

impl Guest {
    /// Identifies the program whose first bytes are `head` (at least the header; more does no harm).
    ///
    /// Security rule 5: nothing of a guest is trusted. Every field that is used is checked, here and where it is used; lints
    /// forbid whatever could panic or overflow, and nothing is allocated.
    ///
    /// # Errors
    /// What QEMU's loader would refuse in the header as well.
    pub fn identify(head: &[u8]) -> Result<Self, HeaderFault> {
        Header::parse(head).map(|header| Guest { header })
    }

    /// Whether the program that begins with `head` is a question. An interpreter that does not know it runs it as a program.
    pub fn asks(head: &[u8]) -> bool {
        bytes::array(head, QUESTION_AT) == Some(QUESTION)
    }

    /// Where the program headers lie in the file; empty when there are none or the field is absurd.
    pub fn program_headers(&self) -> Range<u64> {
        match self.header.phoff.checked_add(self.header.program_headers_size()) {
            Some(end) => self.header.phoff..end,
            None => 0..0,
        }
    }

    /// Where the first segment of `kind` (`p_type`) lies in the file, given the bytes of [`Guest::program_headers`]; `None`
    /// when there is none.
    pub fn segment(&self, program_headers: &[u8], kind: u32) -> Option<Range<u64>> {
        let segment = self.header.program_headers(program_headers).find(|segment| segment.kind == kind)?;
        Some(segment.offset..segment.offset.checked_add(segment.filesz)?)
    }

    /// The property `kind`, whose data is four bytes, given the bytes of the guest's `PT_GNU_PROPERTY`. The note's descriptor
    /// is a list of `pr_type`, `pr_datasz` and data, padded to eight bytes in class 64 and four in class 32 (Linux
    /// Extensions to gABI, "Program Property").
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
            // `pr_type` and `pr_datasz`, and the data, padded.
            rest = rest.get((len.checked_add(word)?.checked_add(7)?) & !word.wrapping_sub(1)..)?;
        }
    }
}
