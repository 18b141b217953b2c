//! Checks the values of a table, so that everything derived from it is well formed.

use std::collections::HashMap;
use std::fmt::Debug;

use dispatch_core::table::{Argv0, MAX_ROW_WORDS, Strategy};
use dispatch_core::{Guest, Table, plan};

use crate::architecture::{Architecture, Below, OCI_SYSTEM};
use crate::compile::{self, Assignment};
use crate::error::TableFault;
use crate::names::Key;

/// Longest name of an architecture, in bytes. With the suffixes of its rules, it stays far below
/// the 255 bytes (`NAME_MAX`) that a file name in `binfmt_misc` may have.
const MAX_NAME: usize = 64;
/// Longest code of a probe, in bytes; `exit_group(0)` takes 6 to 20.
const MAX_PROBE: usize = 64;

/// A fault of a row.
#[derive(Debug)]
pub struct Faulty {
    /// Index of the row, from 0.
    pub row: usize,
    /// The fault.
    pub fault: TableFault,
}

/// Checks each architecture by itself, then all of them together.
pub fn all(architectures: &[Architecture]) -> Result<(), Faulty> {
    for (row, architecture) in architectures.iter().enumerate() {
        let checked = name(&architecture.name).and_then(|()| one(architecture));
        checked.map_err(|fault| Faulty { row, fault })?;
    }
    names(architectures)?;
    hosts(architectures)?;
    ambiguity(architectures)
}

/// The name becomes part of a file name in `binfmt_misc`, and of messages.
fn name(name: &str) -> Result<(), TableFault> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(TableFault::Name(name.to_owned()))
    }
}

fn one(architecture: &Architecture) -> Result<(), TableFault> {
    aliases(&architecture.aliases)?;
    let numbers: Vec<u16> = architecture.machine.iter().map(|machine| machine.number).collect();
    some("machine", &numbers)?;
    distinct("machine", &numbers)?;
    some("osabi", &architecture.osabi)?;
    distinct("osabi", &architecture.osabi)?;
    flags(architecture)?;
    emulators(&architecture.emulators)?;
    strings(architecture)?;
    tunings(architecture)?;
    sysroots(&architecture.sysroots)?;
    if architecture.argv0 == Argv0::Auxv && architecture.strategy == Strategy::Exec {
        return Err(TableFault::AuxvByExec);
    }
    distinct("native_on", &architecture.native_on)?;
    disabled(architecture.disabled.as_ref())?;
    below(&architecture.below)?;
    probe(architecture)
}

/// The rows for directories.
fn below(all: &[Below]) -> Result<(), TableFault> {
    for below in all {
        directory(&below.directory)?;
        let checked = changes(below).and_then(|()| strings(below.row())).and_then(|()| tunings(below.row()));
        checked.map_err(|fault| TableFault::Below { directory: below.directory.clone(), fault: Box::new(fault) })?;
    }
    let prefixes: Vec<String> = all.iter().map(Below::prefix).collect();
    distinct("below", &prefixes)
}

/// The kernel's paths are absolute and have no other forms of the same path, so such a directory
/// would never match.
fn directory(directory: &str) -> Result<(), TableFault> {
    let steps = directory.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let good = |step: &str| !matches!(step, "" | "." | "..") && !step.contains('\0');
    match steps {
        Some(steps) if steps.is_empty() || steps.split('/').all(good) => Ok(()),
        _ => Err(TableFault::Directory(directory.to_owned())),
    }
}

fn changes(below: &Below) -> Result<(), TableFault> {
    if below.emulators.is_none() && below.options.is_none() && below.cpu.is_none() {
        return Err(TableFault::NoChange);
    }
    let Some(paths) = &below.emulators else { return Ok(()) };
    emulators(paths)?;
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(name) => Err(TableFault::NoPath(name.clone())),
        None => Ok(()),
    }
}

/// Who has disabled it must be told to users.
fn disabled(by: Option<&String>) -> Result<(), TableFault> {
    without_nul("disabled", by)?;
    if by.is_some_and(String::is_empty) { Err(TableFault::Empty { field: "disabled" }) } else { Ok(()) }
}

