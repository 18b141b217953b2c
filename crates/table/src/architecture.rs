//! One architecture, as arch-table.json describes it, and the values derived from it.

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::rule::RowRule;
use dispatch_core::table::{Argv0, Strategy};
use dispatch_core::{Rule, Table};
use serde::Deserialize;

use crate::compile::Assignment;
use crate::{Property, Tuning, compile, json, probe};

/// Prefix of an architecture in an OCI platform ("linux/arm64").
pub(crate) const OCI_SYSTEM: &str = "linux/";

/// One emulated CPU: the headers of its programs, and how its emulator is found and called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// QEMU's name of the CPU; the kernel's entry is called `qemu-<name>`.
    pub name: String,
    /// Other names: Debian's, OCI platforms without `linux/`, `uname -m`.
    pub aliases: Vec<String>,
    /// Accepted `e_machine` values; the probe has the first.
    pub machine: Vec<MachineNumber>,
    /// Accepted `EI_CLASS`.
    #[serde(deserialize_with = "json::class")]
    pub class: Class,
    /// Accepted `EI_DATA`.
    #[serde(deserialize_with = "json::data")]
    pub data: Data,
    /// Required value of `e_flags`; `None` if they are not compared.
    #[serde(default)]
    pub flags: Option<Flags>,
    /// Accepted `EI_OSABI` values; the probe has the first.
    #[serde(default = "json::default_osabi")]
    pub osabi: Vec<u8>,
    /// The emulator: file names in order of preference, and absolute paths in the order in which
    /// they are tried.
    pub emulators: Vec<String>,
    /// Options for the emulator, in front of those that the dispatcher adds.
    pub options: Vec<String>,
    /// Additional options and models for emulators of some versions; the first item that fits the
    /// version counts.
    #[serde(default)]
    pub versions: Vec<Tuning>,
    /// The model for `-cpu` with emulators of all versions; replaces those in `versions`.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Models that are worth comparing.
    #[serde(default)]
    pub cpus: Vec<String>,
    /// The GNU property in which programs say what they need of a CPU.
    #[serde(default)]
    pub property: Option<Property>,
    /// Settings for the emulator, name and value, in the order of the JSON.
    #[serde(deserialize_with = "json::environment")]
    pub environment: Vec<(String, String)>,
    /// Directories that may hold the guest's libraries; absolute.
    pub sysroots: Vec<String>,
    /// Names of the architectures whose kernels may run such programs natively.
    pub native_on: Vec<String>,
    /// How the emulator learns the guest's argv\[0\].
    #[serde(deserialize_with = "json::argv0")]
    pub argv0: Argv0,
    /// How the process becomes the emulator.
    #[serde(default = "json::default_strategy", deserialize_with = "json::strategy")]
    pub strategy: Strategy,
    /// A program that exits successfully at once.
    pub probe: Probe,
    /// Notes for users; may be empty.
    pub notes: String,
}

/// An `e_machine` value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineNumber {
    /// The constant's name, as in `<elf.h>`.
    pub name: String,
    /// Its value.
    pub number: u16,
}

/// Required value of `e_flags`: `e_flags & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flags {
    /// Bits to compare; not 0.
    #[serde(deserialize_with = "json::hex_number")]
    pub mask: u32,
    /// Value of these bits; no bits outside the mask.
    #[serde(deserialize_with = "json::hex_number")]
    pub value: u32,
}

/// The machine code of `exit_group(0)`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Position-independent machine code, in the order of the bytes in the file; 1 to 64 bytes.
    #[serde(deserialize_with = "json::hex_bytes")]
    pub code: Vec<u8>,
    /// `e_flags` that the emulator accepts.
    #[serde(deserialize_with = "json::hex_number")]
    pub flags: u32,
}

/// An entry of `binfmt_misc`: a name and a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRule {
    /// Name of the entry, unique in the table.
    pub name: String,
    /// Magic and mask.
    pub rule: Rule,
}

impl Architecture {
    /// Its name, then its aliases.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }

    /// File names under which the emulator may be installed, in order of preference.
    pub fn emulator_names(&self) -> impl Iterator<Item = &str> {
        self.emulators.iter().map(String::as_str).filter(|emulator| !emulator.starts_with('/'))
    }

    /// Absolute paths of the emulator, in the order in which they are tried when a program starts.
    pub fn emulator_paths(&self) -> impl Iterator<Item = &str> {
        self.emulators.iter().map(String::as_str).filter(|emulator| emulator.starts_with('/'))
    }

    /// A complete static program of about 100 bytes that exits with status 0. If it runs,
    /// everything from the kernel's entry to the emulator works.
    pub fn probe_elf(&self) -> Vec<u8> {
        probe::elf(self)
    }

    /// The kernel's entries for this architecture: one for each machine number and each block of
    /// `EI_OSABI` values.
    ///
    /// The first is called `qemu-<name>`, the name that other tools look for. The others have a
    /// suffix: `-em<e_machine>`, `-osabi<lowest value>`, numbers in decimal.
    pub fn rules(&self) -> Vec<EntryRule> {
        // Derived from the compiled form, so that kernel and interpreter use the same row.
        let compiled = compile::compile(std::slice::from_ref(self), |_| Assignment::default());
        let rows = Table::read(&compiled).map(|table| table.rows());
        let derived: Vec<RowRule> = rows.into_iter().flatten().flatten().flat_map(|row| Rule::of_row(&row)).collect();
        let Some(&RowRule { machine: first_machine, osabi: first_osabi, .. }) = derived.first() else {
            return Vec::new();
        };
        let entry = |RowRule { rule, machine, osabi }| {
            let Machine(number) = machine;
            let mut name = format!("qemu-{}", self.name);
            if machine != first_machine {
                name += &format!("-em{number}");
            }
            if osabi != first_osabi {
                name += &format!("-osabi{}", osabi.value);
            }
            EntryRule { name, rule }
        };
        derived.into_iter().map(entry).collect()
    }
}
