//! Makes the plan for a program, as the interpreter or `run` would, or says why there is none.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dispatch_core::elf::HeaderFault;
use dispatch_core::handoff::Invocation;
use dispatch_core::pipeline::{
    self, Emulator, GuestFile, Head, PART, Process, World, choose, find_emulator, find_sysroot,
};
use dispatch_core::plan::Argument;
use dispatch_core::privilege::Privileges;
use dispatch_core::refusal::{EXIT_CANNOT_RUN, Refusal};
use dispatch_core::table::{Asked, Row as CompiledRow};
use dispatch_core::{Guest, NAME, emulator_file};
use dispatch_table::Architecture;
use nix::unistd::geteuid;

use super::contents::Contents;
use super::cpu::{CpuQuestion, Identified, Prepared};
use super::kernel::{Registered, Unseen};
use super::remedy::Remedies;
use super::unplanned::{Ground, Unplanned, reason_of, remedy_of_header};
use super::{Environment, Explanation, PlanView, Row, Setting, Tried, abi, credentials, translated};
use crate::failure::{Doing, Failure};
use crate::image::{Effective, emulators, title_of};
use crate::output::json::Bytes;
use crate::platform::host;
use crate::program::disk::Disk;
use crate::program::environment::environment;
use crate::program::invoked::{Invoked, c_string};

/// The input for a plan.
pub(super) struct Planner<'p> {
    /// How the program is looked at.
    pub setting: &'p Setting<'p>,
    /// The program.
    pub program: &'p Invoked,
    /// The contents of its file.
    pub contents: &'p Contents,
}

/// A plan, and what it was made from.
struct Planned<'p> {
    prepared: Prepared<'p>,
    guest: Guest,
    row: CompiledRow<'p>,
    /// What the emulator answered when it was asked for its version.
    asked: Option<Asked<'p>>,
}