/// Aliases come from tools that use few characters; a space or a capital letter would be a mistake.
fn aliases(aliases: &[String]) -> Result<(), TableFault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    let good = |alias: &&String| !alias.is_empty() && alias.bytes().all(allowed) && !alias.starts_with(OCI_SYSTEM);
    match aliases.iter().find(|alias| !good(alias)) {
        Some(alias) => Err(TableFault::Alias(alias.clone())),
        None => Ok(()),
    }
}

fn some<T>(field: &'static str, list: &[T]) -> Result<(), TableFault> {
    if list.is_empty() { Err(TableFault::Empty { field }) } else { Ok(()) }
}

fn distinct<T: PartialEq + Debug>(field: &'static str, list: &[T]) -> Result<(), TableFault> {
    let repeated = list.iter().enumerate().find(|(index, value)| list[..*index].contains(value));
    match repeated {
        Some((_, value)) => Err(TableFault::Twice { field, value: format!("{value:?}") }),
        None => Ok(()),
    }
}

fn without_nul<'a>(field: &'static str, strings: impl IntoIterator<Item = &'a String>) -> Result<(), TableFault> {
    match strings.into_iter().find(|string| string.contains('\0')) {
        Some(string) => Err(TableFault::Nul { field, value: string.clone() }),
        None => Ok(()),
    }
}

fn flags(architecture: &Architecture) -> Result<(), TableFault> {
    match architecture.flags {
        Some(flags) if flags.mask == 0 => Err(TableFault::NoFlags),
        Some(flags) if flags.value & !flags.mask != 0 => {
            Err(TableFault::FlagsValue { mask: flags.mask, value: flags.value })
        }
        _ => Ok(()),
    }
}

fn emulators(emulators: &[String]) -> Result<(), TableFault> {
    some("emulators", emulators)?;
    without_nul("emulators", emulators)?;
    distinct("emulators", emulators)?;
    let good =
        |emulator: &str| emulator.starts_with('/') || !(emulator.contains('/') || matches!(emulator, "" | "." | ".."));
    match emulators.iter().find(|emulator| !good(emulator)) {
        Some(emulator) => Err(TableFault::Emulator(emulator.clone())),
        None => Ok(()),
    }
}

/// Options and settings: the interpreter reserves a limited number of words on the stack for them.
fn strings(architecture: &Architecture) -> Result<(), TableFault> {
    without_nul("options", &architecture.options)?;
    let names: Vec<&String> = architecture.environment.iter().map(|(name, _)| name).collect();
    if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains('=')) {
        return Err(TableFault::Variable((*name).clone()));
    }
    distinct("environment", &names)?;
    // Only emulators that accept `-0` are QEMU, which has this option.
    if architecture.argv0 == Argv0::DashZero {
        if names.iter().any(|name| name.as_bytes() == plan::CPU) {
            return Err(TableFault::Model { field: "environment" });
        }
        let mut options = architecture.versions.iter().flat_map(|tuning| &tuning.options).chain(&architecture.options);
        if options.any(|option| matches!(option.as_str(), "-cpu" | "--cpu")) {
            return Err(TableFault::Model { field: "options" });
        }
    }
    without_nul("environment", architecture.environment.iter().flat_map(|(name, value)| [name, value]))?;
    let count = compile::words(architecture);
    if count > MAX_ROW_WORDS {
        return Err(TableFault::TooMany { count, max: MAX_ROW_WORDS });
    }
    Ok(())
}

