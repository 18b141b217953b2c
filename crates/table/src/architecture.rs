//! One architecture, as arch-table.json describes it, and the values derived from it.

use dispatch_core::elf::{Class, Data};
use dispatch_core::plan;
use dispatch_core::table::{Argv0, Strategy};
use serde::Deserialize;

use crate::fields;
use crate::tuning::{CpuChoice, Property, Tuning, Version};

/// Prefix of an architecture in an OCI platform ("linux/arm64").
pub(crate) const OCI_SYSTEM: &str = "linux/";

/// Where builds of QEMU look for libraries of a target by themselves, each followed by the target's
/// name: Debian's, those of Fedora and openSUSE, and those that were not configured otherwise
/// (`--interp-prefix`).
const QEMU_PREFIXES: [&str; 3] = ["/etc/qemu-binfmt/", "/usr/qemu-", "/usr/gnemul/qemu-"];

/// One emulated CPU: the headers of its programs, and how its emulator is found and called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// QEMU's name of the CPU; the kernel's entry is called `qemu-<name>`.
    pub name: String,
    /// Other names that people and tools use, but for forms of a name that [`crate::ArchTable::find`]
    /// knows by itself.
    pub aliases: Vec<String>,
    /// Accepted `e_machine` values; the probe has the first.
    pub machine: Vec<MachineNumber>,
    /// Accepted `EI_CLASS`.
    #[serde(deserialize_with = "fields::class")]
    pub class: Class,
    /// Accepted `EI_DATA`.
    #[serde(deserialize_with = "fields::data")]
    pub data: Data,
    /// Required value of `e_flags`; `None` if they are not compared.
    #[serde(default)]
    pub flags: Option<Flags>,
    /// Accepted `EI_OSABI` values; the probe has the first.
    #[serde(default = "fields::default_osabi")]
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
    #[serde(deserialize_with = "fields::environment")]
    pub environment: Vec<(String, String)>,
    /// Directories that may hold the guest's libraries; absolute.
    pub sysroots: Vec<String>,
    /// Names of the architectures whose kernels may run such programs natively.
    pub native_on: Vec<String>,
    /// How the emulator learns the guest's argv\[0\].
    #[serde(deserialize_with = "fields::argv0")]
    pub argv0: Argv0,
    /// How the process becomes the emulator.
    #[serde(default = "fields::default_strategy", deserialize_with = "fields::strategy")]
    pub strategy: Strategy,
    /// Who has disabled it, for messages: its programs are refused. `None` if nobody has.
    #[serde(default, deserialize_with = "fields::disabled")]
    pub disabled: Option<String>,
    /// Rows for programs below certain directories; the first that contains a program counts.
    #[serde(default)]
    pub below: Vec<Below>,
    /// A program that exits successfully at once.
    pub probe: Probe,
    /// Notes for users; may be empty.
    pub notes: String,
    /// The directory whose programs it is for; `None` for all others.
    #[serde(skip)]
    pub directory: Option<String>,
    /// Whether it is for a directory whose programs get another emulator.
    #[serde(skip)]
    pub has_own_emulator: bool,
}

/// The [`Architecture::title`] of the row for the architecture `name` and, if any, a directory.
pub fn title(name: &str, directory: Option<&str>) -> String {
    directory.map_or_else(|| name.to_owned(), |directory| format!("{name} below {}", without_slash(directory)))
}

/// A directory without a slash at its end, but for the root directory.
fn without_slash(directory: &str) -> &str {
    match directory.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// What programs below a directory get in place of the row's own values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Below {
    /// The directory; absolute, as /proc shows it.
    pub directory: String,
    /// The emulator: absolute paths in the order in which they are tried.
    #[serde(default)]
    pub emulators: Option<Vec<String>>,
    /// Options for the emulator.
    #[serde(default)]
    pub options: Option<Vec<String>>,
    /// The model for `-cpu` with emulators of all versions.
    #[serde(default)]
    pub cpu: Option<String>,
    /// The row with these values; [`Architecture::complete`] makes it.
    #[serde(skip)]
    row: Option<Box<Architecture>>,
}

impl Below {
    /// The row for the programs below the directory.
    ///
    /// # Panics
    /// Never for an architecture of an [`crate::ArchTable`].
    pub fn row(&self) -> &Architecture {
        self.row.as_deref().expect("every architecture of a table is complete")
    }

