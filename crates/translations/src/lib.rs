//! Files of translated code, as a patched QEMU keeps and shares them: a *record* holds the code that
//! QEMU made of one block of the guest's program, and all that this code was made from.
//!
//! QEMU appends records to a file, and [`File`] reads it. [`Translations`] has all records of such
//! files that are sound, and writes them as a finished file, in which they are packed. [`Packed`]
//! reads that in place, as QEMU does. docs/translations-format.md describes the format; its
//! source is `accel/tcg/tb-records.c` of that QEMU.
//!
//! The checksums detect accidents. Code in a file that someone else can write to is that person's
//! code, whatever these checks say.
#![forbid(unsafe_code)]

mod block;
mod fault;
mod file;
mod index;
mod layout;
mod origin;
mod pack;
mod packed;
mod translations;

pub use block::{Block, Key};
pub use fault::Fault;
pub use file::File;
pub use layout::{
    CF_PCREL, CHUNK, FileHeader, MAGIC, Model, OriginRecord, PACKED_MAGIC, PACKED_VERSION, PAGE, PackedHeader,
    PackedRecord, RecordHeader, SLOTS, StateRecord, VERSION, checksum, chunk_checksum,
};
pub use origin::Origin;
pub use packed::{Packed, PackedBlock};
pub use translations::Translations;
