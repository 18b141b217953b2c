//! The compiled architecture table, as the interpreter reads it from the image.
//!
//! Layout, all little-endian, every offset from the start of the table:
//!
//! ```text
//! TableHeader | RowRecord × rows | bytes that the records' extents refer to
//! ```
//!
//! A list of strings is a sequence of strings, each with its NUL. The writer (crates/table) and the
//! reader below share the records.

use core::ffi::CStr;

use crate::bytes::{self, Strings};
use crate::record::{Extent, Field, record};
use crate::row::COMMAND;
pub use crate::row::{Argv0, Row, RowLists, RowRecord, Strategy};

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
    /// A row for the guests below a directory, in place of the architecture's own.
    pub struct BelowRecord {
        /// The row; it has no such rows itself.
        pub row: RowRecord,
        /// The directory's path and a slash, without a NUL.
        pub directory: Extent,
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
pub const TABLE_MAGIC: [u8; 8] = *b"bd-arch\x05";
/// Most options and settings that one row may have, including those for all versions of its
/// emulator. The interpreter reserves this many words.
pub const MAX_ROW_WORDS: usize = 100;

/// The bytes are not a table that the writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

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
        self.records.chunks_exact(RowRecord::SIZE).map(move |record| Row::of(table.bytes, record).ok_or(Corrupt))
    }

    /// Adapts `row` to the emulator by path in `file`. If it is not the file whose version is
    /// known, it may have another version and refuse the options and models for that one.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn fit(&self, row: &mut Row<'a>, file: Identity) -> Result<(), Corrupt> {
        let asked = row.asked();
        if asked.get(RowRecord::SIZE..).and_then(Identity::read) == Some(file) {
            *row = Row::of(self.bytes, asked).ok_or(Corrupt)?;
        }
        Ok(())
    }

    /// The emulator by path whose version is known and that `row` has models for; `None` if there
    /// is none.
    pub fn asked(&self, row: &Row<'a>) -> Option<Asked<'a>> {
        let asked = row.asked();
        let AskedRecord { file, said, .. } = AskedRecord::read(asked)?;
        let row = Row::of(self.bytes, asked)?;
        let mut said = Strings::new(row.list(said)?)?.iter();
        Some(Asked { row, file, path: said.next()?, version: said.next()? })
    }

    /// Changes `row` to the row for a guest whose file is at `path`: that of the first of the row's
    /// directories that contains it, if any. A row that finds its emulator by path does not apply to
    /// a guest that is `secure` (security rule 1).
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn fit_to_path(&self, row: &mut Row<'a>, path: &[u8], secure: bool) -> Result<(), Corrupt> {
        for below in self.below(row) {
            let (directory, below) = below?;
            if path.starts_with(directory) && (!secure || below.program() != COMMAND) {
                *row = below;
                break;
            }
        }
        Ok(())
    }

    /// The directories, each with a slash at its end, that have rows of their own for guests which
    /// `row` accepts; and these rows.
    pub fn below(&self, row: &Row<'a>) -> impl Iterator<Item = Result<(&'a [u8], Row<'a>), Corrupt>> + use<'a> {
        let bytes = self.bytes;
        row.below().chunks_exact(BelowRecord::SIZE).map(move |record| {
            let row = Row::of(bytes, record).ok_or(Corrupt)?;
            let directory = record.get(RowRecord::SIZE..).and_then(Extent::read).and_then(|extent| row.list(extent));
            Ok((directory.ok_or(Corrupt)?, row))
        })
    }
}
