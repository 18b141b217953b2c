//! The writer of the compiled table; its layout is described in `dispatch_core::table`.

use std::collections::HashMap;

use dispatch_core::record::Extent;
use dispatch_core::record::Field;
use dispatch_core::table::{
    AskedRecord, BelowRecord, Identity, RowLists, RowRecord, Strategy, TABLE_MAGIC, TableHeader,
};

use crate::architecture::{Architecture, Flags};
use crate::tuning::{CpuChoice, Version};

/// The bytes behind the records. Equal ones, such as empty lists, are stored once.
struct Pool {
    /// Offset, in bytes from the start of the table.
    start: usize,
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Extent>,
}

impl Pool {
    fn add(&mut self, bytes: Vec<u8>) -> Extent {
        let offset = (self.start + self.bytes.len()) as u64;
        *self.known.entry(bytes).or_insert_with_key(|bytes| {
            self.bytes.extend(bytes);
            Extent { offset, len: bytes.len() as u64 }
        })
    }

    fn strings<'a>(&mut self, strings: impl IntoIterator<Item = &'a str>) -> Extent {
        self.add(list(strings))
    }
}

/// A list of strings as the table stores it: each ends with a NUL.
fn list<'a>(strings: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    strings.into_iter().flat_map(|string| string.bytes().chain([0])).collect()
}

/// The emulator that a row gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Its number among the programs of an image; 0 if it is not embedded, and its path decides.
    pub program: u32,
    /// Its version, if known.
    pub version: Option<Version>,
    /// Whether only the row's options and model for all versions are used.
    pub plain: bool,
    /// The file that reported the version, if it is not embedded. The choice by version holds for
    /// this file only.
    pub asked: Option<Asked>,
}

/// The file of an emulator that is opened by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The file's identity.
    pub file: Identity,
    /// Its path. Only people need it.
    pub path: String,
    /// The version that it reported. Only people need it.
    pub version: String,
}

/// The settings of `architecture` as the environment has them.
fn settings(architecture: &Architecture) -> Vec<String> {
    architecture.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The largest possible number of options and settings, including those for all versions.
pub fn words(architecture: &Architecture) -> usize {
    let by_version = architecture.versions.iter().map(|tuning| tuning.options.len());
    architecture.options.len() + architecture.environment.len() + by_version.sum::<usize>()
}

/// Compiles `architectures`, each of which has passed its checks. `given` returns the emulator of
/// each.
pub fn compile(architectures: &[Architecture], given: impl Fn(&Architecture) -> Assignment) -> Vec<u8> {
    let start = TableHeader::SIZE + architectures.len() * RowRecord::SIZE;
    let mut pool = Pool { start, bytes: Vec::new(), known: HashMap::new() };
    let mut table = Vec::new();
    let mut write = |bytes: &[u8]| table.extend(bytes);
    // Fewer than 2^32 fit into memory: a record has more than 100 bytes.
    TableHeader { magic: TABLE_MAGIC, rows: architectures.len() as u32 }.write(&mut write);
    for architecture in architectures {
        let own = row(architecture, &given(architecture), &mut pool);
        let below = architecture.below.iter().filter(|_| architecture.disabled.is_none()).map(|below| BelowRecord {
            row: row(below.row(), &given(below.row()), &mut pool),
            directory: pool.add(below.prefix().into_bytes()),
        });
        let below = encoded(&below.collect::<Vec<_>>());
        let lists = RowLists { below: pool.add(below), ..own.lists };
        RowRecord { lists, ..own }.write(&mut write);
    }
    table.extend(pool.bytes);
    table
}

/// The record of a row without an embedded emulator, for a file about which nothing is known.
fn row(architecture: &Architecture, given: &Assignment, pool: &mut Pool) -> RowRecord {
    let Some(Asked { file, path, version }) = &given.asked else { return record(architecture, given, pool) };
    let asked = AskedRecord {
        row: record(architecture, given, pool),
        file: *file,
        said: pool.strings([path.as_str(), version.as_str()]),
    };
    let record = record(architecture, &Assignment::default(), pool);
    RowRecord { lists: RowLists { asked: pool.add(encoded(&[asked])), ..record.lists }, ..record }
}

fn encoded(records: &[impl Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.write(&mut |part| bytes.extend(part)));
    bytes
}

fn record(architecture: &Architecture, given: &Assignment, pool: &mut Pool) -> RowRecord {
    let flags = architecture.flags.unwrap_or(Flags { mask: 0, value: 0 });
    let tuned = if given.plain { CpuChoice::default() } else { architecture.tuned(given.version.as_ref()) };
    let required = architecture.property.as_ref().filter(|property| property.required);
    let machines = architecture.machine.iter().flat_map(|machine| machine.number.to_le_bytes()).collect();
    let lists = RowLists {
        name: pool.strings([architecture.name.as_str()]),
        machines: pool.add(machines),
        osabi: pool.add(architecture.osabi.clone()),
        paths: match &architecture.disabled {
            Some(by) => pool.strings([by.as_str()]),
            None => pool.strings(architecture.emulator_paths()),
        },
        cpus: pool.strings(tuned.cpu.into_iter().chain(tuned.larger_cpu)),
        options: pool.strings(tuned.options.iter().chain(&architecture.options).map(String::as_str)),
        environment: pool.strings(settings(architecture).iter().map(String::as_str)),
        sysroots: pool.strings(architecture.library_places().iter().map(String::as_str)),
        asked: pool.add(Vec::new()),
        below: pool.add(Vec::new()),
    };
    RowRecord {
        class: architecture.class.ident(),
        data: architecture.data.ident(),
        argv0: architecture.argv0.code(),
        strategy: architecture.disabled.as_ref().map_or(architecture.strategy, |_| Strategy::Disabled).code(),
        flags_mask: flags.mask,
        flags_value: flags.value,
        property: required.map_or(0, |property| property.kind),
        lacks: tuned.lacks,
        program: given.program,
        lists,
    }
}
