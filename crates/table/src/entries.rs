//! The kernel's entries for an architecture.

use dispatch_core::elf::Machine;
use dispatch_core::rule::RowRule;
use dispatch_core::{Rule, Table};

use crate::architecture::Architecture;
use crate::compile::{self, Assignment};

/// An entry of `binfmt_misc`: a name and a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRule {
    /// Name of the entry, unique in the table.
    pub name: String,
    /// Magic and mask.
    pub rule: Rule,
}

impl Architecture {
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
