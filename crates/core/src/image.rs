//! The payload of an image: a header, the compiled table, and the embedded programs.
//!
//! The payload is the last `PT_LOAD` of the interpreter's own ELF file, so it is in memory when the
//! kernel starts the interpreter. All offsets are bytes from the start of the payload, and all
//! numbers are little-endian. Writer and reader share the records defined here.
//! docs/image-format.md describes the whole file.

use core::ffi::CStr;

use crate::bytes::{self, Strings};
use crate::elf::{Machine, PF_W, PF_X};
use crate::emulator_file::is_power_of_two;
use crate::message::{Number, Out, Say, display, say};
use crate::record::{Extent, Field, record};
pub use crate::row::COMMAND;
use crate::table::{Corrupt, Row, Table};

record! {
    /// The start of the payload.
    pub struct ImageHeader {
        /// [`IMAGE_MAGIC`].
        pub magic: [u8; 8],
        /// [`IMAGE_VERSION`].
        pub version: u32,
        /// `e_machine` of the host that the image is for.
        pub host: u16,
        /// Keeps the following fields at multiples of eight; zero.
        pub reserved: u16,
        /// Largest page size of the hosts that the image is for, in bytes: the alignment of bodies.
        pub page: u64,
        /// Length of the whole payload, in bytes.
        pub len: u64,
        /// The compiled table.
        pub table: Extent,
        /// The programs, one [`ProgramRecord`] each; number 0 is the command.
        pub programs: Extent,
        /// The origins of the programs, one [`OriginRecord`] each, in the same order.
        pub origins: Extent,
        /// The table as JSON, for people.
        pub json: Extent,
        /// The number from which the addresses of the programs were computed.
        pub seed: u64,
        /// SHA-256 of the contents. It identifies the image.
        pub identity: [u8; 32],
        /// [`checksum`] of the header's bytes before this field.
        pub checksum: u64,
    }
}

record! {
    /// A program, laid out as it will be in memory.
    pub struct ProgramRecord {
        /// File name, one string.
        pub name: Extent,
        /// 1 if the program can run at any address (`ET_DYN`), 0 if it must be at
        /// [`ProgramRecord::low`].
        pub relocatable: u64,
        /// Lowest address in the file. The addresses below are also those in the file.
        pub low: u64,
        /// One past the highest address.
        pub high: u64,
        /// Alignment, in bytes.
        pub align: u64,
        /// Address that the body is relocated for: if `low` is mapped there, all pointers are
        /// right. 0 if there is none.
        pub base: u64,
        /// Entry point.
        pub entry: u64,
        /// Address of the program headers.
        pub phdr: u64,
        /// Number of program headers.
        pub phnum: u64,
        /// Bytes of memory from `low` to the last byte that is not zero, in whole pages.
        pub body: Extent,
        /// The permissions of its parts, one [`SegmentRecord`] each, in ascending order.
        pub segments: Extent,
        /// The words to write if the program is not mapped at `base`, one [`WordRecord`] each.
        pub words: Extent,
    }
}

record! {
    /// The file that a program was read from. Only people need it.
    pub struct OriginRecord {
        /// Its path, one string.
        pub path: Extent,
        /// The version that it reported, one string; empty if it reported none.
        pub version: Extent,
        /// SHA-256 of the file.
        pub digest: [u8; 32],
        /// Length of the file, in bytes.
        pub size: u64,
    }
}

record! {
    /// Permissions of a part of a program, in whole pages. A part of the body outside all segments
    /// is readable and executable. Memory behind the body is zero, and outside all segments it is
    /// inaccessible.
    pub struct SegmentRecord {
        /// Start address.
        pub address: u64,
        /// Length in bytes.
        pub len: u64,
        /// `p_flags`; 0 for a gap.
        pub flags: u64,
    }
}

record! {
    /// A machine word of a body.
    pub struct WordRecord {
        /// Address of the word.
        pub address: u64,
        /// Value to write.
        pub value: u64,
    }
}

/// First bytes of a payload.
pub const IMAGE_MAGIC: [u8; 8] = *b"bd-image";
/// Smallest page size of any host.
pub const SMALLEST_PAGE: u64 = 4096;
/// Version of the layout.
pub const IMAGE_VERSION: u32 = 2;
/// Largest `p_flags` of a segment: readable, writable and executable.
const MAX_FLAGS: u64 = 7;

/// 64-bit FNV-1a: it needs no preparation, and detects every change of a single byte.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Why a payload cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFault {
    /// There is no payload, or something else is in its place.
    NoPayload,
    /// This reader does not know the version.
    Version(u32),
    /// The image is for another kind of host.
    Host(Machine),
    /// The image, or a program in it, is for hosts with smaller pages.
    Page,
    /// A field points outside the payload.
    Corrupt,
    /// The file is shorter than its header says.
    CutShort,
}

