//! What can be wrong with a table.

use std::fmt;

use crate::VERSION;

/// Why a table is refused; displayed as one line, in front of which the caller puts the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is not JSON, or lacks a field, or has one too many or of the wrong type.
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// It is of another version.
    Version(u32),
    /// An architecture's name cannot be part of the name of a kernel's entry.
    Name {
        /// The architecture's place in the list, from 1.
        place: usize,
        /// The name.
        name: String,
    },
    /// Something else is wrong with an architecture.
    Architecture {
        /// Its name.
        name: String,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with an architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It lacks a field, or has one too many or of the wrong type; of a row that was put together from two.
    Fields(String),
    /// An alias has characters that no tool uses in one, or begins with `linux/`, which is added where it is wanted.
    Alias(String),
    /// Its name or one of its aliases is taken.
    Taken {
        /// The name or alias.
        name: String,
        /// The architecture that has it; perhaps the same one.
        by: String,
    },
    /// A list that needs at least one value has none.
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The CPU model is where it would win over, or lose to, what has the say: the field `cpu` and the caller's QEMU_CPU.
    Model {
        /// The field.
        field: &'static str,
    },
    /// A list has the same value twice.
    Twice {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// A string has a NUL, which ends strings in the compiled table.
    Nul {
        /// The field.
        field: &'static str,
        /// The string.
        value: String,
    },
    /// No bits of `e_flags` are looked at.
    NoFlags,
    /// Bits of `e_flags` are asked for that nobody looks at.
    FlagsValue {
        /// Bits that are looked at.
        mask: u32,
        /// What they must be.
        value: u32,
    },
    /// An emulator is neither a file name nor an absolute path.
    Emulator(String),
    /// A name of an environment variable is empty or contains `=`.
    Variable(String),
    /// There are more options and settings than the interpreter has room for.
    TooMany {
        /// How many there are.
        count: usize,
        /// Most that there may be.
        max: usize,
    },
    /// A property has more bits than there are in a word.
    Bits {
        /// How many.
        len: usize,
    },
    /// A range of versions that has none.
    Versions {
        /// Its first one.
        since: String,
        /// The first one after it.
        before: String,
    },
    /// A model lacks what is no bit of the row's property.
    Lacks(String),
    /// A larger model that no program would get.
    LargerCpu,
    /// A sysroot is not an absolute path.
    Sysroot(String),
    /// The emulator is to learn argv\[0\] from AT_FLAGS, which an exec does not set.
    AuxvByExec,
    /// A host is no architecture of the table.
    Host(String),
    /// The probe's code is empty or too long.
    ProbeSize {
        /// Its bytes.
        len: usize,
        /// Most bytes that there may be.
        max: usize,
    },
    /// The probe's header is not one that the architecture accepts.
    ProbeFlags {
        /// The probe's `e_flags`.
        flags: u32,
    },
    /// Some header would be accepted here and by another architecture.
    Ambiguous {
        /// Name of the other architecture.
        other: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Json { line, column, problem } => write!(f, "line {line}, column {column}: {problem}"),
            Error::Version(version) => write!(f, "version is {version}, not {VERSION}"),
            Error::Name { place, name } => {
                write!(f, "architecture number {place}: name {name:?} is not 1 to 64 of a-z, 0-9 and _")
            }
            Error::Architecture { name, fault } => write!(f, "architecture {name}: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    /// Strings out of the table are quoted and escaped, so that the message stays one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Fields(problem) => f.write_str(problem),
            Fault::Alias(alias) => {
                write!(f, "alias {alias:?} is not made of letters, digits and _ - . /, or begins with linux/")
            }
            Fault::Taken { name, by } => write!(f, "the name or alias {name:?} is taken by architecture {by}"),
            Fault::Empty { field } => write!(f, "{field} is empty"),
            Fault::Twice { field, value } => write!(f, "{field} has {value} twice"),
            Fault::Nul { field, value } => write!(f, "{field} has a NUL in {value:?}"),
            Fault::NoFlags => f.write_str("flags has mask 0, which looks at nothing"),
            Fault::FlagsValue { mask, value } => {
                write!(f, "flags has value {value:#010x}, which is not inside its mask {mask:#010x}")
            }
            Fault::Emulator(emulator) => {
                write!(f, "emulator {emulator:?} is neither a file name nor an absolute path")
            }
            Fault::Variable(name) => write!(f, "environment has the name {name:?}, which is empty or contains ="),
            Fault::TooMany { count, max } => {
                write!(f, "options, those of versions included, and environment are {count} in all, more than {max}")
            }
            Fault::Model { field } => write!(f, "{field} has the CPU model, which belongs in cpu or versions"),
            Fault::Bits { len } => write!(f, "property has {len} bits, more than 32"),
            Fault::Versions { since, before } => {
                write!(f, "versions has since {since}, which is not below before {before}")
            }
            Fault::Lacks(name) => write!(f, "versions has lacks {name:?}, which is no bit of property"),
            Fault::LargerCpu => f.write_str(
                "versions has larger_cpu without cpu, lacks and a required property, so that no program would get it",
            ),
            Fault::Sysroot(sysroot) => write!(f, "sysroot {sysroot:?} is not an absolute path"),
            Fault::AuxvByExec => f.write_str("argv0 auxv does not go with strategy exec, which cannot set AT_FLAGS"),
            Fault::Host(host) => write!(f, "native_on has {host:?}, which is no architecture's name"),
            Fault::ProbeSize { len, max } => write!(f, "probe code is {len} bytes long, not 1 to {max}"),
            Fault::ProbeFlags { flags } => {
                write!(f, "probe flags {flags:#010x} are not accepted by the architecture itself")
            }
            Fault::Ambiguous { other } => write!(f, "accepts headers that architecture {other} accepts"),
        }
    }
}

impl std::error::Error for Error {}
