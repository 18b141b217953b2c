//! The compiled architecture table, as the interpreter reads it from the image.
//!
//! Layout, all little-endian, every offset from the start of the table:
//!
//! ```text
//! TableHeader | RowRecord × rows | bytes that the records' extents refer to
//! ```
//!
//! A list of strings is a sequence of strings, each with its NUL. The writer (crates/table) and the
//! reader below share [`TableHeader`] and [`RowRecord`].

use core::ffi::CStr;

use crate::bytes::{self, Strings};
use crate::elf::{Class, Data, Machine};
use crate::guest::Guest;
use crate::record::{Extent, Field, record};

record! {
    /// The start of a compiled table.
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
        /// Bits of `e_flags` to compare.
        pub flags_mask: u32,
        /// Value that these bits must have.
        pub flags_value: u32,
        /// `e_machine` numbers, two bytes each.
        pub machines: Extent,
        /// `EI_OSABI` values, one byte each.
        pub osabi: Extent,
        /// Absolute paths of emulators, in the order in which they are tried. With
        /// [`Strategy::Disabled`], who has disabled the architecture.
        pub paths: Extent,
        /// Models for the emulator's option `-cpu`: the usual one, and a larger one for programs
        /// that need it.
        pub cpus: Extent,
        /// `pr_type` of the GNU property that says what a program needs; 0 if it is not read.
        pub property: u32,
        /// The property's bits that the usual model lacks.
        pub lacks: u32,
        /// Options for the emulator.
        pub options: Extent,
        /// `NAME=value` settings for the emulator.
        pub environment: Extent,
        /// Directories that may hold the guest's libraries.
        pub sysroots: Extent,
        /// The emulator's number among the image's programs; 0 if it is not embedded.
        pub program: u32,
        /// The emulator by path whose version is known, an [`AskedRecord`]; empty if there is none.
        pub asked: Extent,
    }
}

record! {
    /// An emulator by path that was asked for its version.
    pub struct AskedRecord {
        /// The row for this emulator.
        pub row: RowRecord,
        /// Its file.
        pub file: Identity,
        /// Its path and the version that it reported, two strings. Only people need them.
        pub said: Extent,
    }
}

record! {
    /// Identifies a file and detects a change, by the fields of fstat(2).
    pub struct Identity {
        /// Length in bytes.
        pub size: u64,
        /// Inode number. The device number is left out because it may change when the machine is
        /// restarted.
        pub inode: u64,
        /// Time of the last modification, in seconds since the epoch.
        pub seconds: u64,
        /// Its nanoseconds.
        pub nanoseconds: u64,
    }
}

/// First bytes of a compiled table; the last byte is the version.
pub const TABLE_MAGIC: [u8; 8] = *b"bd-arch\x04";
/// Most options and settings that one row may have, including those for all versions of its
/// emulator. The interpreter reserves this many words.
pub const MAX_ROW_WORDS: usize = 100;

/// How an emulator learns the guest's argv\[0\].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argv0 {
    /// By its option `-0` (QEMU since 1.7).
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
    /// By execve(2). This costs credentials, `comm` and time; for emulators that need it.
    Exec,
    /// Not at all: an administrator has disabled the architecture.
    Disabled,
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
            Strategy::Disabled => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Strategy::Map),
            1 => Some(Strategy::Exec),
            2 => Some(Strategy::Disabled),
            _ => None,
        }
    }
}

/// The bytes are not a table that the writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// One architecture: the headers that it accepts, and how its emulator is found and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// QEMU's name of the CPU.
    pub name: &'a CStr,
    /// The accepted `EI_CLASS`.
    pub class: Class,
    /// The accepted `EI_DATA`.
    pub data: Data,
    /// Bits of `e_flags` to compare.
    pub flags_mask: u32,
    /// Value that these bits must have.
    pub flags_value: u32,
    /// The accepted `e_machine` numbers, two bytes each.
    pub(crate) machines: &'a [u8],
    /// The accepted `EI_OSABI` values.
    pub osabi: &'a [u8],
    /// Absolute paths of emulators, in the order in which they are tried. With
    /// [`Strategy::Disabled`], who has disabled the architecture.
    pub paths: Strings<'a>,
    /// Models for the emulator's option `-cpu`: the usual one, and a larger one for programs that
    /// need it.
    pub cpus: Strings<'a>,
    /// `pr_type` of the GNU property that says what a program needs; 0 if it is not read.
    pub property: u32,
    /// The property's bits that the usual model lacks.
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
    /// The emulator's number among the image's programs; 0 if it is not embedded.
    pub program: u32,
    /// The emulator by path whose version is known, see [`Table::asked`]; empty if there is none.
    pub(crate) asked: &'a [u8],
}

/// An emulator by path that was asked for its version.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The row for this emulator.
    pub row: Row<'a>,
    /// Its file.
    pub file: Identity,
    /// Its path.
    pub path: &'a CStr,
    /// The version that it reported.
    pub version: &'a CStr,
}

impl<'a> Row<'a> {
    /// The accepted `e_machine` numbers.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + Clone + use<'a> {
        self.machines
            .chunks_exact(2)
            .filter_map(|pair| bytes::array(pair, 0))
            .map(|pair| Machine(u16::from_le_bytes(pair)))
    }

    /// Whether the row accepts this guest. [`crate::Rule::of_row`] tells the kernel the same.
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
    /// Reads the table in `bytes`.
    ///
    /// # Errors
    /// [`Corrupt`] if the magic is wrong or the rows are incomplete.
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

    /// Adapts `row` to the emulator by path in `file`. If it is not the file whose version is
    /// known, it may have another version and refuse the options and models for that one.
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

    /// The emulator by path whose version is known and that `row` has models for; `None` if there
    /// is none.
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