impl Planner<'_> {
    /// Completes `explanation` with the plan, or returns why there is none. There is no reason if
    /// the program needs no plan.
    pub fn plan(
        &self,
        explanation: &mut Explanation,
        (guest, disk): (Result<GuestFile<'_, usize>, HeaderFault>, &mut Disk),
        registered: Option<Registered>,
    ) -> Result<Option<Unplanned>, Failure> {
        let (image, unseen) = match registered {
            Some(Registered::Image(image)) => (Some(image), None),
            Some(Registered::Unseen(unseen)) => (None, Some(unseen)),
            None => (None, None),
        };
        let image = match image {
            None => self.informed(explanation, (guest.as_ref().ok(), disk), unseen.as_ref())?,
            image => image,
        };
        let image = image.as_ref().unwrap_or(self.setting.image);
        let view = image.view()?;
        let (asks, level) = match &guest {
            Ok(file) => (file.asks(), abi::x86_64_level(&file.guest, &self.contents.properties)),
            Err(_) => (false, None),
        };
        let chosen = guest.map_err(Refusal::BadHeader).and_then(|file| Ok((file, view.table.choose(&file.guest)?)));
        let row = chosen.as_ref().ok().and_then(|(_, row)| self.setting.table.find(&row.name().to_string_lossy()));
        explanation.architecture =
            row.map(|row| Row { name: row.name.clone(), aliases: row.aliases.clone(), notes: row.notes.clone() });
        let start = match self.begin(explanation, (row, asks, level), unseen.as_ref())? {
            ControlFlow::Continue(start) => start,
            ControlFlow::Break(unplanned) => return Ok(unplanned),
        };

        let argv0 = c_string(&self.program.argv0);
        let secure = start == Privileges::Privileged;
        // The kernel's path of the file, as the interpreter's `sys::path` gets it.
        let own_path = if secure { self.program.path.canonicalize().ok() } else { None };
        let path = c_string(own_path.as_ref().unwrap_or(&self.program.path).as_os_str());
        let invocation = Invocation { path: path.as_bytes(), argv0: argv0.as_bytes() };
        let process = Process { secure, host: host::host(), page: host::page() };
        let mut head: Head = [0; emulator_file::HEAD];
        let mut title = None;
        let planned = chosen.and_then(|(file, _)| {
            let mut row = choose(disk, &view.table, &file, process, &mut [0; PART])?;
            title = title_of(&view.table, &row);
            let asked = view.table.asked(&row);
            let emulator = find_emulator(disk, &view, &mut row, process, &mut head)?;
            // The verdict says so if the dynamic linker is missing; the plan is shown all the same.
            let sysroot = find_sysroot(disk, &file, &row, process, &mut [0; PART]).unwrap_or_default();
            let plan = pipeline::plan(disk, &file, &row, &emulator, process, invocation, sysroot);
            Ok(Planned { prepared: Prepared { plan, emulator }, guest: file.guest, row, asked })
        });
        let found = planned.as_ref().ok().map(|planned| planned.prepared.plan.emulator.to_bytes().to_vec());
        explanation.emulators =
            disk.tried.iter().map(|(path, outcome)| tried(path, outcome, found.as_deref())).collect();
        let variant = title.as_ref().and_then(|title| self.setting.table.titled(title)).or(row);
        Ok(match planned {
            Ok(planned) => {
                unseen.iter().for_each(|unseen| unseen.note(explanation, self.setting.image));
                self.show(explanation, &planned, disk, (variant, image), unseen.as_ref());
                None
            }
            Err(refusal) => match (&unseen, row) {
                // `unshare` has made its image from the same table.
                (Some(unseen), Some(row)) if !(unseen.private && matches!(refusal, Refusal::Disabled { .. })) => {
                    unseen.tell(explanation, row, self.setting.remedies())
                }
                _ => Some(self.refused(explanation, &refusal, variant)),
            },
        })
    }

    /// An image that knows the version of the emulator that `run` would use; a registered
    /// interpreter uses what its own image knows. `None` if no version matters.
    fn informed(
        &self,
        explanation: &Explanation,
        (guest, disk): (Option<&GuestFile<'_, usize>>, &mut Disk),
        unseen: Option<&Unseen>,
    ) -> Result<Option<Effective>, Failure> {
        // `unshare` makes its image from what the command has.
        let planned = unseen.is_none_or(|unseen| unseen.private) && !explanation.is_others();
        // An emulator below a root directory may be anyone's program.
        let planned = planned && self.setting.probing && self.setting.outside.is_none();
        let Some(file) = guest.filter(|_| planned) else { return Ok(None) };
        let view = self.setting.image.view()?;
        let process = Process { secure: false, host: host::host(), page: host::page() };
        let row = choose(disk, &view.table, file, process, &mut [0; PART]).ok();
        let row = row.filter(|row| row.name().to_bytes() != host::row().name.as_bytes());
        Ok(row.and_then(|row| emulators::informed(&view, self.setting.table, &row)))
    }

    /// The privileges that the start gains, for a program that needs a plan. Breaks off with the
    /// reason why there is none, or without a reason if it needs none.
    fn begin(
        &self,
        explanation: &mut Explanation,
        (row, asks, level): (Option<&Architecture>, bool, Option<u32>),
        unseen: Option<&Unseen>,
    ) -> Result<ControlFlow<Option<Unplanned>, Privileges>, Failure> {
        // No emulator runs such a file.
        let hopeless = self.contents.damage.is_some() || self.contents.library || self.contents.system.is_some();
        if self.setting.host.is_some() || hopeless && row.is_some() && !explanation.is_others() {
            return Ok(ControlFlow::Break(None));
        }
        let native = row.is_some_and(|row| row.name == host::row().name);
        // `run` does not start programs below a root directory.
        let in_root = self.setting.outside.is_some() && explanation.kernel.winner().is_none();
        if explanation.is_others() || native {
            if !explanation.is_others() {
                explanation.notes.extend(level.and_then(lacking_level));
            }
            let refused = self.examine(explanation)? == Privileges::Refused;
            return Ok(ControlFlow::Break(refused.then(capabilities_refused)));
        }
        if asks && question(explanation) {
            return Ok(ControlFlow::Break(None));
        }
        let start = match row {
            Some(_) => self.examine(explanation)?,
            None => Privileges::Ordinary,
        };
        Ok(match (unseen, row) {
            _ if start == Privileges::Refused => ControlFlow::Break(Some(capabilities_refused())),
            _ if in_root => ControlFlow::Break(None),
            (Some(unseen), Some(row)) if !unseen.private => {
                ControlFlow::Break(unseen.tell(explanation, row, self.setting.remedies()))
            }
            _ => ControlFlow::Continue(start),
        })
    }

    /// The privileges that the start gains.
    fn examine(&self, explanation: &mut Explanation) -> Result<Privileges, Failure> {
        let file = (&self.program.file, self.program.path.as_path());
        let privileges = credentials::examine(explanation, &self.setting.caller, file)
            .map_err(|error| Failure::io(Doing::Read, &self.program.path, error))?;
        let asks = explanation.credentials.as_ref().is_some_and(|credentials| !credentials.asks.is_empty());
        if asks && self.setting.outside.is_some() && !geteuid().is_root() {
            let note = "the root directory was entered in a user namespace, which has no other users: as root, see \
                        what the file's privileges do";
            explanation.notes.push(note.to_owned());
        }
        Ok(privileges)
    }

    /// Describes the plan, and the CPU that the program finds.
    fn show(
        &self,
        explanation: &mut Explanation,
        planned: &Planned<'_>,
        disk: &mut Disk,
        (row, image): (Option<&Architecture>, &Effective),
        unseen: Option<&Unseen>,
    ) {
        let Planned { prepared, guest, row: compiled, asked } = planned;
        let mut plan = describe(prepared, &self.program.args);
        let private = unseen.is_some_and(|unseen| unseen.private);
        if private && plan.strategy == "map" {
            (plan.strategy, plan.private) = ("image", true);
        }
        if let Some(row) = row {
            let known = match prepared.emulator {
                Emulator::Embedded(_) => Identified::Embedded,
                Emulator::Mapped { file, .. } | Emulator::Executed { file, .. } => {
                    let file = disk.identity(file).ok();
                    let later = !self.setting.probing && (private || explanation.kernel.winner().is_none());
                    let unknown = if later { Identified::ToBeAsked } else { Identified::Unknown };
                    asked.as_ref().map_or(unknown, |asked| Identified::Asked {
                        version: asked.version,
                        same: file == Some(asked.file),
                    })
                }
            };
            plan.version = version(known, image, row);
            plan.below.clone_from(&row.directory);
            let question = CpuQuestion { guest, compiled, row, prepared, known, image };
            explanation.cpu = question.cpu(&self.contents.properties);
            explanation.notes.extend(question.notes(explanation.cpu.as_ref()));
            if plan.strategy == "image" && !plan.private {
                let model = explanation.cpu.as_ref().and_then(|cpu| cpu.model.as_ref()).map(Bytes::as_bytes);
                let question = translated::Question {
                    program: &self.program.path,
                    guest,
                    contents: self.contents,
                    title: &row.title(),
                    root: Path::new(
                        prepared.plan.sysroot.map_or(OsStr::new("/"), |root| OsStr::from_bytes(root.to_bytes())),
                    ),
                    privileged: explanation.privileged,
                    model,
                    cache: &self.setting.translated,
                };
                explanation.translations = question.answer(image);
            }
        }
        explanation.plan = Some(plan);
    }

    /// Why the interpreter, or `run`, would refuse the program.
    fn refused(&self, explanation: &mut Explanation, refusal: &Refusal<'_>, row: Option<&Architecture>) -> Unplanned {
        let in_path = |row: &Architecture| row.emulator_names().find_map(|name| which::which(name).ok());
        if let (Refusal::NoEmulator { .. }, Some(found)) = (refusal, row.and_then(in_path)) {
            let note = format!("{} is in your PATH, where the kernel does not look", Bytes::from(&found));
            explanation.notes.push(note);
        }
        unplanned(explanation, refusal, row, self.setting.remedies())
    }
}

/// The note for a native program that needs the x86-64 level `needs`, if this CPU lacks it.
fn lacking_level(needs: u32) -> Option<String> {
    let has = abi::level_of(&fs::read_to_string("/proc/cpuinfo").ok()?).filter(|has| *has < needs)?;
    Some(format!("it needs x86-64-v{needs}, and this CPU has x86-64-v{has}: it may end at once"))
}

/// The refusal of a file whose capabilities cannot be gained.
fn capabilities_refused() -> Unplanned {
    let reason = "the file has capabilities that cannot be gained here, and the kernel says `Operation not permitted`";
    let remedy = "start it where the bounding set allows them, or remove them with setcap -r";
    let (reason, remedy) = (reason.to_owned(), remedy.to_owned());
    Unplanned { reason, remedy, exit_code: EXIT_CANNOT_RUN, ground: Ground::File, now: None }
}

/// Notes that the program is a question to the interpreter, and whether the interpreter gets it.
fn question(explanation: &mut Explanation) -> bool {
    let answer = "which answers it with its version and the image's identity, exit code 0";
    let ours = explanation.kernel.winner().is_some_and(|entry| entry.ours);
    if ours {
        explanation.how = Some(format!("as a question to the interpreter, {answer}"));
    } else {
        explanation.notes.push(format!("it is a question to an interpreter of {NAME}, {answer}"));
    }
    ours
}

/// The version of the emulator of `row`, as it is known.
fn version(known: Identified<'_>, image: &Effective, row: &Architecture) -> Option<String> {
    let version = match known {
        Identified::Embedded => image.version_of(&row.title()),
        Identified::Asked { version, same: true } => Some(version.to_string_lossy().into_owned()),
        Identified::Asked { same: false, .. } | Identified::Unknown | Identified::ToBeAsked => None,
    };
    version.filter(|version| !version.is_empty())
}

fn unplanned(
    explanation: &Explanation,
    refusal: &Refusal<'_>,
    row: Option<&Architecture>,
    remedies: Remedies<'_>,
) -> Unplanned {
    let own = row.filter(|row| row.has_own_emulator);
    let mut now = None;
    let mut remedy = match refusal {
        Refusal::BadHeader(fault) => remedy_of_header(*fault).map(str::to_owned),
        Refusal::NoEmulator { tried: Some(path), .. } if own.is_some() => {
            Some(format!("put an emulator at {}, or change `below` in the table", path.to_string_lossy()))
        }
        Refusal::NoEmulator { tried: Some(_), .. } => row.map(|row| match remedies.outside {
            Some(_) => {
                now = remedies.run_now(explanation, row);
                remedies.embed(explanation, row)
            }
            None => remedies.get_emulator(row),
        }),
        Refusal::Disabled { .. } => row.map(|row| remedies.enable(explanation, row)),
        _ => None,
    }
    .unwrap_or_else(|| refusal.remedy().to_string());
    if remedy.is_empty() {
        "try again".clone_into(&mut remedy);
    }
    let ground = match refusal {
        Refusal::BadHeader(_)
        | Refusal::UnknownMachine(_)
        | Refusal::UnknownVariant { .. }
        | Refusal::ForeignSystem { .. } => Ground::Header,
        _ => Ground::Host,
    };
    let mut reason = reason_of(refusal);
    if let (Refusal::NoEmulator { tried: Some(_), .. }, Some(row)) = (refusal, own) {
        let paths: Vec<&str> = row.emulator_paths().collect();
        let directory = row.directory.as_deref().unwrap_or_default();
        reason = format!("no emulator for {} below {directory} at {}", row.name, paths.join(" or "));
    }
    Unplanned { reason, remedy, exit_code: refusal.exit_code(), ground, now }
}

fn tried(path: &Path, outcome: &std::io::Result<()>, chosen: Option<&[u8]>) -> Tried {
    let error = outcome.as_ref().err().map(crate::failure::text);
    Tried { path: Bytes::from(path), chosen: chosen == Some(path.as_os_str().as_bytes()), error }
}

fn describe(prepared: &Prepared<'_>, arguments: &[OsString]) -> PlanView {
    let name = |argument: Argument<'_, &[u8]>| match argument {
        Argument::Added(string) => Bytes::of(string.to_bytes()),
        Argument::Callers(bytes) => Bytes::of(bytes),
    };
    let mut argv = Vec::new();
    prepared.plan.argv(&mut |argument| argv.push(name(argument)));
    argv.extend(arguments.iter().map(|argument| Bytes::of(argument.as_bytes())));
    let variables = environment();
    let variables: Vec<&[u8]> = variables.iter().map(Vec::as_slice).collect();
    let (mut kept, mut added) = (Vec::new(), Vec::new());
    prepared.plan.environment(&variables, &|variable| variable, &mut |argument| match argument {
        Argument::Added(_) => added.push(name(argument)),
        Argument::Callers(variable) => kept.push(variable),
    });
    let removed = variables.iter().filter(|variable| !kept.contains(variable)).map(|variable| Bytes::of(variable));
    PlanView {
        emulator: Bytes::of(prepared.plan.emulator.to_bytes()),
        version: None,
        below: None,
        private: false,
        strategy: match prepared.emulator {
            Emulator::Embedded(_) => "image",
            Emulator::Mapped { .. } => "map",
            Emulator::Executed { .. } => "exec",
        },
        argv,
        environment: Environment { removed: removed.collect(), added },
        sysroot: prepared.plan.sysroot.map(|root| Bytes::of(root.to_bytes())),
    }
}