impl From<Corrupt> for ImageFault {
    fn from(Corrupt: Corrupt) -> Self {
        ImageFault::Corrupt
    }
}

impl Say for ImageFault {
    fn say(&self, out: &mut Out<'_>) {
        match *self {
            ImageFault::NoPayload => out("has no architecture table"),
            ImageFault::Version(found) => {
                say!(out, "has layout version ", Number::of(found), ", not ", Number::of(IMAGE_VERSION));
            }
            ImageFault::Host(Machine(machine)) => say!(out, "is for hosts of ELF machine ", Number::of(machine)),
            ImageFault::Page => out("is for hosts with smaller pages"),
            ImageFault::Corrupt => out("is damaged"),
            ImageFault::CutShort => out("is cut short"),
        }
    }
}

display!(ImageFault);

impl ImageHeader {
    /// Reads the header at the start of `payload`, and makes the checks that must come first on a
    /// host of `machine`.
    ///
    /// # Errors
    /// [`ImageFault`].
    pub fn open(payload: &[u8], machine: Machine) -> Result<Self, ImageFault> {
        let header = ImageHeader::read(payload).ok_or(ImageFault::NoPayload)?;
        if header.magic != IMAGE_MAGIC {
            return Err(ImageFault::NoPayload);
        }
        if header.version != IMAGE_VERSION {
            return Err(ImageFault::Version(header.version));
        }
        if header.sum(payload) != Some(header.checksum) {
            return Err(ImageFault::Corrupt);
        }
        if Machine(header.host) != machine {
            return Err(ImageFault::Host(Machine(header.host)));
        }
        Ok(header)
    }

    /// Bytes of the payload before the bodies. A reader looks at these only.
    pub fn meta_len(&self) -> u64 {
        self.table.end().max(self.programs.end()).max(self.origins.end()).max(self.json.end()).min(self.len)
    }

    /// The checksum of a header with these bytes.
    pub fn sum(&self, bytes: &[u8]) -> Option<u64> {
        bytes.get(..ImageHeader::SIZE.checked_sub(u64::SIZE)?).map(checksum)
    }
}

/// The payload of an image.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The table.
    pub table: Table<'a>,
    /// Page size of this host, in bytes.
    pub page: u64,
    /// Length of the payload.
    pub len: u64,
    /// End of the table, in bytes from the start of the payload.
    pub table_end: u64,
    /// Bytes of the payload before the bodies.
    meta_len: u64,
    bytes: &'a [u8],
    programs: &'a [u8],
}

/// A program of an image, with every field checked. Addresses are those in the file.
#[derive(Clone, Copy, Debug)]
pub struct Embedded<'a> {
    name: &'a CStr,
    record: ProgramRecord,
    segments: &'a [u8],
    words: &'a [u8],
}

impl<'a> Image<'a> {
    /// Reads a payload of `len` bytes for a host of `machine` with pages of `page` bytes, a power
    /// of two. `bytes` may end where the bodies begin.
    ///
    /// # Errors
    /// [`ImageFault`].
    pub fn read(bytes: &'a [u8], len: u64, machine: Machine, page: u64) -> Result<Self, ImageFault> {
        Self::of(&ImageHeader::open(bytes, machine)?, bytes, len, page)
    }

    /// Reads a payload whose header has been opened. `bytes` holds at least
    /// [`ImageHeader::meta_len`] bytes.
    ///
    /// # Errors
    /// [`ImageFault`].
    pub fn of(header: &ImageHeader, bytes: &'a [u8], len: u64, page: u64) -> Result<Self, ImageFault> {
        // A multiple of a larger page size is also a multiple of the host's.
        if header.page & page.wrapping_sub(1) != 0 {
            return Err(ImageFault::Page);
        }
        if header.len != len {
            return Err(ImageFault::CutShort);
        }
        let at = |extent: Extent| bytes::slice(bytes, extent.offset, extent.len).ok_or(ImageFault::Corrupt);
        let table = Table::read(at(header.table)?)?;
        let table_end = header.table.end();
        let meta_len = header.meta_len();
        Ok(Image { table, page, len, table_end, meta_len, bytes, programs: at(header.programs)? })
    }

    /// A table without an image: emulators are found by their paths.
    pub fn without_programs(table: Table<'a>) -> Self {
        Image { table, page: 1, len: 0, table_end: 0, meta_len: 0, bytes: &[], programs: &[] }
    }

