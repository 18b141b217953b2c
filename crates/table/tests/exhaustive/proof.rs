//! The sweeps. Each goes through its headers until kernel and interpreter disagree on one.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use dispatch_core::elf::{self, Class, Data, Machine};
use dispatch_core::{Guest, Row, Rule, Table};
use dispatch_table::{ArchTable, Architecture};

use crate::headers::{accepted, complete, header, set, set_variant};

/// An `e_machine` is 16 bits wide.
pub const MACHINES: RangeInclusive<u16> = 0..=u16::MAX;
/// The values that are combined with one machine number.
const VARIANTS: [(Class, Data); 4] =
    [(Class::Elf32, Data::Little), (Class::Elf32, Data::Big), (Class::Elf64, Data::Little), (Class::Elf64, Data::Big)];

/// A compiled table, and the rules claimed to match it.
pub struct Subject {
    pub compiled: Vec<u8>,
    pub entries: Vec<Entry>,
    /// Bits of `e_flags` that some row compares.
    looked_at: u32,
    /// The same bits, and one that no row compares.
    flags: u32,
    /// Machine numbers of the table.
    machines: BTreeSet<u16>,
    /// OSABI values that some row accepts, their neighbours, the ends, and two of other systems.
    osabi: BTreeSet<u8>,
}

/// A rule, and the row that it is claimed to be derived from.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub row: String,
    pub rule: Rule,
}

/// A header on which kernel and interpreter disagree.
#[derive(Debug)]
#[allow(dead_code, reason = "shown when a proof fails")]
pub struct Disagreement {
    header: Vec<u8>,
    /// The row that the interpreter chooses.
    chosen: Option<String>,
    /// The entries with which the kernel would start it.
    accepting: Vec<String>,
}

/// Number of headers that a sweep went through.
pub type Outcome = Result<u64, Disagreement>;

impl Subject {
    pub fn of(table: &ArchTable) -> Self {
        let each = || table.architectures().iter();
        let entries = |architecture: &Architecture| -> Vec<Entry> {
            let row = &architecture.name;
            let rules = architecture.rules().into_iter();
            rules.map(|entry| Entry { name: entry.name, row: row.clone(), rule: entry.rule }).collect()
        };
        let looked_at = each().filter_map(|architecture| architecture.flags).fold(0, |all, flags| all | flags.mask);
        let osabi = each().flat_map(|architecture| architecture.osabi.iter().copied());
        let around = osabi.flat_map(|value| [value.saturating_sub(1), value, value.saturating_add(1)]);
        Subject {
            compiled: table.compile(),
            entries: each().flat_map(entries).collect(),
            looked_at,
            flags: looked_at | 1 << looked_at.trailing_ones(),
            machines: each().flat_map(|architecture| &architecture.machine).map(|machine| machine.number).collect(),
            osabi: around.chain([0, 255, 9, 12]).collect(),
        }
    }

    /// Machine numbers of the table, their neighbours, and their byte-swapped values.
    pub fn near(&self) -> BTreeSet<u16> {
        let around = |n: &u16| [n.saturating_sub(1), *n, n.saturating_add(1), n.swap_bytes()];
        self.machines.iter().flat_map(around).collect()
    }

