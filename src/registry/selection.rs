//! Chooses the architectures to register, and their entries, before anything is written.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use dispatch_table::{ArchTable, Architecture};

use super::own_programs::OwnPrograms;
use crate::failure::Failure;
use crate::platform::host;
use binfmt_misc::{Flags, Matcher, RegisterLine};

/// Whether set-user-ID programs and file capabilities take effect.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Credentials {
    /// Let set-user-ID programs and file capabilities take effect with every emulator, not only
    /// with embedded ones
    #[arg(long)]
    pub credentials: bool,
    /// Ignore the set-ID bits and file capabilities of all programs
    #[arg(long, conflicts_with = "credentials")]
    pub no_credentials: bool,
}

/// The interpreter to be registered for the chosen architectures.
#[derive(Clone, Copy, Debug)]
pub struct Interpreter<'i> {
    /// The path to register.
    pub path: &'i Path,
    /// The architectures whose emulators are embedded.
    pub embedded: &'i BTreeSet<String>,
    /// The options that decide which entries get flag C.
    pub credentials: Credentials,
    /// Whether the kernel that the entries are for knows flag T.
    pub transparent: bool,
}

impl Interpreter<'_> {
    /// Whether it has the emulator of `architecture` embedded.
    pub fn holds(&self, architecture: &Architecture) -> bool {
        self.embedded.contains(&architecture.name)
    }

    /// The flags of entries for `architecture`. Flag C is safe with an embedded emulator, because
    /// nobody can replace that. Where the kernel knows flag T, it takes the place of P.
    pub fn flags(&self, architecture: &Architecture) -> Flags {
        let Credentials { credentials, no_credentials } = self.credentials;
        let flags = Flags::of_image(!no_credentials && (credentials || self.holds(architecture)));
        if self.transparent { flags.made_transparent() } else { flags }
    }
}

/// The outcome of a choice.
#[derive(Debug, Default)]
pub struct Selection<'t> {
    /// Architectures to register.
    pub chosen: Vec<Chosen<'t>>,
    /// Architectures left out; none of them was requested by name.
    pub skipped: Vec<(&'t Architecture, Skipped)>,
    /// Reasons why the request cannot be met.
    pub failures: Vec<Failure>,
}

/// An architecture and its entries.
#[derive(Debug)]
pub struct Chosen<'t> {
    /// The architecture.
    pub architecture: &'t Architecture,
    /// One line for each entry.
    pub lines: Vec<RegisterLine>,
}

/// Why an architecture is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// This machine runs its programs natively.
    Native,
    /// Its emulator is not installed.
    NoEmulator,
}

/// Chooses the `named` architectures, or every one that is not `native` and has an emulator,
/// embedded or installed. One that is disabled needs none: with an entry, its programs end with the
/// interpreter's refusal instead of in an emulator of other software. The lines register `interpreter`, and none of them matches this machine's
/// own programs.
pub fn select<'t>(
    table: &'t ArchTable,
    named: Option<&[&'t Architecture]>,
    interpreter: Interpreter<'_>,
    native: impl Fn(&Architecture) -> bool,
) -> Selection<'t> {
    let own = OwnPrograms::read();
    let mut selection = Selection::default();
    let every: Vec<&Architecture> = table.architectures().iter().collect();
    for &architecture in named.unwrap_or(&every) {
        let has_emulator = || {
            if architecture.disabled.is_some() {
                return true;
            }
            if interpreter.holds(architecture) {
                log::info!("{}: emulator embedded in the image", architecture.name);
                return true;
            }
            host::emulator(architecture).is_some()
        };
        let obstacle =
            if native(architecture) { Some(Skipped::Native) } else { (!has_emulator()).then_some(Skipped::NoEmulator) };
        match obstacle {
            Some(skipped) if named.is_none() => selection.skipped.push((architecture, skipped)),
            Some(skipped) => selection.failures.push(skipped.failure(architecture)),
            None => match harmless(architecture, interpreter, &own) {
                Ok(lines) => selection.chosen.push(Chosen { architecture, lines }),
                Err(failure) => selection.failures.push(failure),
            },
        }
    }
    selection
}

