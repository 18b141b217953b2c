//! What can be wrong with a table.

use std::fmt;

use crate::place::{self, Path};

/// Why a table is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Line and column, from 1; none if what is wrong is in the table that another one was merged with.
    pub place: Option<(usize, usize)>,
    /// What is wrong, by its keys; empty for the whole.
    pub key: String,
    /// What is wrong with it.
    pub fault: TableFault,
}

impl Error {
    /// A fault of the value at `path` in `json`.
    pub(crate) fn at(json: &str, path: Path, fault: TableFault) -> Self {
        Error { place: Some(place::find(json, &path, false)), key: path.to_string(), fault }
    }

    /// A fault of the key at the end of `path`.
    pub(crate) fn at_key(json: &str, path: Path, fault: TableFault) -> Self {
        Error { place: Some(place::find(json, &path, true)), key: path.to_string(), fault }
    }

    /// The message, in one line, for a table in the file called `file`: `FILE:LINE:COLUMN: KEY: what is wrong`.
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        let place = self.place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{file}{place}: {key}{}", self.fault)
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableFault {
    /// The text is not JSON.
    NoJson(String),
    /// A value is not of the kind that belongs there.
    Value {
        /// The value, or its beginning, as JSON.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A key is not known.
    Unknown {
        /// The one that may have been meant.
        nearest: Option<&'static str>,
        /// All that are known there.
        allowed: String,
    },
    /// A key is missing.
    Missing {
        /// The key.
        key: String,
        /// What its value may be.
        allowed: &'static str,
    },
    /// An object has a key twice.
    Repeated,
    /// A name cannot be part of the name of a kernel's entry.
    Name(String),
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
    /// The CPU model is where it would win over, or lose to, what has the say: the field `cpu` and the caller's `QEMU_CPU`.
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
    /// The emulator is to learn argv\[0\] from `AT_FLAGS`, which an exec does not set.
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
    /// As of a file without a name: `LINE:COLUMN: KEY: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.in_file("");
        f.write_str(text.trim_start_matches([':', ' ']))
    }
}

impl TableFault {
    /// The key of a row that it is about, by steps, and the element of its list.
    pub(crate) fn place(&self) -> (&'static [&'static str], Option<&str>) {
        match self {
            TableFault::Alias(alias) => (&["aliases"], Some(alias)),
            TableFault::Taken { name, .. } => (&["aliases"], Some(name)),
            TableFault::Empty { field: "bits" } => (&["property", "bits"], None),
            TableFault::Nul { field, value } => (list(field), Some(value)),
            TableFault::Empty { field } | TableFault::Model { field } | TableFault::Twice { field, .. } => {
                (list(field), None)
            }
            TableFault::NoFlags => (&["flags", "mask"], None),
            TableFault::FlagsValue { .. } => (&["flags", "value"], None),
            TableFault::Emulator(emulator) => (&["emulators"], Some(emulator)),
            TableFault::Variable(_) => (&["environment"], None),
            TableFault::TooMany { .. } => (&["options"], None),
            TableFault::Bits { .. } => (&["property", "bits"], None),
            TableFault::Versions { .. } | TableFault::Lacks(_) | TableFault::LargerCpu => (&["versions"], None),
            TableFault::Sysroot(sysroot) => (&["sysroots"], Some(sysroot)),
            TableFault::AuxvByExec => (&["argv0"], None),
            TableFault::Host(host) => (&["native_on"], Some(host)),
            TableFault::ProbeSize { .. } => (&["probe", "code"], None),
            TableFault::ProbeFlags { .. } => (&["probe", "flags"], None),
            TableFault::Ambiguous { .. } => (&["machine"], None),
            TableFault::Name(_) => (&["name"], None),
            _ => (&[], None),
        }
    }

    /// The other row that it is about.
    pub(crate) fn other(&self) -> Option<&str> {
        match self {
            TableFault::Taken { by: other, .. } | TableFault::Ambiguous { other } => Some(other),
            _ => None,
        }
    }
}

