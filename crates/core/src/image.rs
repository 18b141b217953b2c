//! The payload of a registered file: a header, the compiled table and, after it, whatever else travels along.
//!
//! It is the last PT_LOAD of the interpreter's own ELF file, so it is simply there in memory when the kernel has
//! started us. All offsets are bytes from the start of the payload, all numbers little-endian. The records here are
//! the one definition for writer and reader.

use crate::bytes;
use crate::elf::Machine;
use crate::record::{Field, record};
use crate::say::{Number, Out, Say, display, say};
use crate::table::{Corrupt, Table};

record! {
    /// A range of bytes.
    pub struct Extent {
        /// Bytes from the start of whatever holds it.
        pub offset: u64,
        /// Length in bytes.
        pub len: u64,
    }
}

record! {
    /// Begins the payload.
    pub struct ImageHeader {
        /// [`IMAGE_MAGIC`].
        pub magic: [u8; 8],
        /// [`IMAGE_VERSION`].
        pub version: u32,
        /// `e_machine` of the host that the file is for.
        pub host: u16,
        /// Keeps what follows at multiples of eight; zero.
        pub reserved: u16,
        /// Length of the whole payload.
        pub len: u64,
        /// The compiled table.
        pub table: Extent,
    }
}

/// First bytes of a payload.
pub const IMAGE_MAGIC: [u8; 8] = *b"bd-image";
/// Version of the layout.
pub const IMAGE_VERSION: u32 = 1;

/// What is wrong with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is none, or something else is in its place.
    NoPayload,
    /// Of a version that this reader does not know.
    Version(u32),
    /// For another kind of host.
    Host(Machine),
    /// A field points outside.
    Corrupt,
}

impl From<Corrupt> for Fault {
    fn from(Corrupt: Corrupt) -> Self {
        Fault::Corrupt
    }
}

impl Say for Fault {
    fn say(&self, out: &mut Out<'_>) {
        match *self {
            Fault::NoPayload => say!(out, "carries no architecture table"),
            Fault::Version(found) => {
                say!(out, "has layout version ", Number::of(found), ", not ", Number::of(IMAGE_VERSION))
            }
            Fault::Host(Machine(machine)) => say!(out, "is for hosts of ELF machine ", Number::of(machine)),
            Fault::Corrupt => say!(out, "is damaged"),
        }
    }
}

display!(Fault);

impl ImageHeader {
    /// Checks what a reader on a host of `machine` must know before it looks further.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn check(&self, machine: Machine) -> Result<(), Fault> {
        if self.magic != IMAGE_MAGIC {
            return Err(Fault::NoPayload);
        }
        if self.version != IMAGE_VERSION {
            return Err(Fault::Version(self.version));
        }
        if Machine(self.host) != machine {
            return Err(Fault::Host(Machine(self.host)));
        }
        Ok(())
    }
}

/// The payload of a registered file.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The architectures.
    pub table: Table<'a>,
}

impl<'a> Image<'a> {
    /// Reads the payload in `bytes`, which may be longer, for a host of `machine`.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(bytes: &'a [u8], machine: Machine) -> Result<Self, Fault> {
        let header = ImageHeader::read(bytes).ok_or(Fault::NoPayload)?;
        header.check(machine)?;
        let payload = bytes::slice(bytes, 0, header.len).ok_or(Fault::Corrupt)?;
        let table = bytes::slice(payload, header.table.offset, header.table.len).ok_or(Fault::Corrupt)?;
        Ok(Image { table: Table::read(table)? })
    }
}