/// Models and options by version.
fn tunings(architecture: &Architecture) -> Result<(), TableFault> {
    let models = architecture.cpus.iter().chain(&architecture.cpu);
    let models =
        models.chain(architecture.versions.iter().flat_map(|tuning| [&tuning.cpu, &tuning.larger_cpu]).flatten());
    without_nul("cpu", models.clone())?;
    if models.into_iter().any(String::is_empty) {
        return Err(TableFault::Empty { field: "cpu" });
    }
    distinct("cpus", &architecture.cpus)?;
    let bits = architecture.property.as_ref().map_or(&[][..], |property| &property.bits);
    distinct("bits", bits)?;
    if bits.len() > 32 {
        return Err(TableFault::Bits { len: bits.len() });
    }
    for tuning in &architecture.versions {
        without_nul("options", &tuning.options)?;
        if let (Some(since), Some(before)) = (&tuning.since, &tuning.before) {
            if since >= before {
                return Err(TableFault::Versions { since: since.to_string(), before: before.to_string() });
            }
        }
        if let Some(lacking) = tuning.lacks.iter().find(|name| !bits.contains(name)) {
            return Err(TableFault::Lacks(lacking.clone()));
        }
        let required = architecture.property.as_ref().is_some_and(|property| property.required);
        if tuning.larger_cpu.is_some() && (tuning.cpu.is_none() || tuning.lacks.is_empty() || !required) {
            return Err(TableFault::LargerCpu);
        }
    }
    Ok(())
}

fn sysroots(sysroots: &[String]) -> Result<(), TableFault> {
    without_nul("sysroots", sysroots)?;
    distinct("sysroots", sysroots)?;
    match sysroots.iter().find(|sysroot| !sysroot.starts_with('/')) {
        Some(sysroot) => Err(TableFault::Sysroot(sysroot.clone())),
        None => Ok(()),
    }
}

/// The probe must reach the emulator through the architecture's own row. All of its header except
/// `e_flags` comes from the row, so only these can be wrong.
fn probe(architecture: &Architecture) -> Result<(), TableFault> {
    let len = architecture.probe.code.len();
    if !(1..=MAX_PROBE).contains(&len) {
        return Err(TableFault::ProbeSize { len, max: MAX_PROBE });
    }
    let compiled = compile::compile(std::slice::from_ref(architecture), |_| Assignment::default());
    let row = Table::read(&compiled).ok().and_then(|table| table.rows().next()?.ok());
    let guest = Guest::identify(&architecture.probe_elf()).ok();
    match (row, guest) {
        (Some(row), Some(guest)) if row.accepts(&guest) => Ok(()),
        _ => Err(TableFault::ProbeFlags { flags: architecture.probe.flags }),
    }
}

/// Names of rows to be merged: a second one would silently win.
pub fn distinct_names<'r>(names: impl Iterator<Item = &'r str>) -> Result<(), Faulty> {
    let mut known = Vec::new();
    for (row, name) in names.enumerate() {
        if known.contains(&name) {
            return Err(Faulty { row, fault: TableFault::Taken { name: name.to_owned(), by: name.to_owned() } });
        }
        known.push(name);
    }
    Ok(())
}

/// Names and aliases share one name space, because [`crate::ArchTable::find`] searches both. Two
/// that it does not tell apart are the same.
fn names(architectures: &[Architecture]) -> Result<(), Faulty> {
    let mut owners = HashMap::new();
    for (row, architecture) in architectures.iter().enumerate() {
        for name in architecture.names() {
            if let Some(by) = owners.insert(Key::of(name), &architecture.name) {
                return Err(Faulty { row, fault: TableFault::Taken { name: name.to_owned(), by: by.clone() } });
            }
        }
    }
    Ok(())
}

fn hosts(architectures: &[Architecture]) -> Result<(), Faulty> {
    for (row, architecture) in architectures.iter().enumerate() {
        let known = |host: &&String| architectures.iter().any(|other| other.name == **host);
        if let Some(host) = architecture.native_on.iter().find(|host| !known(host)) {
            return Err(Faulty { row, fault: TableFault::Host(host.clone()) });
        }
    }
    Ok(())
}

/// The kernel tries its entries in the reverse order of their registration. If no two accept the
/// same file, the order does not matter.
fn ambiguity(architectures: &[Architecture]) -> Result<(), Faulty> {
    let rules: Vec<_> = architectures.iter().map(|architecture| (architecture, architecture.rules())).collect();
    for (row, (_, ours)) in rules.iter().enumerate() {
        for (other, theirs) in &rules[..row] {
            if ours.iter().any(|our| theirs.iter().any(|their| our.rule.overlaps(&their.rule))) {
                return Err(Faulty { row, fault: TableFault::Ambiguous { other: other.name.clone() } });
            }
        }
    }
    Ok(())
}