    pub fn table(&self) -> Table<'_> {
        Table::read(&self.compiled).expect("the table is well formed")
    }

    /// All combinations of machine numbers, classes, byte orders, types, flags and OSABI values.
    pub fn grid(&self, machines: impl IntoIterator<Item = u16>) -> Outcome {
        let flags: Vec<u32> = subsets(self.flags).collect();
        let osabi: Vec<u8> = (0..=u8::MAX).collect();
        let table = self.table();
        let choose = |header: &[u8]| {
            let guest = Guest::identify(header).ok()?;
            table.choose(&guest).ok().map(|row| row.name().to_str().expect("names are ASCII"))
        };
        self.product(machines, &flags, &osabi, choose)
    }

    /// The grid with fewer flags and OSABI values: no flags and all of them, and the values around
    /// those that rows accept. It is for machine numbers that no row has; [`Subject::strangers`]
    /// and [`Subject::unchosen`] cover these completely, each on its own side.
    ///
    /// [`Table::choose`] takes the first row that accepts. It reads the rows anew each time, which
    /// would double the time, so the rows are read once here.
    pub fn coarse_grid(&self, machines: impl IntoIterator<Item = u16>) -> Outcome {
        let osabi: Vec<u8> = self.osabi.iter().copied().collect();
        let rows: Vec<Row<'_>> = self.table().rows().map(|row| row.expect("the row is well formed")).collect();
        let choose = |header: &[u8]| {
            let guest = Guest::identify(header).ok()?;
            let row = rows.iter().find(|row| row.accepts(&guest))?;
            Some(row.name().to_str().expect("names are ASCII"))
        };
        self.product(machines, &[0, self.flags], &osabi, choose)
    }

    fn product<'a>(
        &self,
        machines: impl IntoIterator<Item = u16>,
        flags: &[u32],
        osabis: &[u8],
        choose: impl Fn(&[u8]) -> Option<&'a str>,
    ) -> Outcome {
        let mut count = 0;
        for machine in machines {
            for (class, data) in VARIANTS {
                for kind in [elf::ET_EXEC, elf::ET_DYN] {
                    let mut header = header(class, data, kind, Machine(machine));
                    for flags in flags {
                        set(&mut header, class.flags_offset(), &data.u32_bytes(*flags));
                        for osabi in osabis {
                            header[elf::ident::OSABI] = *osabi;
                            self.compare(&header, choose(&header))?;
                            count += 1;
                        }
                    }
                }
            }
        }
        Ok(count)
    }

    /// Each machine number that no row has, in each class and byte order, against each rule, in a
    /// file whose other bytes are the rule's magic. Since a rule compares every bit by itself, one
    /// that refuses this refuses whatever else has this machine, class and byte order: all 2^32
    /// flags, all OSABI values, all types.
    pub fn strangers(&self) -> Outcome {
        let mut count = 0;
        for entry in &self.entries {
            let mut header = accepted(&entry.rule);
            for machine in MACHINES.filter(|machine| !self.machines.contains(machine)) {
                for (class, data) in VARIANTS {
                    set_variant(&mut header, class, data, Machine(machine));
                    if entry.rule.accepts(&header) {
                        return Err(self.disagreement(&header, None));
                    }
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// The interpreter's half for machine numbers that no row has, and so the rest of the product:
    /// each in every class and byte order, with all combinations of the flags that some row looks
    /// at and all OSABI values. No row may accept one. ([`Subject::strangers`] is the kernel's
    /// half. Types are in the grids.)
    pub fn unchosen(&self, machines: impl IntoIterator<Item = u16>) -> Outcome {
        let rows: Vec<Row<'_>> = self.table().rows().map(|row| row.expect("the row is well formed")).collect();
        let flags: Vec<u32> = subsets(self.looked_at).collect();
        let mut count = 0;
        for machine in machines {
            for (class, data) in VARIANTS {
                let header = header(class, data, elf::ET_EXEC, Machine(machine));
                let mut guest = Guest::identify(&header).expect("the header is a good one");
                for flags in &flags {
                    guest.header.flags = *flags;
                    for osabi in 0..=u8::MAX {
                        guest.header.osabi = osabi;
                        if let Some(row) = rows.iter().find(|row| row.accepts(&guest)) {
                            return Err(self.disagreement(&header, row.name().to_str().ok()));
                        }
                        count += 1;
                    }
                }
            }
        }
        Ok(count)
    }

    /// Every value of every byte in a header of each entry. Bytes that no rule sees keep their
    /// valid value.
    pub fn bytes(&self) -> Outcome {
        let table = self.table();
        let mut count = 0;
        for entry in &self.entries {
            let good = accepted(&entry.rule);
            for offset in 0..good.len() {
                for value in 0..=u8::MAX {
                    let mut header = good.clone();
                    header[offset] = value;
                    complete(&mut header);
                    let row = Guest::identify(&header).ok().and_then(|guest| table.choose(&guest).ok());
                    self.compare(&header, row.map(|row| row.name().to_str().expect("names are ASCII")))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Whether the entries that accept `header` are exactly one, of the row `chosen`, or none if
    /// there is no such row.
    fn compare(&self, header: &[u8], chosen: Option<&str>) -> Result<(), Disagreement> {
        let mut accepting = self.entries.iter().filter(|entry| entry.rule.accepts(header));
        let first = accepting.next().map(|entry| entry.row.as_str());
        if first == chosen && (first.is_none() || accepting.next().is_none()) {
            Ok(())
        } else {
            Err(self.disagreement(header, chosen))
        }
    }

    fn disagreement(&self, header: &[u8], chosen: Option<&str>) -> Disagreement {
        let accepting = self.entries.iter().filter(|entry| entry.rule.accepts(header));
        Disagreement {
            header: header.to_vec(),
            chosen: chosen.map(str::to_owned),
            accepting: accepting.map(|entry| entry.name.clone()).collect(),
        }
    }
}

/// All values with no bits outside `bits`, from 0 up.
pub fn subsets(bits: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(0), move |subset: &u32| {
        Some(subset.wrapping_sub(bits) & bits).filter(|subset| *subset != 0)
    })
}