    /// The directory as the start of the paths below it: with one slash at its end.
    pub fn prefix(&self) -> String {
        format!("{}/", self.directory.trim_end_matches('/'))
    }
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
    #[serde(deserialize_with = "fields::hex_number")]
    pub mask: u32,
    /// Value of these bits; no bits outside the mask.
    #[serde(deserialize_with = "fields::hex_number")]
    pub value: u32,
}

/// The machine code of `exit_group(0)`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Position-independent machine code, in the order of the bytes in the file; 1 to 64 bytes.
    #[serde(deserialize_with = "fields::hex_bytes")]
    pub code: Vec<u8>,
    /// `e_flags` that the emulator accepts.
    #[serde(deserialize_with = "fields::hex_number")]
    pub flags: u32,
}

impl Architecture {
    /// The architecture with the rows for its directories made.
    pub(crate) fn complete(mut self) -> Self {
        let own = Architecture { below: Vec::new(), ..self.clone() };
        for below in &mut self.below {
            let mut row = own.clone();
            row.directory = Some(without_slash(&below.directory).to_owned());
            row.has_own_emulator = below.emulators.is_some();
            row.emulators.clone_from(below.emulators.as_ref().unwrap_or(&own.emulators));
            row.options.clone_from(below.options.as_ref().unwrap_or(&own.options));
            row.cpu.clone_from(if below.cpu.is_some() { &below.cpu } else { &own.cpu });
            below.row = Some(Box::new(row));
        }
        self
    }

    /// The row itself, then those for its directories.
    pub fn variants(&self) -> impl Iterator<Item = &Architecture> {
        std::iter::once(self).chain(self.below.iter().map(Below::row))
    }

    /// Its name, and its directory if it is for one: `aarch64 below /srv/old`. No two rows of a table
    /// have the same title.
    pub fn title(&self) -> String {
        title(&self.name, self.directory.as_deref())
    }

    /// Its name, then its aliases.
    pub(crate) fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
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

    /// Directories in which the interpreter looks for a program's dynamic linker: the row's, and then
    /// those in which QEMU looks by itself. None if the row tells QEMU where to look.
    pub fn library_places(&self) -> Vec<String> {
        let named = |option: &String| matches!(option.as_str(), "-L" | "--L");
        let options = self.versions.iter().flat_map(|tuning| &tuning.options).chain(&self.options);
        let variable = |(name, _): &(String, String)| name.as_bytes() == plan::LD_PREFIX;
        if self.argv0 != Argv0::DashZero {
            self.sysroots.clone()
        } else if options.into_iter().any(named) || self.environment.iter().any(variable) {
            Vec::new()
        } else {
            self.sysroots.iter().cloned().chain(self.qemu_sysroots()).collect()
        }
    }

    /// Where builds of QEMU look for the dynamic linker by themselves.
    pub fn qemu_sysroots(&self) -> [String; 3] {
        QEMU_PREFIXES.map(|prefix| format!("{prefix}{}", self.name))
    }

    /// The choice for an emulator of `version`: the first of the row's tunings for it. The row's
    /// own `cpu` replaces its models.
    pub fn tuned(&self, version: Option<&Version>) -> CpuChoice<'_> {
        let tuning = self.versions.iter().find(|tuning| tuning.is_for(version));
        let tuned = tuning.map_or(CpuChoice::default(), |tuning| CpuChoice {
            cpu: tuning.cpu.as_deref(),
            larger_cpu: tuning.larger_cpu.as_deref(),
            options: &tuning.options,
            lacks: self.property.as_ref().map_or(0, |property| property.mask(&tuning.lacks)),
        });
        match self.cpu.as_deref() {
            Some(cpu) => CpuChoice { cpu: Some(cpu), larger_cpu: None, lacks: 0, ..tuned },
            None => tuned,
        }
    }

    /// Whether the choice depends on the emulator's version. A disabled row has no choice to make.
    pub fn is_tuned(&self) -> bool {
        let by_version = |tuning: &Tuning| tuning.since.is_some() || tuning.before.is_some();
        let gives = |tuning: &Tuning| !tuning.options.is_empty() || self.cpu.is_none() && tuning.cpu.is_some();
        self.disabled.is_none() && self.versions.iter().any(by_version) && self.versions.iter().any(gives)
    }

    /// The tunings that have `cpu` as their model.
    pub fn with_model<'t>(&'t self, cpu: &str) -> impl Iterator<Item = &'t Tuning> {
        self.versions.iter().filter(move |tuning| tuning.cpu.as_deref() == Some(cpu))
    }
}
