//! The emulator as an ELF file: checks that it can be mapped into this process, and decides which
//! pages go where.
//!
//! After this stage, the segments are in order and do not overlap, lie inside the file, have file
//! offsets and addresses that are congruent modulo the page size, and contain the entry point. The
//! loader only has to carry out the [`Mapping`]s.

use crate::elf::{self, ET_DYN, Header, Machine, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, ProgramHeader};
use crate::message::{Number, Out, Say, display, say};

/// How much of an emulator's file is read for its headers, in bytes. Larger program header tables
/// are refused.
pub const HEAD: usize = 4096;
/// Largest address range that an emulator may occupy, in bytes. A terabyte is far more than any
/// emulator needs, and sums cannot overflow.
pub const MAX_SPAN: u64 = 1 << 40;

/// The machine that the emulator must run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The host's `e_machine`.
    pub machine: Machine,
    /// The host's class.
    pub class: elf::Class,
    /// The host's byte order.
    pub data: elf::Data,
}

/// Why an emulator cannot be mapped. The message shows it after the emulator's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmulatorFault {
    /// The ELF header is bad.
    Header(elf::HeaderFault),
    /// The emulator is for another host.
    WrongHost(Machine),
    /// The emulator needs a dynamic linker, so only execve(2) can start it.
    Dynamic,
    /// The emulator needs an executable stack, which only execve(2) provides.
    ExecutableStack,
    /// The program headers do not lie within the first [`HEAD`] bytes.
    FarHeaders,
    /// The emulator has no loadable segment.
    NoSegments,
    /// A segment ends beyond the file.
    CutShort,
    /// Segments overlap or are not in ascending order.
    Overlap,
    /// A segment is larger in the file than in memory, or its addresses overflow.
    Size,
    /// Offset and address of a segment differ modulo the page size.
    Misaligned,
    /// A segment is writable and executable.
    WritableCode,
    /// No executable segment contains the entry point.
    Entry,
    /// No segment contains all program headers, which libc needs.
    HeadersNotLoaded,
}

impl EmulatorFault {
    /// Whether execve(2) can start the emulator although it cannot be mapped.
    pub const fn needs_exec(self) -> bool {
        matches!(self, EmulatorFault::Dynamic | EmulatorFault::ExecutableStack)
    }
}

impl Say for EmulatorFault {
    fn say(&self, out: &mut Out<'_>) {
        out(match *self {
            EmulatorFault::Header(fault) => return say!(out, "is damaged (", fault, ")"),
            EmulatorFault::WrongHost(Machine(machine)) => {
                return say!(out, "is for another host (ELF machine ", Number::of(machine), ")");
            }
            EmulatorFault::Dynamic => "is dynamically linked and not static",
            EmulatorFault::ExecutableStack => "wants an executable stack",
            EmulatorFault::FarHeaders => "is damaged (program headers out of reach)",
            EmulatorFault::NoSegments => "is damaged (no loadable segment)",
            EmulatorFault::CutShort => "is damaged (a segment ends beyond the file)",
            EmulatorFault::Overlap => "is damaged (segments overlap)",
            EmulatorFault::Size => "is damaged (a segment's size is impossible)",
            EmulatorFault::Misaligned => "is not aligned to this host's pages",
            EmulatorFault::WritableCode => "has a segment that is writable and executable",
            EmulatorFault::Entry => "is damaged (entry point outside its code)",
            EmulatorFault::HeadersNotLoaded => "does not load its own program headers",
        });
    }
}

display!(EmulatorFault);

/// An emulator that can be mapped: only [`EmulatorFile::examine`] makes one. Addresses are those in
/// the file; those of a [`EmulatorFile::relocatable`] emulator all shift by the same distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmulatorFile<'a> {
    low: u64,
    high: u64,
    align: u64,
    phdr: u64,
    header: Header,
    table: &'a [u8],
    page: u64,
}

/// One segment, in the form that mmap(2) needs. All addresses and lengths except `zero` are
/// multiples of the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Start address.
    pub address: u64,
    /// Bytes mapped from the file; 0 if the segment has none.
    pub file_len: u64,
    /// Offset in the file.
    pub offset: u64,
    /// First byte after the file's part that must be zero, and the number of bytes to the end of
    /// its page.
    pub zero: (u64, u64),
    /// Bytes of zeroed memory after the file's part.
    pub fresh_len: u64,
    /// `p_flags`.
    pub flags: u32,
}

fn round_down(value: u64, page: u64) -> u64 {
    value & !page.wrapping_sub(1)
}

fn round_up(value: u64, page: u64) -> Option<u64> {
    Some(round_down(value.checked_add(page.checked_sub(1)?)?, page))
}

/// Replaces the standard library's function, which counts bits; on CPUs that may lack an
/// instruction for that, it takes 100 bytes of code.
pub(crate) fn is_power_of_two(value: u64) -> bool {
    value != 0 && value & value.wrapping_sub(1) == 0
}

impl Mapping {
    fn of(segment: &ProgramHeader, page: u64) -> Option<Self> {
        let address = round_down(segment.vaddr, page);
        let file_end = segment.vaddr.checked_add(segment.filesz)?;
        let mapped_end = if segment.filesz == 0 { address } else { round_up(file_end, page)? };
        let memory_end = round_up(segment.vaddr.checked_add(segment.memsz)?, page)?;
        let grows = segment.memsz > segment.filesz;
        Some(Mapping {
            address,
            file_len: mapped_end.checked_sub(address)?,
            offset: round_down(segment.offset, page),
            zero: if grows && segment.filesz != 0 {
                (file_end, mapped_end.checked_sub(file_end)?)
            } else {
                (file_end, 0)
            },
            fresh_len: memory_end.saturating_sub(mapped_end),
            flags: segment.flags,
        })
    }

