//! The writer of the compiled table; its layout is described in `dispatch_core::table`.

use std::collections::HashMap;

use dispatch_core::image::Extent;
use dispatch_core::record::Field;
use dispatch_core::table::{RowRecord, TABLE_MAGIC, TableHeader};

use crate::{Architecture, Flags};

/// Bytes behind the records; equal ones, such as the list of no options, are there once.
struct Pool {
    /// Where it lies, in bytes from the start of the table.
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

/// A list of strings as it lies in the table: each one followed by its NUL.
fn list<'a>(strings: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    strings.into_iter().flat_map(|string| string.bytes().chain([0])).collect()
}

/// The settings of `architecture` as the environment has them.
fn settings(architecture: &Architecture) -> Vec<String> {
    architecture.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Bytes that options and settings take, NULs included.
pub fn strings_len(architecture: &Architecture) -> usize {
    let settings = settings(architecture);
    let strings = architecture.options.iter().chain(&settings);
    list(strings.map(String::as_str)).len()
}

/// The table of `architectures`, each of which has passed its checks; `program` tells the number of an architecture's
/// emulator among the programs of an image, or 0.
pub fn compile(architectures: &[Architecture], program: impl Fn(&Architecture) -> u32) -> Vec<u8> {
    let start = TableHeader::SIZE + architectures.len() * RowRecord::SIZE;
    let mut pool = Pool { start, bytes: Vec::new(), known: HashMap::new() };
    let mut table = Vec::new();
    let mut write = |bytes: &[u8]| table.extend(bytes);
    // As many as fit into memory are fewer than 2^32: a record has more than 100 bytes.
    TableHeader { magic: TABLE_MAGIC, rows: architectures.len() as u32 }.write(&mut write);
    for architecture in architectures {
        record(architecture, program(architecture), &mut pool).write(&mut write);
    }
    table.extend(pool.bytes);
    table
}

fn record(architecture: &Architecture, program: u32, pool: &mut Pool) -> RowRecord {
    let flags = architecture.flags.unwrap_or(Flags { mask: 0, value: 0 });
    let machines = architecture.machine.iter().flat_map(|machine| machine.number.to_le_bytes()).collect();
    RowRecord {
        name: pool.strings([architecture.name.as_str()]),
        class: architecture.class.ident(),
        data: architecture.data.ident(),
        argv0: architecture.argv0.code(),
        strategy: architecture.strategy.code(),
        flags_mask: flags.mask,
        flags_value: flags.value,
        machines: pool.add(machines),
        osabi: pool.add(architecture.osabi.clone()),
        paths: pool.strings(architecture.emulator_paths()),
        options: pool.strings(architecture.options.iter().map(String::as_str)),
        environment: pool.strings(settings(architecture).iter().map(String::as_str)),
        sysroots: pool.strings(architecture.sysroots.iter().map(String::as_str)),
        program,
    }
}