/// The lines that register `architecture` for the file at `interpreter`.
///
/// # Errors
/// [`Failure::BadLine`]: the path does not fit into a line.
pub fn lines(architecture: &Architecture, interpreter: &Path, flags: Flags) -> Result<Vec<RegisterLine>, Failure> {
    let line = |entry: dispatch_table::EntryRule| {
        RegisterLine::new(OsStr::new(&entry.name), Matcher::Rule(entry.rule), interpreter, flags)
            .map_err(|fault| Failure::BadLine { entry: entry.name.into(), fault })
    };
    architecture.rules().into_iter().map(line).collect()
}

/// Sorts `items` as the table has their architectures.
pub fn sort<T>(table: &ArchTable, items: &mut [T], architecture: impl Fn(&T) -> &Architecture) {
    let number = |row: &Architecture| table.architectures().iter().position(|other| other.name == row.name);
    items.sort_by_key(|item| number(architecture(item)));
}

/// The same lines, after a check that none of them matches this machine's own programs.
fn harmless(
    architecture: &Architecture,
    interpreter: Interpreter<'_>,
    own: &OwnPrograms,
) -> Result<Vec<RegisterLine>, Failure> {
    let lines = lines(architecture, interpreter.path, interpreter.flags(architecture))?;
    lines.iter().try_for_each(|line| own.reject_capture(line))?;
    Ok(lines)
}

impl Skipped {
    /// The failure if the architecture was requested by name.
    fn failure(self, architecture: &Architecture) -> Failure {
        let name = architecture.name.clone();
        match self {
            Skipped::Native => Failure::Native { architecture: name },
            Skipped::NoEmulator => Failure::NoEmulator {
                architecture: name,
                from: Vec::new(),
                tried: architecture.emulator_paths().map(str::to_owned).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn interpreter(embedded: &BTreeSet<String>) -> Interpreter<'_> {
        Interpreter { path: Path::new("/i"), embedded, credentials: Credentials::default(), transparent: false }
    }

    #[test]
    fn emulators_inside_are_emulators_and_get_credentials() {
        let table = ArchTable::builtin();
        let nowhere = |row: &Architecture| json!({ "name": row.name, "emulators": ["/no/such"] });
        let rows: Vec<_> = table.architectures().iter().map(nowhere).collect();
        let table = table.merge(&json!({ "version": 1, "architectures": rows }).to_string()).unwrap();
        let rows: Vec<_> = table.architectures().iter().collect();
        let (embedded, outside) = (rows[0], rows[1]);
        let names = BTreeSet::from([embedded.name.clone()]);
        let with = interpreter(&names);
        let selection = select(&table, Some(&rows[..2]), with, |_| false);
        assert_eq!(selection.chosen.len(), 1);
        assert!(matches!(selection.failures[..], [Failure::NoEmulator { .. }]));
        let flags = |credentials, no_credentials, transparent| {
            let with = Interpreter { credentials: Credentials { credentials, no_credentials }, transparent, ..with };
            [embedded, outside].map(|row| with.flags(row).to_string())
        };
        assert_eq!(flags(false, false, false), ["POCF", "POF"]);
        assert_eq!(flags(true, false, false), ["POCF", "POCF"]);
        assert_eq!(flags(false, true, false), ["POF", "POF"]);
        assert_eq!(flags(false, false, true), ["OCFT", "OFT"]);
        assert_eq!(flags(false, true, true), ["OFT", "OFT"]);
    }

    #[test]
    fn what_is_native_is_refused_by_name_and_skipped_otherwise() {
        let table = ArchTable::builtin();
        let nothing = BTreeSet::new();
        let with = interpreter(&nothing);
        let all = select(&table, None, with, |_| true);
        assert_eq!((all.chosen.len(), all.failures.len()), (0, 0));
        assert!(all.skipped.iter().all(|(_, skipped)| *skipped == Skipped::Native));
        let one = select(&table, Some(&[&table.architectures()[0]]), with, |_| true);
        assert!(matches!(one.failures[..], [Failure::Native { .. }]));
    }

    #[test]
    fn what_would_capture_this_machine_is_refused() {
        // The row does not say that it is native, and its emulator exists.
        let own = json!({ "name": std::env::consts::ARCH, "emulators": ["/bin/sh"] });
        let table = json!({ "version": 1, "architectures": [own] }).to_string();
        let table = ArchTable::builtin().merge(&table).unwrap();
        let selection = select(&table, None, interpreter(&BTreeSet::new()), |_| false);
        assert!(matches!(selection.failures[..], [Failure::CapturesHost { .. }]));
    }
}