    /// One past the segment's last address.
    fn end(&self) -> u64 {
        self.address.saturating_add(self.file_len).saturating_add(self.fresh_len)
    }
}

impl<'a> EmulatorFile<'a> {
    /// Examines an emulator for `host` with pages of `page` bytes. `head` is the first [`HEAD`]
    /// bytes of its file (fewer if the file is shorter), `file_len` the length of the file in
    /// bytes.
    ///
    /// # Errors
    /// The first [`EmulatorFault`].
    #[inline(never)]
    pub fn examine(head: &'a [u8], file_len: u64, host: Host, page: u64) -> Result<Self, EmulatorFault> {
        let header = Header::parse(head).map_err(EmulatorFault::Header)?;
        if header.machine != host.machine || header.class != host.class || header.data != host.data {
            return Err(EmulatorFault::WrongHost(header.machine));
        }
        let table =
            crate::bytes::slice(head, header.phoff, header.program_headers_size()).ok_or(EmulatorFault::FarHeaders)?;
        for segment in header.program_headers(table) {
            match segment.kind {
                PT_INTERP => return Err(EmulatorFault::Dynamic),
                PT_GNU_STACK if segment.flags & PF_X != 0 => return Err(EmulatorFault::ExecutableStack),
                _ => {}
            }
        }
        let loads = || header.program_headers(table).filter(|segment| segment.kind == PT_LOAD && segment.memsz != 0);
        let (mut low, mut high, mut align, mut phdr, mut entry_found) = (None, 0, page, None, false);
        for segment in loads() {
            let mapping = Self::check(&segment, file_len, page)?;
            if low.is_some() && mapping.address < high {
                return Err(EmulatorFault::Overlap);
            }
            low.get_or_insert(mapping.address);
            high = mapping.end();
            if is_power_of_two(segment.align) {
                align = align.max(segment.align);
            }
            // `check` has shown that these sums do not overflow.
            let holds = |start: u64, len: u64, value: u64| value.checked_sub(start).is_some_and(|within| within < len);
            entry_found |= segment.flags & PF_X != 0 && holds(segment.vaddr, segment.memsz, header.entry);
            let table_end = header.phoff.saturating_add(header.program_headers_size());
            let file_end = segment.offset.saturating_add(segment.filesz);
            if phdr.is_none() && segment.offset <= header.phoff && table_end <= file_end {
                phdr = segment.vaddr.checked_add(header.phoff.saturating_sub(segment.offset));
            }
        }
        let low = low.ok_or(EmulatorFault::NoSegments)?;
        if !entry_found {
            return Err(EmulatorFault::Entry);
        }
        if high.saturating_sub(low) > MAX_SPAN || align > MAX_SPAN {
            return Err(EmulatorFault::Size);
        }
        Ok(EmulatorFile { low, high, align, phdr: phdr.ok_or(EmulatorFault::HeadersNotLoaded)?, header, table, page })
    }

    fn check(segment: &ProgramHeader, file_len: u64, page: u64) -> Result<Mapping, EmulatorFault> {
        if segment.filesz > segment.memsz {
            return Err(EmulatorFault::Size);
        }
        if segment.offset.checked_add(segment.filesz).is_none_or(|end| end > file_len) {
            return Err(EmulatorFault::CutShort);
        }
        if (segment.offset ^ segment.vaddr) & page.wrapping_sub(1) != 0 {
            return Err(EmulatorFault::Misaligned);
        }
        if segment.flags & PF_W != 0 && segment.flags & PF_X != 0 {
            return Err(EmulatorFault::WritableCode);
        }
        let mapping = Mapping::of(segment, page).ok_or(EmulatorFault::Size)?;
        // The rest of the file's last page must be zeroed, so the segment must be writable.
        if mapping.zero.1 != 0 && segment.flags & PF_W == 0 {
            return Err(EmulatorFault::Size);
        }
        Ok(mapping)
    }

    /// Whether the emulator is position-independent (`ET_DYN`).
    pub fn relocatable(&self) -> bool {
        self.header.kind == ET_DYN
    }

    /// Lowest address, a multiple of the page size.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// One past the highest address, a multiple of the page size.
    pub fn high(&self) -> u64 {
        self.high
    }

    /// Alignment that a position-independent emulator needs, in bytes: a power of two, and at least
    /// the page size.
    pub fn align(&self) -> u64 {
        self.align
    }

    /// Entry point.
    pub fn entry(&self) -> u64 {
        self.header.entry
    }

    /// Address of the program headers.
    pub fn phdr(&self) -> u64 {
        self.phdr
    }

    /// Number of program headers.
    pub fn phnum(&self) -> u16 {
        self.header.phnum
    }

    /// The page size that the emulator was examined for, in bytes.
    pub fn page(&self) -> u64 {
        self.page
    }

    /// The segments in ascending order.
    pub fn mappings(&self) -> impl Iterator<Item = Mapping> + Clone + use<'a> {
        let page = self.page;
        self.header
            .program_headers(self.table)
            .filter(|segment| segment.kind == PT_LOAD && segment.memsz != 0)
            .filter_map(move |segment| Mapping::of(&segment, page))
    }
}
