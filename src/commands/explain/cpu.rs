//! Which CPU a program finds, against what it says of itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use dispatch_core::Guest;
use dispatch_core::plan;
use dispatch_core::prepare::{Emulator, Prepared};
use dispatch_core::table::{Argv0, Row};
use dispatch_table::Architecture;

use super::Cpu;
use crate::commands::run::outside;
use crate::image::Effective;
use crate::json::Bytes;
use crate::{memory, probe};

/// What there is to look at.
pub(super) struct Look<'l> {
    /// The program.
    pub guest: &'l Guest,
    /// Its row as the interpreter has it.
    pub compiled: &'l Row<'l>,
    /// The same as the table has it.
    pub row: &'l Architecture,
    /// What is about to be done.
    pub prepared: &'l Prepared<'l, 'l, &'l [u8], usize>,
    /// Where the emulator may be inside.
    pub image: &'l Effective,
}

impl Look<'_> {
    /// The CPU, for a program whose note of GNU properties is `properties`.
    pub fn cpu(&self, properties: &[u8]) -> Option<Cpu> {
        let chosen = self.chosen();
        let model = if let plan::Cpu::Table(model) = self.prepared.plan.cpu { Some(model) } else { None };
        let property = self.row.property.as_ref();
        let bits = property.and_then(|property| self.guest.property(properties, property.kind)).unwrap_or(0);
        // Of another model than the usual one the table says nothing.
        let usual = chosen.is_none() && model == self.compiled.cpus.iter().next();
        let names = |mask: u32| -> Vec<String> {
            property.iter().flat_map(|property| property.names(mask)).map(str::to_owned).collect()
        };
        let cpu = Cpu {
            model: chosen.or(model.map(|model| Bytes::of(model.to_bytes()))),
            property: names(bits),
            required: property.is_some_and(|property| property.required),
            lacks: if usual { names(bits & self.compiled.lacks) } else { Vec::new() },
        };
        (cpu.model.is_some() || !cpu.property.is_empty()).then_some(cpu)
    }

    /// What else a person should know of it.
    pub fn notes(&self, cpu: Option<&Cpu>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(chosen) = self.chosen() {
            notes.push(format!("QEMU_CPU={chosen} is set, and wins over the table"));
            notes.extend(self.refused(OsStr::from_bytes(chosen.as_bytes())));
        }
        let inside = matches!(self.prepared.emulator, Emulator::Inside(_));
        let by_version = self.row.versions.iter().any(|tuning| tuning.cpu.is_some());
        let plan = &self.prepared.plan;
        if by_version && !inside && plan.cpu == plan::Cpu::Emulator && plan.argv0 == Argv0::DashZero {
            notes.push("the emulator chooses the CPU; inside an image it may be given a faster one".to_owned());
        }
        let Some(cpu) = cpu else { return notes };
        let model = cpu.model.as_ref().map(Bytes::to_string);
        let tuning = model.iter().flat_map(|model| self.row.with_model(model)).find(|tuning| !tuning.note.is_empty());
        notes.extend(tuning.map(|tuning| tuning.note.clone()));
        if cpu.required && !cpu.lacks.is_empty() {
            notes.push("it may end with an illegal instruction, unless QEMU_CPU names a model that has it".to_owned());
        }
        notes
    }

    /// The model that the caller has chosen, if that is heeded.
    fn chosen(&self) -> Option<Bytes> {
        let heeded = self.prepared.plan.heeds_callers_cpu();
        let chosen = std::env::var_os(OsStr::from_bytes(plan::CPU)).filter(|_| heeded);
        chosen.map(|chosen| Bytes::of(chosen.as_bytes()))
    }

    /// The hint for a model that the emulator refuses.
    fn refused(&self, model: &OsStr) -> Option<String> {
        let (path, _file) = match self.prepared.emulator {
            Emulator::Inside(resident) => {
                let file = outside(&resident, self.image).ok()?;
                (memory::path(&file)?, Some(file))
            }
            Emulator::Mapped(..) | Emulator::Executed(_) => {
                (PathBuf::from(OsStr::from_bytes(self.prepared.plan.emulator.to_bytes())), None)
            }
        };
        let name = self.row.emulator_names().next().unwrap_or_default();
        let fault = probe::run_by(&path, OsStr::new(name), [OsStr::new("-cpu"), model], &self.row.probe_elf()).err()?;
        Some(format!("with it the probe {fault}; unset it, or choose from what `{name} -cpu help` prints"))
    }
}
