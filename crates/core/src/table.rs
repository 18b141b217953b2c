//! The compiled architecture table, as the interpreter reads it out of the image; and stage 3, the choice of the row.
//!
//! Layout, all little-endian, every offset from the start of the table:
//!
//! ```text
//! TableHeader | RowRecord × rows | bytes that the records' extents point into
//! ```
//!
//! Lists of strings are the strings one after the other, each with its NUL. [`TableHeader`] and [`RowRecord`] are the
//! one definition for the writer (package dispatch-table) and for the reader below.

use core::ffi::CStr;

use crate::bytes::{self, Strings};
use crate::elf::{Class, Data, Machine};
use crate::guest::Guest;
use crate::record::{Extent, Field, record};

record! {
    /// Begins a compiled table.
    pub struct TableHeader {
        /// [`TABLE_MAGIC`].
        pub magic: [u8; 8],
        /// Number of rows.
        pub rows: u32,
    }
}

record! {
    /// One architecture.
    pub struct RowRecord {
        /// QEMU's name of the CPU, one string.
        pub name: Extent,
        /// `EI_CLASS`.
        pub class: u8,
        /// `EI_DATA`.
        pub data: u8,
        /// [`Argv0`].
        pub argv0: u8,
        /// [`Strategy`].
        pub strategy: u8,
        /// Bits of `e_flags` that are looked at.
        pub flags_mask: u32,
        /// What these bits must be.
        pub flags_value: u32,
        /// `e_machine` numbers, two bytes each.
        pub machines: Extent,
        /// `EI_OSABI` values, one byte each.
        pub osabi: Extent,
        /// Absolute paths of emulators, in the order in which they are tried.
        pub paths: Extent,
        /// Models for the emulator's option `-cpu`: the usual one, and a larger one for programs that need it.
        pub cpus: Extent,
        /// `pr_type` of the GNU property that says what a program needs; 0 if nobody looks at it.
        pub property: u32,
        /// Its bits that the usual model lacks.
        pub lacks: u32,
        /// Options for the emulator.
        pub options: Extent,
        /// `NAME=value` settings for the emulator.
        pub environment: Extent,
        /// Directories that may hold the guest's libraries.
        pub sysroots: Extent,
        /// Number of the emulator among the image's programs; 0 if it is not embedded.
        pub program: u32,
        /// The emulator by its path that was asked for its version, an [`AskedRecord`]; empty if none was.
        pub asked: Extent,
    }
}

record! {
    /// An emulator by its path that was asked for its version.
    pub struct AskedRecord {
        /// The row as it is for this emulator.
        pub row: RowRecord,
        /// Its file.
        pub file: Identity,
        /// Its path and what it said its version is, two strings; only people want to know.
        pub said: Extent,
    }
}

record! {
    /// Which file it is, and whether it is still as it was: what fstat(2) says of it.
    pub struct Identity {
        /// Length in bytes.
        pub size: u64,
        /// Inode number. Not the device's, which may be another one when the machine has been started again.
        pub inode: u64,
        /// When it was modified last, in seconds since the epoch.
        pub seconds: u64,
        /// And nanoseconds.
        pub nanoseconds: u64,
    }
}

/// First bytes of a compiled table; the last one is the version.
pub const TABLE_MAGIC: [u8; 8] = *b"bd-arch\x03";
/// Most options and settings that one row may have, those for all versions of its emulator counted: the interpreter has
/// words to spare for so many.
pub const MAX_ROW_WORDS: usize = 100;

/// How an emulator learns the guest's argv\[0\].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argv0 {
    /// By its option `-0`; QEMU since 1.7.
    DashZero,
    /// In front of the arguments, announced by `AT_FLAGS` bit 0.
    Auxv,
    /// Not at all.
    None,
}

/// How the process becomes the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Its segments are mapped into this process, which jumps to its entry point.
    Map,
    /// By execve(2); costs credentials, `comm` and time, for emulators that insist on it.
    Exec,
}

impl Argv0 {
    /// The byte in [`RowRecord::argv0`].
    pub const fn code(self) -> u8 {
        match self {
            Argv0::DashZero => 0,
            Argv0::Auxv => 1,
            Argv0::None => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Argv0::DashZero),
            1 => Some(Argv0::Auxv),
            2 => Some(Argv0::None),
            _ => None,
        }
    }
}

impl Strategy {
    /// The byte in [`RowRecord::strategy`].
    pub const fn code(self) -> u8 {
        match self {
            Strategy::Map => 0,
            Strategy::Exec => 1,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Strategy::Map),
            1 => Some(Strategy::Exec),
            _ => None,
        }
    }
}

