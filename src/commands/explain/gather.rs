//! Collects everything for an explanation.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use binfmt_misc::registry::Executed;
use dispatch_core::Guest;
use dispatch_core::pipeline::{GuestFile, START};
use dispatch_core::refusal::Osabi;
use dispatch_table::ArchTable;
use goblin::elf::header::machine_to_str;

use super::contents::{self, Contents};
use super::judge::Judge;
use super::kernel::Question;
use super::planning::Planner;
use super::{Explanation, Header, Kernel, Setting, Subject, Verdict, abi};
use crate::failure::{Doing, Failure};
use crate::output::json::Bytes;
use crate::platform::{files, labels};
use crate::program::disk::Disk;
use crate::program::invoked::Invoked;

/// Most times that env(1) starts a script whose interpreter is env(1).
const MOST_ENVS: usize = 4;

/// Explains a program.
///
/// # Errors
/// [`Failure::Refused`] when it cannot be opened.
pub fn explain(subject: &Subject, setting: &Setting<'_>) -> Result<Explanation, Failure> {
    let &Setting { image, table, probing, ref seen, host, ref security, ref outside, ref caller, .. } = setting;
    let (program, words) = find(subject, setting)?;
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
    let mut explanation = Explanation {
        file: match &subject.input {
            Some(_) => Bytes::from(&subject.name),
            None => Bytes::from(program.scripts.first().unwrap_or(&program.path)),
        },
        root: outside.as_ref().map(|outside| Bytes::from(outside.root())),
        host: host.map(|host| host.name.clone()),
        scripts: scripts(&program),
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
        translations: None,
        notes: Vec::new(),
        verdict: Verdict {
            runs: Some(true),
            certain: true,
            exit_code: 0,
            reason: String::new(),
            remedy: None,
            now: None,
        },
        how: None,
        conditional: false,
        words,
    };
    let view = image.view()?;
    let row = guest.as_ref().ok().and_then(|file| view.table.choose(&file.guest).ok());
    let row = row.and_then(|row| table.find(&row.name().to_string_lossy()));
    let file = Executed { path: &program.path, start };
    let seen = seen.as_ref().ok();
    let question = Question { seen, file, row, table, probing, outside: outside.as_ref(), caller };
    let registered = question.answer(&mut explanation);
    let elf = guest.as_ref().ok().map(|file| file.guest.header);
    let planner = Planner { setting, program: &program, contents: &contents };
    let unplanned = planner.plan(&mut explanation, (guest, &mut disk), registered)?;
    if let (Some(_), Some(plan)) = (&subject.input, &mut explanation.plan) {
        let (path, name) = (Bytes::from(&subject.path()), Bytes::from(&subject.name));
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

/// Finds the program that decides how `subject` runs, and the words after `binfmt-dispatch run` that
/// run it. There are none if no command can run it: it is standard input, or its environment is not
/// the caller's.
fn find(subject: &Subject, setting: &Setting<'_>) -> Result<(Invoked, Vec<Bytes>), Failure> {
    let is_taken =
        |path: &Path, start: &[u8]| setting.seen.as_ref().is_ok_and(|seen| seen.has_winner(Executed { path, start }));
    let mut program = Invoked::find(subject.path().as_os_str(), &[], is_taken)?;
    let mut words = vec![Bytes::from(program.scripts.first().unwrap_or(&program.path))];
    let mut possible = subject.input.is_none();
    for _ in 0..MOST_ENVS {
        let Some((next, changed)) = program.started_by_env(is_taken)? else { break };
        // env would ask the kernel to start it.
        words = [next.path.as_os_str()]
            .into_iter()
            .chain(next.args.iter().map(OsString::as_os_str))
            .map(|word| Bytes::of(word.as_bytes()))
            .collect();
        possible &= !changed;
        program = next;
    }
    Ok((program, if possible { words } else { Vec::new() }))
}

/// The files that the `#!` line leads to.
fn scripts(program: &Invoked) -> Vec<Bytes> {
    let followed = program.scripts.iter().chain([&program.path]).skip(1);
    followed.map(Bytes::from).collect()
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
