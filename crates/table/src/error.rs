//! The faults of a table.

use std::fmt;

use crate::place::{self, Path};

/// Why a table is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Line and column, from 1; `None` if the fault is in the table that another one was merged
    /// with.
    pub place: Option<(usize, usize)>,
    /// Keys that lead to the fault; empty for the whole table.
    pub key: String,
    /// The fault.
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

    /// The message, in one line, for a table in `file`: `FILE:LINE:COLUMN: KEY: what is wrong`.
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        let place = self.place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{file}{place}: {key}{}", self.fault)
    }
}

/// A fault of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableFault {
    /// The text is not JSON.
    NoJson(String),
    /// A value has the wrong type or range.
    Value {
        /// The value, or its beginning, as JSON.
        value: String,
        /// The allowed values.
        allowed: &'static str,
    },
    /// A key is unknown.
    Unknown {
        /// The known key that was probably meant.
        nearest: Option<&'static str>,
        /// All keys known at this place.
        allowed: String,
    },
    /// A key is missing.
    Missing {
        /// The key.
        key: String,
        /// The allowed values of the key.
        allowed: &'static str,
    },
    /// An object has a key twice.
    Repeated,
    /// A name cannot be part of the name of a kernel's entry.
    Name(String),
    /// An alias has characters that no tool uses in one, or begins with `linux/`, which is added
    /// where it is needed.
    Alias(String),
    /// A name or alias is already in use.
    Taken {
        /// The name or alias.
        name: String,
        /// The architecture that uses it; perhaps the same one.
        by: String,
    },
    /// A list that needs at least one value has none.
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The CPU model is in the options or environment, where it would conflict with the field `cpu`
    /// and the caller's `QEMU_CPU`.
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
    /// A string has a NUL, which would end it in the compiled table.
    Nul {
        /// The field.
        field: &'static str,
        /// The string.
        value: String,
    },
    /// The mask of `e_flags` is 0.
    NoFlags,
    /// The value of `e_flags` has bits outside the mask.
    FlagsValue {
        /// The mask.
        mask: u32,
        /// The value.
        value: u32,
    },
    /// An emulator is neither a file name nor an absolute path.
    Emulator(String),
    /// The directory of a row in `below` is not the absolute path of one.
    Directory(String),
    /// A row in `below` changes nothing.
    NoChange,
    /// An emulator in `below` is a file name.
    NoPath(String),
    /// A row in `below` has a fault.
    Below {
        /// Its directory.
        directory: String,
        /// The fault.
        fault: Box<TableFault>,
    },
    /// The name of an environment variable is empty or contains `=`.
    Variable(String),
    /// There are more options and settings than the interpreter reserves words for.
    TooMany {
        /// Their number.
        count: usize,
        /// The largest number allowed.
        max: usize,
    },
    /// A property has more bits than a word.
    Bits {
        /// Number of bits.
        len: usize,
    },
    /// A range of versions is empty.
    Versions {
        /// Its first one.
        since: String,
        /// The first one after it.
        before: String,
    },
    /// A model lacks something that is no bit of the row's property.
    Lacks(String),
    /// No program would get the larger model.
    LargerCpu,
    /// A sysroot is not an absolute path.
    Sysroot(String),
    /// The row passes argv\[0\] by `AT_FLAGS`, which an execve(2) cannot set.
    AuxvByExec,
    /// A host is no architecture of the table.
    Host(String),
    /// The probe's code is empty or too long.
    ProbeSize {
        /// Length of the code, in bytes.
        len: usize,
        /// The largest length allowed, in bytes.
        max: usize,
    },
    /// The architecture does not accept the probe's header.
    ProbeFlags {
        /// The probe's `e_flags`.
        flags: u32,
    },
    /// Another architecture accepts some of the same headers.
    Ambiguous {
        /// Name of the other architecture.
        other: String,
    },
}

impl fmt::Display for Error {
    /// The message for a table without a file name: `LINE:COLUMN: KEY: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.in_file("");
        f.write_str(text.trim_start_matches([':', ' ']))
    }
}

impl TableFault {
    /// The keys in a row that lead to the fault, and the faulty element of the list there.
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
            TableFault::Directory(directory) | TableFault::Below { directory, .. } => (&["below"], Some(directory)),
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

    /// The other row involved.
    pub(crate) fn other(&self) -> Option<&str> {
        match self {
            TableFault::Taken { by: other, .. } | TableFault::Ambiguous { other } => Some(other),
            _ => None,
        }
    }
}

/// The keys that lead to the list that the checks call `field`.
fn list(field: &'static str) -> &'static [&'static str] {
    const LISTS: [&[&str]; 9] = [
        &["aliases"],
        &["machine"],
        &["osabi"],
        &["emulators"],
        &["options"],
        &["cpus"],
        &["sysroots"],
        &["native_on"],
        &["below"],
    ];
    match field {
        "bits" => &["property", "bits"],
        "environment" => &["environment"],
        "disabled" => &["disabled"],
        // In the row or in its versions.
        "cpu" => &["cpu"],
        _ => LISTS.into_iter().find(|steps| steps[0] == field).unwrap_or(&[]),
    }
}

impl fmt::Display for TableFault {
    /// Strings from the table are quoted and escaped, so that the message stays one line.
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
            TableFault::Directory(directory) => {
                write!(f, "directory {directory:?} is not an absolute path without . and ..")
            }
            TableFault::NoChange => f.write_str("there is nothing to change: add emulators, options or cpu"),
            TableFault::NoPath(name) => write!(f, "emulator {name:?} is not an absolute path"),
            TableFault::Below { directory, fault } => write!(f, "below {directory}: {fault}"),
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