/// The steps to the list that the checks call `field`.
fn list(field: &'static str) -> &'static [&'static str] {
    const LISTS: [&[&str]; 8] = [
        &["aliases"],
        &["machine"],
        &["osabi"],
        &["emulators"],
        &["options"],
        &["cpus"],
        &["sysroots"],
        &["native_on"],
    ];
    match field {
        "bits" => &["property", "bits"],
        "environment" => &["environment"],
        // Of the row or of its versions.
        "cpu" => &["cpu"],
        _ => LISTS.into_iter().find(|steps| steps[0] == field).unwrap_or(&[]),
    }
}

impl fmt::Display for TableFault {
    /// Strings out of the table are quoted and escaped, so that the message stays one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableFault::NoJson(problem) => write!(f, "not JSON: {problem}"),
            TableFault::Value { value, allowed } => write!(f, "{value} is not allowed here: use {allowed}"),
            TableFault::Unknown { nearest, allowed } => {
                f.write_str("no such key: ")?;
                nearest.map_or(Ok(()), |nearest| write!(f, "perhaps {nearest} is meant; "))?;
                write!(f, "use one of {allowed}")
            }
            TableFault::Missing { key, allowed } => write!(f, "the key {key} is missing: add it, with {allowed}"),
            TableFault::Repeated => f.write_str("the key is there twice: keep one of them"),
            TableFault::Name(name) => write!(f, "{name:?} is not allowed here: use 1 to 64 of a-z, 0-9 and _"),
            TableFault::Alias(alias) => {
                write!(f, "alias {alias:?} is not made of letters, digits and _ - . /, or begins with linux/")
            }
            TableFault::Taken { name, by } => write!(f, "the name or alias {name:?} is taken by architecture {by}"),
            TableFault::Empty { field } => write!(f, "{field} is empty"),
            TableFault::Twice { field, value } => write!(f, "{field} has {value} twice"),
            TableFault::Nul { field, value } => write!(f, "{field} has a NUL in {value:?}"),
            TableFault::NoFlags => f.write_str("flags has mask 0, which looks at nothing"),
            TableFault::FlagsValue { mask, value } => {
                write!(f, "flags has value {value:#010x}, which is not inside its mask {mask:#010x}")
            }
            TableFault::Emulator(emulator) => {
                write!(f, "emulator {emulator:?} is neither a file name nor an absolute path")
            }
            TableFault::Variable(name) => write!(f, "environment has the name {name:?}, which is empty or contains ="),
            TableFault::TooMany { count, max } => {
                write!(f, "options, those of versions included, and environment are {count} in all, more than {max}")
            }
            TableFault::Model { field } => write!(f, "{field} has the CPU model, which belongs in cpu or versions"),
            TableFault::Bits { len } => write!(f, "property has {len} bits, more than 32"),
            TableFault::Versions { since, before } => {
                write!(f, "versions has since {since}, which is not below before {before}")
            }
            TableFault::Lacks(name) => write!(f, "versions has lacks {name:?}, which is no bit of property"),
            TableFault::LargerCpu => f.write_str(
                "versions has larger_cpu without cpu, lacks and a required property, so that no program would get it",
            ),
            TableFault::Sysroot(sysroot) => write!(f, "sysroot {sysroot:?} is not an absolute path"),
            TableFault::AuxvByExec => {
                f.write_str("argv0 auxv does not go with strategy exec, which cannot set AT_FLAGS")
            }
            TableFault::Host(host) => write!(f, "native_on has {host:?}, which is no architecture's name"),
            TableFault::ProbeSize { len, max } => write!(f, "probe code is {len} bytes long, not 1 to {max}"),
            TableFault::ProbeFlags { flags } => {
                write!(f, "probe flags {flags:#010x} are not accepted by the architecture itself")
            }
            TableFault::Ambiguous { other } => write!(f, "accepts headers that architecture {other} accepts"),
        }
    }
}

impl std::error::Error for Error {}
