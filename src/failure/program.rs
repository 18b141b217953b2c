//! Why a program cannot be embedded in an image.

use std::fmt;

use dispatch_core::emulator_file;

/// Why a program cannot be laid out. Displayed after its path.
#[derive(Debug, PartialEq, Eq)]
pub enum ProgramFault {
    /// It cannot be mapped at all.
    Program(emulator_file::EmulatorFault),
    /// Its segments are so far apart that the image would be mostly holes.
    Sparse,
    /// It has more segments than that.
    Segments(usize),
    /// Its fresh memory is not just readable and writable.
    Bss,
    /// It is an image, not an emulator.
    Image,
    /// It is to keep translations, and is not an emulator that does.
    KeepsNoTranslations,
    /// It keeps translations, and has made none of the programs that ran.
    RecordedNothing,
    /// The ELF reader does not accept it.
    Unreadable(String),
}

impl ProgramFault {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            ProgramFault::KeepsNoTranslations | ProgramFault::RecordedNothing => {
                "leave out --translate, or name one that `ci/emulators` builds"
            }
            ProgramFault::Image => "name the emulator's own file",
            _ => "leave it out, or get a static one",
        }
    }

    /// Whether the program could be laid out for smaller pages.
    pub fn is_about_pages(&self) -> bool {
        use emulator_file::EmulatorFault::{Misaligned, Overlap, Size};
        matches!(self, ProgramFault::Program(Misaligned | Overlap | Size))
    }
}

impl fmt::Display for ProgramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProgramFault::Program(fault) => fault.fmt(f),
            ProgramFault::Sparse => f.write_str("has segments that are too far apart"),
            ProgramFault::Segments(most) => write!(f, "has more than {most} segments"),
            ProgramFault::Bss => f.write_str("has zeroed memory that is not readable and writable"),
            ProgramFault::Image => f.write_str("is an image itself"),
            ProgramFault::KeepsNoTranslations => f.write_str("keeps no translations"),
            ProgramFault::RecordedNothing => f.write_str("has recorded no translations"),
            ProgramFault::Unreadable(reason) => write!(f, "is damaged ({reason})"),
        }
    }
}

impl From<emulator_file::EmulatorFault> for ProgramFault {
    fn from(fault: emulator_file::EmulatorFault) -> Self {
        ProgramFault::Program(fault)
    }
}
