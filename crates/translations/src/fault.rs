//! Why a file is not used.

use std::fmt;

/// Why a file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is shorter than a header, or does not begin with the magic.
    Magic,
    /// It has this version.
    Version(u32),
    /// The header's checksum is wrong.
    Checksum,
    /// A table is not within the file, or the number of slots is not a power of two or too small.
    Index,
    /// The records end outside the file, or before they begin: the file was cut short.
    End,
    /// No QEMU writes such an origin.
    Origin,
    /// It is not of the same build of the emulator, host or CPU model as another one.
    Other,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Magic => write!(out, "not a file of translated code"),
            Fault::Version(version) => {
                write!(out, "translated code in another version of its format: {version}")
            }
            Fault::Checksum => write!(out, "the header or a table of the translated code is damaged"),
            Fault::Index => write!(out, "a table of the translated code is outside the file"),
            Fault::End => write!(out, "the translated code is cut short"),
            Fault::Origin => write!(out, "the origin of the translated code is damaged"),
            Fault::Other => write!(out, "translated code for another emulator, host or CPU model"),
        }
    }
}

impl std::error::Error for Fault {}
