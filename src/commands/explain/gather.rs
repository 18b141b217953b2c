//! Collects everything for an explanation.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dispatch_core::elf::HeaderFault;
use dispatch_core::handoff::Invocation;
use dispatch_core::pipeline::{
    self, Emulator, GuestFile, Head, PART, Process, START, World, find_emulator, find_sysroot,
};
use dispatch_core::plan::Argument;
use dispatch_core::privilege::Privileges;
use dispatch_core::refusal::{EXIT_CANNOT_RUN, Osabi, Refusal};
use dispatch_core::{Guest, NAME, emulator_file};
use dispatch_table::{ArchTable, Architecture};
use goblin::elf::header::machine_to_str;

use binfmt_misc::registry::Executed;

use super::contents::{self, Contents};
use super::cpu::{self, Identified, Prepared};
use super::judge::{Judge, Unplanned, remedy_of_header};
use super::kernel::{Question, Registered};
use super::remedy::{Remedies, as_root};
use super::{
    Environment, Explanation, Header, Kernel, PlanView, Row, Setting, Subject, Tried, Verdict, abi, credentials,
};
use crate::failure::{Doing, Failure};
use crate::image::{Effective, emulators};
use crate::output::json::Bytes;
use crate::platform::{files, host, labels};
use crate::program::disk::Disk;
use crate::program::environment::environment;
use crate::program::invoked::{Invoked, c_string};

/// Most times that env(1) starts a script whose interpreter is env(1).
const MOST_ENVS: usize = 4;

/// Explains a program.
///
/// # Errors
/// [`Failure::Refused`] when it cannot be opened.
pub fn explain(subject: &Subject, setting: &Setting<'_>) -> Result<Explanation, Failure> {
    let &Setting { image, table, probing, ref seen, host, ref security, ref outside } = setting;
    let is_taken =
        |path: &Path, start: &[u8]| seen.as_ref().is_ok_and(|seen| seen.has_winner(Executed { path, start }));
    let mut program = Invoked::find(subject.path().as_os_str(), &[], is_taken)?;
    let mut followed = false;
    for _ in 0..MOST_ENVS {
        let Some(next) = program.started_by_env(is_taken)? else { break };
        (program, followed) = (next, true);
    }
    let unreadable = |error| Failure::io(Doing::Read, &program.path, error);
    let mut start = [0; START];
    let len = files::read_full(&program.file, &mut start, 0).map_err(unreadable)?;
    let start = &start[..len];
    let mut disk = Disk::default();
    let guest = GuestFile::of(disk.adopt(program.file.try_clone().map_err(unreadable)?), start);
    let contents = match &guest {
        Ok(file) => contents::examine(&file.guest, &program.file).map_err(unreadable)?,
        Err(_) => Contents::default(),
    };
    let mut scripts: Vec<Bytes> = program.scripts.iter().skip(1).map(Bytes::from).collect();
    if !program.scripts.is_empty() {
        scripts.push(Bytes::from(&program.path));
    }
    let mut explanation = Explanation {
        file: match &subject.input {
            Some(_) => Bytes::from(&subject.name),
            None => Bytes::from(program.scripts.first().unwrap_or(&program.path)),
        },
        root: outside.as_ref().map(|outside| Bytes::from(outside.root())),
        host: host.map(|host| host.name.clone()),
        scripts,
        header: guest.as_ref().ok().map(|file| header(&file.guest, &contents, start, table)),
        architecture: None,
        kernel: Kernel::of(seen.as_ref()),
        probe: None,
        credentials: None,
        security: security.clone(),
        label: if security.is_empty() { None } else { labels::of_file(&program.file) },
        privileged: false,
        emulators: Vec::new(),
        plan: None,
        cpu: None,
        notes: Vec::new(),
        verdict: Verdict { runs: Some(true), exit_code: 0, reason: String::new(), remedy: None, now: None },
        how: None,
        words: if subject.input.is_some() { Vec::new() } else { words(&program, followed) },
    };
    let view = image.view()?;
    let row = guest.as_ref().ok().and_then(|file| view.table.choose(&file.guest).ok());
    let row = row.and_then(|row| table.find(&row.name.to_string_lossy()));
    let file = Executed { path: &program.path, start };
    let registered = Question { seen: seen.as_ref().ok(), file, row, table, probing, outside: outside.as_ref() }
        .answer(&mut explanation);
    let elf = guest.as_ref().ok().map(|file| file.guest.header);
    let unplanned = plan(&mut explanation, &program, (guest, &mut disk), &contents, (setting, registered))?;
    if let (Some(_), Some(plan)) = (&subject.input, &mut explanation.plan) {
        let (path, name) = (Bytes::from(&program.path), Bytes::from(&subject.name));
        plan.argv.iter_mut().filter(|word| **word == path).for_each(|word| *word = name.clone());
    }
    let judge = Judge {
        explanation: &explanation,
        program: &program,
        contents: &contents,
        header: elf.as_ref(),
        table,
        remedies: setting.remedies(),
        host,
    };
    explanation.verdict = judge.verdict(unplanned, start);
    Ok(explanation)
}