    /// [`ImageHeader::identity`]; empty if there is no image.
    pub fn identity(&self) -> &'a [u8] {
        let end = ImageHeader::SIZE.saturating_sub(u64::SIZE);
        self.bytes.get(end.saturating_sub(<[u8; 32]>::SIZE)..end).unwrap_or_default()
    }

    /// The programs, the command first.
    ///
    /// # Errors
    /// [`ImageFault::Corrupt`], for each program.
    pub fn programs(&self) -> impl Iterator<Item = Result<Embedded<'a>, ImageFault>> + use<'a> {
        let image = *self;
        let records = self.programs.chunks_exact(ProgramRecord::SIZE).map(ProgramRecord::read);
        records.map(move |record| record.and_then(|record| image.check(record)).ok_or(ImageFault::Corrupt))
    }

    /// The emulator of a row, if it is embedded.
    ///
    /// # Errors
    /// [`ImageFault::Corrupt`].
    pub fn emulator(&self, row: &Row<'_>) -> Result<Option<Embedded<'a>>, ImageFault> {
        if row.program() == COMMAND { Ok(None) } else { self.program(row.program()).map(Some) }
    }

    /// A program by its number.
    ///
    /// # Errors
    /// [`ImageFault::Corrupt`]: there is no such program, or one of its fields is out of range.
    pub fn program(&self, number: u32) -> Result<Embedded<'a>, ImageFault> {
        let record = self.programs.chunks_exact(ProgramRecord::SIZE).nth(number as usize);
        record.and_then(ProgramRecord::read).and_then(|record| self.check(record)).ok_or(ImageFault::Corrupt)
    }

    #[inline(never)]
    fn check(&self, record: ProgramRecord) -> Option<Embedded<'a>> {
        let at = |extent: Extent| bytes::slice(self.bytes, extent.offset, extent.len);
        let string = |extent| at(extent).and_then(Strings::new)?.iter().next();
        let ProgramRecord { low, high, align, base, body, .. } = record;
        let page = self.page;
        let aligned = |number: u64| number & page.wrapping_sub(1) == 0;
        let end = low.checked_add(body.len)?;
        let good = body.offset >= self.meta_len
            && body.offset.checked_add(body.len)? <= self.len
            && is_power_of_two(align)
            && [low, high, base, body.offset, body.len].into_iter().all(aligned)
            && low < high
            && end <= high
            && high.checked_sub(low)? <= crate::emulator_file::MAX_SPAN
            && align <= crate::emulator_file::MAX_SPAN
            && (low..end).contains(&record.entry)
            && (low..end).contains(&record.phdr)
            && record.phnum <= u16::MAX.into()
            && match record.relocatable {
                0 => base == 0,
                flag => flag == 1,
            };
        let program =
            Embedded { name: string(record.name)?, record, segments: at(record.segments)?, words: at(record.words)? };
        let mut reached = low;
        let placed = program.segments().all(|segment| {
            let SegmentRecord { address, len, flags } = segment;
            let writable_code = u64::from(PF_W | PF_X);
            let apart = address >= reached && aligned(address) && aligned(len);
            let Some(past) = address.checked_add(len).filter(|past| apart && *past <= high) else { return false };
            reached = past;
            flags <= MAX_FLAGS && flags & writable_code != writable_code
        });
        // Parts outside all segments cannot be written to.
        let restorable =
            |word: WordRecord| word.address & 7 == 0 && program.is_writable(word.address, u64::SIZE as u64);
        (good && placed && program.words().all(restorable)).then_some(program)
    }
}

impl<'a> Embedded<'a> {
    /// Its file name.
    pub fn name(&self) -> &'a CStr {
        self.name
    }

    /// Its record, checked.
    pub fn record(&self) -> &ProgramRecord {
        &self.record
    }

    /// The parts of the program that have their own permissions.
    pub fn segments(&self) -> impl Iterator<Item = SegmentRecord> + Clone + use<'a> {
        self.segments.chunks_exact(SegmentRecord::SIZE).filter_map(SegmentRecord::read)
    }

    /// Whether all `len` bytes at `address` are in one writable segment.
    fn is_writable(&self, address: u64, len: u64) -> bool {
        let holds = |segment: SegmentRecord| {
            let within = address.checked_sub(segment.address).and_then(|offset| offset.checked_add(len));
            segment.flags & u64::from(PF_W) != 0 && within.is_some_and(|last| last <= segment.len)
        };
        self.segments().any(holds)
    }

    /// The words to write if the program is not at its base address.
    pub fn words(&self) -> impl Iterator<Item = WordRecord> + Clone + use<'a> {
        self.words.chunks_exact(WordRecord::SIZE).filter_map(WordRecord::read)
    }
}
