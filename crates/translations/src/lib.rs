//! Files of translated code, as a patched QEMU keeps and shares them: a *record* holds the code that
//! QEMU made of one block of the guest's program, and all that this code was made from.
//!
//! [`File`] reads a file in place, as QEMU does. [`Translations`] has all of its records that are
//! sound, and writes them as a finished file. docs/translations-format.md describes the format; its
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
mod translations;

pub use block::{Block, Key};
pub use fault::Fault;
pub use file::File;
pub use layout::{FileHeader, MAGIC, Model, OriginRecord, PAGE, RecordHeader, SLOTS, VERSION, checksum};
pub use origin::Origin;
pub use translations::Translations;
