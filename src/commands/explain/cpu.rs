//! The CPU that a program finds, compared with what it says it needs.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use dispatch_core::Guest;
use dispatch_core::pipeline::Emulator;
use dispatch_core::plan;
use dispatch_core::table::{Argv0, Row};
use dispatch_table::Architecture;

use super::Cpu;
use crate::image::Effective;
use crate::image::emulators::outside;
use crate::output::json::Bytes;
use crate::platform::{memfd, probe};

/// A plan, and the emulator that it is for.
pub(super) struct Prepared<'p> {
    pub plan: plan::Plan<'p, &'p [u8]>,
    pub emulator: Emulator<'p, 'p, usize>,
}

/// The input.
pub(super) struct CpuQuestion<'l> {
    /// The program.
    pub guest: &'l Guest,
    /// Its row as the interpreter uses it, for this emulator.
    pub compiled: &'l Row<'l>,
    /// The same row in the table.
    pub row: &'l Architecture,
    /// The plan.
    pub prepared: &'l Prepared<'l>,
    /// How its version is known.
    pub known: Identified<'l>,
    /// The image that may embed the emulator.
    pub image: &'l Effective,
}

/// How the version of an emulator is known.
#[derive(Clone, Copy)]
pub(super) enum Identified<'l> {
    /// It was asked when it was embedded in the image.
    Embedded,
    /// The emulator at its path was asked.
    Asked {
        /// Its answer.
        version: &'l CStr,
        /// Whether the file is still the same.
        same: bool,
    },
    /// The version is unknown.
    Unknown,
    /// `run` would ask it for its version, and nothing is started now.
    ToBeAsked,
}

impl CpuQuestion<'_> {
    /// The CPU, for a program whose note of GNU properties is `properties`.
    pub fn cpu(&self, properties: &[u8]) -> Option<Cpu> {
        let chosen = self.chosen();
        let model = if let plan::Cpu::Table(model) = self.prepared.plan.cpu { Some(model) } else { None };
        let property = self.row.property.as_ref();
        let bits = property.and_then(|property| self.guest.property(properties, property.kind)).unwrap_or(0);
        // The table knows only what its own model lacks.
        let usual = chosen.is_none() && model == self.compiled.cpus().iter().next();
        let names = |mask: u32| -> Vec<String> {
            property.iter().flat_map(|property| property.names(mask)).map(str::to_owned).collect()
        };
        let cpu = Cpu {
            model: chosen.or(model.map(|model| Bytes::of(model.to_bytes()))),
            property: names(bits),
            required: property.is_some_and(|property| property.required),
            lacks: if usual { names(bits & self.compiled.lacks()) } else { Vec::new() },
        };
        (cpu.model.is_some() || !cpu.property.is_empty()).then_some(cpu)
    }

    /// Notes on the CPU.
    pub fn notes(&self, cpu: Option<&Cpu>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(chosen) = self.chosen() {
            notes.push(format!("QEMU_CPU={chosen} is set, and wins over the table"));
            notes.extend(self.refused(OsStr::from_bytes(chosen.as_bytes())));
        }
        notes.extend(self.version());
        let Some(cpu) = cpu else { return notes };
        let model = cpu.model.as_ref().map(Bytes::to_string);
        let tuning = model.iter().flat_map(|model| self.row.with_model(model)).find(|tuning| !tuning.note.is_empty());
        notes.extend(tuning.map(|tuning| tuning.note.clone()));
        if cpu.required && !cpu.lacks.is_empty() {
            notes.push("it may end with an illegal instruction, unless QEMU_CPU names a model that has it".to_owned());
        }
        notes
    }

    /// Why an emulator that is opened by its path gets this model, or none.
    fn version(&self) -> Option<String> {
        let plan = &self.prepared.plan;
        if !self.row.is_tuned() || plan.cpu == plan::Cpu::Caller || plan.argv0 != Argv0::DashZero {
            return None;
        }
        let path = plan.emulator.to_string_lossy();
        let by_table = matches!(plan.cpu, plan::Cpu::Table(_));
        let chosen = if by_table { "the CPU is the one for all versions" } else { "the emulator chooses the CPU" };
        let why = match self.known {
            // The line of the emulator has the version.
            Identified::Asked { version, same: true } if !version.is_empty() => return None,
            Identified::Asked { same: true, .. } => "does not say its version",
            Identified::Asked { same: false, .. } => {
                "was replaced since it was asked for its version: write the image again"
            }
            Identified::Unknown => "was not asked for its version: write the image again, without --seed",
            Identified::ToBeAsked => {
                return Some("the CPU depends on the emulator's version: see without --no-probe".to_owned());
            }
            Identified::Embedded => return None,
        };
        Some(format!("{chosen}, as {path} {why}"))
    }

    /// The model that the caller has chosen, if the emulator will use it.
    fn chosen(&self) -> Option<Bytes> {
        let heeded = self.prepared.plan.heeds_callers_cpu();
        let chosen = std::env::var_os(OsStr::from_bytes(plan::CPU)).filter(|_| heeded);
        chosen.map(|chosen| Bytes::of(chosen.as_bytes()))
    }

    /// The hint for a model that the emulator refuses.
    fn refused(&self, model: &OsStr) -> Option<String> {
        let (path, _file) = match self.prepared.emulator {
            Emulator::Embedded(embedded) => {
                let file = outside(&embedded, self.image).ok()?;
                (memfd::path(&file)?, Some(file))
            }
            Emulator::Mapped { .. } | Emulator::Executed { .. } => {
                (PathBuf::from(OsStr::from_bytes(self.prepared.plan.emulator.to_bytes())), None)
            }
        };
        let name = self.row.emulator_names().next().unwrap_or_default();
        let fault = probe::run_by(&path, OsStr::new(name), [OsStr::new("-cpu"), model], &self.row.probe_elf()).err()?;
        Some(format!("with it the probe {fault}; unset it, or choose from what `{name} -cpu help` prints"))
    }
}