/// The words after `binfmt-dispatch run` that run `program`. env(1), if it was `followed`, would ask
/// the kernel to start it.
fn words(program: &Invoked, followed: bool) -> Vec<Bytes> {
    if !followed {
        return vec![Bytes::of(program.scripts.first().unwrap_or(&program.path).as_os_str().as_bytes())];
    }
    [program.path.as_os_str()]
        .into_iter()
        .chain(program.args.iter().map(OsString::as_os_str))
        .map(|word| Bytes::of(word.as_bytes()))
        .collect()
}

fn header(guest: &Guest, contents: &Contents, start: &[u8], table: &ArchTable) -> Header {
    let header = guest.header;
    let number = header.machine.0;
    let row = table.architectures().iter().flat_map(|row| &row.machine).find(|machine| machine.number == number);
    let known = Some(machine_to_str(number)).filter(|name| !name.contains("UNKNOWN")).map(|name| format!("EM_{name}"));
    Header {
        class: header.class.to_string(),
        data: header.data.to_string(),
        osabi: header.osabi,
        system: match (header.osabi, contents.system) {
            // The usual meaning of System V.
            (0, system) => system.unwrap_or("Linux").to_owned(),
            (osabi, _) => Osabi(osabi).to_string(),
        },
        kind: if header.kind == dispatch_core::elf::ET_EXEC { "executable" } else { "position-independent" },
        machine: number,
        machine_name: row.map(|machine| machine.name.clone()).or(known),
        flags: header.flags,
        abi: abi::words(guest, &contents.properties),
        entry: header.entry,
        appimage: contents::appimage(start),
        dynamic_linker: contents.linker.clone(),
        libraries: contents.needed.clone(),
    }
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

/// Makes the plan, as the interpreter would, or says why there is none.
fn plan(
    explanation: &mut Explanation,
    program: &Invoked,
    (guest, disk): (Result<GuestFile<'_, usize>, HeaderFault>, &mut Disk),
    contents: &Contents,
    (setting, registered): (&Setting<'_>, Option<Registered>),
) -> Result<Option<Unplanned>, Failure> {
    let (effective, table) = (setting.image, setting.table);
    let (image, unseen) = match registered {
        Some(Registered::Image(image)) => (Some(image), None),
        Some(Registered::Unseen(unseen)) => (None, Some(unseen)),
        None => (None, None),
    };
    // `unshare` makes its image from what the command has.
    let planned = unseen.as_ref().is_none_or(|unseen| unseen.private);
    let others = explanation.kernel.winner().is_some_and(|entry| !entry.ours);
    // A registered interpreter uses what its image knows; `run` asks the emulator.
    let image = match &guest {
        Ok(file) if planned && !others && image.is_none() => {
            let view = effective.view()?;
            let row =
                view.table.choose(&file.guest).ok().filter(|row| row.name.to_bytes() != host::row().name.as_bytes());
            row.and_then(|row| emulators::informed(&view, table, &row))
        }
        _ => image,
    };
    let image = image.as_ref().unwrap_or(effective);
    let view = image.view()?;
    let asks = guest.as_ref().is_ok_and(GuestFile::asks);
    let level = guest.as_ref().ok().and_then(|file| abi::x86_64_level(&file.guest, &contents.properties));
    let chosen = guest.map_err(Refusal::BadHeader).and_then(|file| Ok((file, view.table.choose(&file.guest)?)));
    let row = chosen.as_ref().ok().and_then(|(_, row)| table.find(&row.name.to_string_lossy()));
    explanation.architecture =
        row.map(|row| Row { name: row.name.clone(), aliases: row.aliases.clone(), notes: row.notes.clone() });
    let unreadable = |error| Failure::io(Doing::Read, &program.path, error);
    if setting.host.is_some() {
        return Ok(None);
    }
    if others || row.is_some_and(|row| row.name == host::row().name) {
        let has = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| abi::level_of(&text));
        if let Some((needs, has)) = level.zip(has).filter(|(needs, has)| needs > has && !others) {
            let note = format!("it needs x86-64-v{needs}, and this CPU has x86-64-v{has}: it may end at once");
            explanation.notes.push(note);
        }
        credentials::examine(explanation, &program.file, &program.path).map_err(unreadable)?;
        return Ok(None);
    }
    if asks && question(explanation) {
        return Ok(None);
    }
    // `run` does not start programs below a root directory.
    if setting.outside.is_some() && explanation.kernel.winner().is_none() {
        credentials::examine(explanation, &program.file, &program.path).map_err(unreadable)?;
        return Ok(None);
    }
    let start = match row {
        Some(_) => credentials::examine(explanation, &program.file, &program.path).map_err(unreadable)?,
        None => Privileges::Ordinary,
    };
    if start == Privileges::Refused {
        let reason =
            "the file has capabilities that cannot be gained here, and the kernel says `Operation not permitted`";
        let remedy = "start it where the bounding set allows them, or remove them with setcap -r";
        let (reason, remedy) = (reason.to_owned(), remedy.to_owned());
        return Ok(Some(Unplanned { reason, remedy, exit_code: EXIT_CANNOT_RUN, by_header: false }));
    }

    if let (Some(unseen), Some(row), false) = (&unseen, row, planned) {
        return Ok(unseen.tell(explanation, &row.name));
    }

    let argv0 = c_string(&program.argv0);
    let secure = start == Privileges::Privileged;
    // The kernel's path of the file, as the interpreter's `sys::path` gets it.
    let own_path = if secure { program.path.canonicalize().ok() } else { None };
    let path = c_string(own_path.as_ref().unwrap_or(&program.path).as_os_str());
    let invocation = Invocation { path: path.as_bytes(), argv0: argv0.as_bytes() };
    let process = Process { secure, host: host::host(), page: host::page() };
    let mut head: Head = [0; emulator_file::HEAD];
    let prepared = chosen.and_then(|(file, mut compiled)| {
        let asked = view.table.asked(&compiled);
        let emulator = find_emulator(disk, &view, &mut compiled, process, &mut head)?;
        // The verdict says so if the dynamic linker is missing; the plan is shown all the same.
        let mut part = [0; PART];
        let sysroot = find_sysroot(disk, &file, &compiled, process, &mut part).unwrap_or_default();
        let plan = pipeline::plan(disk, &file, &compiled, &emulator, process, invocation, sysroot);
        Ok((Prepared { plan, emulator }, file.guest, compiled, asked))
    });
    let found = prepared.as_ref().ok().map(|(prepared, ..)| prepared.plan.emulator.to_bytes().to_vec());
    explanation.emulators = disk.tried.iter().map(|(path, outcome)| tried(path, outcome, found.as_deref())).collect();
    Ok(match prepared {
        Ok((prepared, guest, compiled, asked)) => {
            unseen.iter().for_each(|unseen| unseen.note(explanation, effective));
            explanation.plan = Some(describe(&prepared, &program.args));
            if let Some(row) = row {
                let known = match prepared.emulator {
                    Emulator::Embedded(_) => Identified::Embedded,
                    Emulator::Mapped { file, .. } | Emulator::Executed { file, .. } => {
                        let file = disk.identity(file).ok();
                        asked.map_or(Identified::Unknown, |asked| Identified::Asked {
                            version: asked.version,
                            same: file == Some(asked.file),
                        })
                    }
                };
                let look =
                    cpu::CpuQuestion { guest: &guest, compiled: &compiled, row, prepared: &prepared, known, image };
                if let Some(plan) = &mut explanation.plan {
                    plan.version = version(known, image, row);
                }
                explanation.cpu = look.cpu(&contents.properties);
                explanation.notes.extend(look.notes(explanation.cpu.as_ref()));
            }
            None
        }
        Err(refusal) => match (&unseen, row) {
            (Some(unseen), Some(row)) => unseen.tell(explanation, &row.name),
            _ => {
                let in_path = |row: &Architecture| row.emulator_names().find_map(|name| which::which(name).ok());
                if let (Refusal::NoEmulator { .. }, Some(found)) = (&refusal, row.and_then(in_path)) {
                    let note = format!("{} is in your PATH, where the kernel does not look", Bytes::from(&found));
                    explanation.notes.push(note);
                }
                Some(unplanned(&refusal, row, setting.remedies()))
            }
        },
    })
}

/// The version of the emulator of `row`, as it is known.
fn version(known: Identified<'_>, image: &Effective, row: &Architecture) -> Option<String> {
    let version = match known {
        Identified::Embedded => image.version_of(&row.name),
        Identified::Asked { version, same: true } => Some(version.to_string_lossy().into_owned()),
        Identified::Asked { same: false, .. } | Identified::Unknown => None,
    };
    version.filter(|version| !version.is_empty())
}

fn unplanned(refusal: &Refusal<'_>, row: Option<&Architecture>, remedies: Remedies<'_>) -> Unplanned {
    let mut reason = String::new();
    refusal.say_reason(&mut |piece| reason.push_str(piece));
    let mut remedy = match refusal {
        Refusal::BadHeader(fault) => remedy_of_header(*fault).map(str::to_owned),
        Refusal::NoEmulator { tried: Some(_), .. } => row.map(|row| remedies.get_emulator(row)),
        Refusal::Disabled { .. } => Some(format!("change that, then run {}", as_root(&[format!("{NAME} install")]))),
        _ => None,
    }
    .unwrap_or_else(|| refusal.remedy().to_string());
    if remedy.is_empty() {
        "try again".clone_into(&mut remedy);
    }
    let by_header = matches!(
        refusal,
        Refusal::BadHeader(_)
            | Refusal::UnknownMachine(_)
            | Refusal::UnknownVariant { .. }
            | Refusal::ForeignSystem { .. }
    );
    Unplanned { reason, remedy, exit_code: refusal.exit_code(), by_header }
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