/// The table's bytes are not what the writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// One architecture: what headers it accepts, and how its emulator is found and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// QEMU's name of the CPU.
    pub name: &'a CStr,
    /// `EI_CLASS` that it accepts.
    pub class: Class,
    /// `EI_DATA` that it accepts.
    pub data: Data,
    /// Bits of `e_flags` that are looked at.
    pub flags_mask: u32,
    /// What these bits must be.
    pub flags_value: u32,
    /// `e_machine` numbers that it accepts, two bytes each.
    pub(crate) machines: &'a [u8],
    /// `EI_OSABI` values that it accepts.
    pub osabi: &'a [u8],
    /// Absolute paths of emulators, in the order in which they are tried.
    pub paths: Strings<'a>,
    /// Models for the emulator's option `-cpu`: the usual one, and a larger one for programs that need it.
    pub cpus: Strings<'a>,
    /// `pr_type` of the GNU property that says what a program needs; 0 if nobody looks at it.
    pub property: u32,
    /// Its bits that the usual model lacks.
    pub lacks: u32,
    /// Options for the emulator.
    pub options: Strings<'a>,
    /// `NAME=value` settings for the emulator.
    pub environment: Strings<'a>,
    /// Directories that may hold the guest's libraries.
    pub sysroots: Strings<'a>,
    /// How the emulator learns the guest's argv\[0\].
    pub argv0: Argv0,
    /// How the process becomes the emulator.
    pub strategy: Strategy,
    /// Number of the emulator among the image's programs; 0 if it is not embedded.
    pub program: u32,
    /// The emulator by its path that was asked for its version, see [`Table::asked`]; empty if none was.
    pub(crate) asked: &'a [u8],
}

/// An emulator by its path that was asked for its version.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The row as it is for this emulator.
    pub row: Row<'a>,
    /// Its file.
    pub file: Identity,
    /// Its path.
    pub path: &'a CStr,
    /// What it said its version is.
    pub version: &'a CStr,
}

impl<'a> Row<'a> {
    /// The `e_machine` numbers that it accepts.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + Clone + use<'a> {
        self.machines
            .chunks_exact(2)
            .filter_map(|pair| bytes::array(pair, 0))
            .map(|pair| Machine(u16::from_le_bytes(pair)))
    }

    /// Whether the row is for this guest; [`crate::Rule::of_row`] says the same to the kernel.
    pub fn accepts(&self, guest: &Guest) -> bool {
        let header = &guest.header;
        self.class == header.class
            && self.data == header.data
            && self.machines().any(|machine| machine == header.machine)
            && header.flags & self.flags_mask == self.flags_value
            && self.osabi.contains(&header.osabi)
    }
}

/// The compiled table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    bytes: &'a [u8],
    records: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table in `bytes`.
    ///
    /// # Errors
    /// [`Corrupt`], when the magic is another or the rows are not all there.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let header = TableHeader::read(bytes).filter(|header| header.magic == TABLE_MAGIC).ok_or(Corrupt)?;
        let len = u64::from(header.rows).saturating_mul(RowRecord::SIZE as u64);
        let records = bytes::slice(bytes, TableHeader::SIZE as u64, len).ok_or(Corrupt)?;
        Ok(Table { bytes, records })
    }

    /// The rows, in the order of arch-table.json.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row<'a>, Corrupt>> + Clone + use<'a> {
        let table = *self;
        self.records.chunks_exact(RowRecord::SIZE).map(move |record| table.row(record).ok_or(Corrupt))
    }

    /// Makes `row` what it is for the emulator by its path that is `file`. Unless that is the one that was asked, it may be of
    /// another version, and refuse what is for that one.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn fit(&self, row: &mut Row<'a>, file: Identity) -> Result<(), Corrupt> {
        if row.asked.get(RowRecord::SIZE..).and_then(Identity::read) == Some(file) {
            let Row { cpus, lacks, options, .. } = self.row(row.asked).ok_or(Corrupt)?;
            (row.cpus, row.lacks, row.options) = (cpus, lacks, options);
        }
        Ok(())
    }

    /// The emulator by its path that was asked for its version, and that `row` has models for; `None` if none was.
    pub fn asked(&self, row: &Row<'a>) -> Option<Asked<'a>> {
        let AskedRecord { file, said, .. } = AskedRecord::read(row.asked)?;
        let mut said = self.strings(said)?.iter();
        Some(Asked { row: self.row(row.asked)?, file, path: said.next()?, version: said.next()? })
    }

    #[inline(never)]
    fn strings(&self, extent: Extent) -> Option<Strings<'a>> {
        bytes::slice(self.bytes, extent.offset, extent.len).and_then(Strings::new)
    }

    #[inline(never)]
    fn row(&self, record: &[u8]) -> Option<Row<'a>> {
        let record = RowRecord::read(record)?;
        let at = |extent: Extent| bytes::slice(self.bytes, extent.offset, extent.len);
        let strings = |extent| self.strings(extent);
        Some(Row {
            name: strings(record.name)?.iter().next()?,
            class: Class::from_ident(record.class)?,
            data: Data::from_ident(record.data)?,
            flags_mask: record.flags_mask,
            flags_value: record.flags_value,
            machines: at(record.machines)?,
            osabi: at(record.osabi)?,
            paths: strings(record.paths)?,
            cpus: strings(record.cpus)?,
            property: record.property,
            lacks: record.lacks,
            options: strings(record.options)?,
            environment: strings(record.environment)?,
            sysroots: strings(record.sysroots)?,
            argv0: Argv0::from_code(record.argv0)?,
            strategy: Strategy::from_code(record.strategy)?,
            program: record.program,
            asked: at(record.asked)?,
        })
    }
}
