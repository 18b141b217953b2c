//! The programs that this machine runs natively, which no entry may match.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use dispatch_core::Rule;
use dispatch_core::elf::ident;
use dispatch_core::rule::WINDOW;
use dispatch_table::Architecture;

use crate::failure::Failure;
use crate::platform::{host, probe};
use binfmt_misc::{Entry, RegisterLine};

/// Programs of this machine. Under an emulator, the emulator fakes the first path; the second one
/// still leads to the file that the kernel started.
const PROGRAMS: [&str; 3] = ["/proc/self/exe", "/proc/thread-self/exe", "/bin/sh"];

/// All programs that a host runs natively. Its kernel does not look at `EI_OSABI`, so a rule that
/// only accepts unusual values of it can still match native programs.
#[derive(Debug)]
pub struct HostPrograms {
    architecture: String,
    rules: Vec<Rule>,
}

impl HostPrograms {
    /// The programs of the host that `row` of the built-in table describes.
    pub fn of(row: &Architecture) -> Self {
        let widened = |rule: Rule| {
            let mut mask = rule.mask().to_vec();
            mask[ident::OSABI] = 0;
            Rule::new(0, rule.magic(), &mask).expect("a looser mask does not make a rule wrong")
        };
        let rules = row.rules().into_iter().map(|entry| widened(entry.rule)).collect();
        HostPrograms { architecture: row.name.clone(), rules }
    }

    /// Whether a rule matches any of them.
    pub fn meets(&self, rule: &Rule) -> bool {
        self.rules.iter().any(|own| own.overlaps(rule))
    }

    /// Refuses a line that matches any of them.
    ///
    /// # Errors
    /// [`Failure::CapturesPrograms`].
    pub fn reject_capture(&self, line: &RegisterLine) -> Result<(), Failure> {
        if line.rule().is_some_and(|rule| self.meets(rule)) {
            let architecture = self.architecture.clone();
            return Err(Failure::CapturesPrograms { entry: line.name().to_owned(), architecture });
        }
        Ok(())
    }
}

/// The programs of this machine: the first bytes of some, and the rules for all from the built-in
/// table.
#[derive(Debug)]
pub struct OwnPrograms {
    starts: Vec<(PathBuf, Vec<u8>)>,
    all: HostPrograms,
}

impl OwnPrograms {
    /// Reads the programs that exist.
    pub fn read() -> Self {
        let start = |path: &str| {
            let mut start = Vec::new();
            File::open(path).ok()?.take(WINDOW as u64).read_to_end(&mut start).ok()?;
            Some((PathBuf::from(path), start))
        };
        let starts = PROGRAMS.into_iter().filter_map(start).collect();
        OwnPrograms { starts, all: HostPrograms::of(host::row()) }
    }

    /// Refuses a line that matches one of them. The interpreter is a native program too, so the
    /// kernel would start it for itself, in an endless loop, whatever program is started.
    ///
    /// # Errors
    /// [`Failure::CapturesHost`] and [`Failure::CapturesPrograms`].
    pub fn reject_capture(&self, line: &RegisterLine) -> Result<(), Failure> {
        let captured = |rule: &Rule| self.starts.iter().find(|(_, start)| rule.accepts(start));
        match line.rule().and_then(captured) {
            Some((program, _)) => {
                Err(Failure::CapturesHost { entry: line.name().to_owned(), program: program.clone() })
            }
            None => self.all.reject_capture(line),
        }
    }
}

/// Whether this machine runs programs of `architecture` natively. The table says whether it may. To
/// find out whether it does, the architecture's probe is run, unless one of `entries` matches it.
/// Without `probing`, the table alone decides.
pub fn runs(architecture: &Architecture, entries: &[Entry], probing: bool) -> bool {
    if !host::may_be_native(architecture) {
        return false;
    }
    let program = architecture.probe_elf();
    let emulated = entries.iter().any(|entry| entry.accepts(&program));
    let itself = host::row().name == architecture.name;
    let native = itself || !probing || emulated || probe::run(&program).is_ok();
    log::info!(
        "{}: this machine {} such programs by itself",
        architecture.name,
        if native { "runs" } else { "does not run" }
    );
    native
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use dispatch_table::ArchTable;

    use super::*;
    use binfmt_misc::{Flags, Matcher};

    fn line(architecture: &Architecture) -> RegisterLine {
        let rule = architecture.rules().remove(0).rule;
        RegisterLine::new(OsStr::new("e"), Matcher::Rule(rule), Path::new("/i"), Flags::of_image(false)).unwrap()
    }

    #[test]
    fn this_machine_is_never_captured() {
        let table = ArchTable::builtin();
        let own = OwnPrograms::read();
        for architecture in table.architectures() {
            let itself = host::row() == architecture;
            assert_eq!(own.reject_capture(&line(architecture)).is_err(), itself, "{}", architecture.name);
        }
    }

    #[test]
    fn an_odd_osabi_is_no_way_around() {
        let own = OwnPrograms::read();
        let odd = Architecture { osabi: vec![77], native_on: Vec::new(), ..host::row().clone() };
        assert!(matches!(own.reject_capture(&line(&odd)), Err(Failure::CapturesPrograms { .. })));
    }

    #[test]
    fn this_machine_runs_its_own_programs() {
        let table = ArchTable::builtin();
        assert!(runs(host::row(), &[], true));
        assert!(!runs(table.find("alpha").unwrap(), &[], true));
    }
}
