//! What this machine runs by itself, and what must therefore never be registered.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dispatch_core::Rule;
use dispatch_core::rule::WINDOW;
use dispatch_table::{ArchTable, Architecture};

use crate::failure::Failure;
use crate::registry::{Entry, RegisterLine};
use crate::{host, probe};

/// Programs of this machine. The second is what the kernel really started even if this tool runs under an emulator,
/// which answers for the first itself.
const PROGRAMS: [&str; 3] = ["/proc/self/exe", "/proc/thread-self/exe", "/bin/sh"];

/// The starts of some programs of this machine.
#[derive(Debug)]
pub struct OwnPrograms {
    starts: Vec<(PathBuf, Vec<u8>)>,
}

impl OwnPrograms {
    /// Reads those that are there.
    pub fn read() -> Self {
        let start = |path: &str| {
            let mut start = Vec::new();
            File::open(path).ok()?.take(WINDOW as u64).read_to_end(&mut start).ok()?;
            Some((PathBuf::from(path), start))
        };
        OwnPrograms { starts: PROGRAMS.into_iter().filter_map(start).collect() }
    }

    /// Refuses a line that would have the interpreter started for one of them: it would be started for itself next,
    /// and so on, for every program of the machine.
    ///
    /// # Errors
    /// [`Failure::CapturesHost`].
    pub fn spared_by(&self, line: &RegisterLine) -> Result<(), Failure> {
        let captured = |rule: &Rule| self.starts.iter().find(|(_, start)| rule.accepts(start));
        match line.rule().and_then(captured) {
            Some((program, _)) => {
                Err(Failure::CapturesHost { entry: line.name().to_owned(), program: program.clone() })
            }
            None => Ok(()),
        }
    }
}

/// Whether this machine runs programs of `architecture` without an interpreter. The table says whether it may; whether
/// it does, the architecture's probe tells, unless one of `entries` would be asked for it. Without `probing`, what may
/// be counts as what is.
pub fn runs(table: &ArchTable, architecture: &Architecture, entries: &[Entry], probing: bool) -> bool {
    if !host::may_be_native(table, architecture) {
        return false;
    }
    let program = architecture.probe_elf();
    let emulated = entries.iter().any(|entry| entry.accepts(&program));
    let itself = host::row(table).name == architecture.name;
    itself || !probing || emulated || probe::run(&program).is_ok()
}

/// Where the emulator of `architecture` is: the path that the interpreter will use.
pub fn emulator(architecture: &Architecture) -> Option<&Path> {
    architecture.emulator_paths().map(Path::new).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::registry::{Flags, Matcher};

    fn line(architecture: &Architecture) -> RegisterLine {
        let rule = architecture.rules().remove(0).rule;
        RegisterLine::new(OsStr::new("e"), Matcher::Rule(rule), Path::new("/i"), Flags::ours(false)).unwrap()
    }

    #[test]
    fn this_machine_is_never_captured() {
        let table = ArchTable::builtin();
        let own = OwnPrograms::read();
        for architecture in &table.architectures {
            let itself = host::row(&table) == architecture;
            assert_eq!(own.spared_by(&line(architecture)).is_err(), itself, "{}", architecture.name);
        }
    }

    #[test]
    fn this_machine_runs_its_own_programs() {
        let table = ArchTable::builtin();
        assert!(runs(&table, host::row(&table), &[], true));
        assert!(!runs(&table, table.find("alpha").unwrap(), &[], true));
    }
}
