//! `list`: the table, and which emulators this host has.

use std::path::Path;

use dispatch_table::ArchTable;
use serde::Serialize;

use crate::columns::{self, Columns};
use crate::failure::Failure;
use crate::{host, json, native, selection};

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these architectures, by QEMU's name or an alias
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One row, as JSON has it.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    aliases: &'a [String],
    class: String,
    data: String,
    machines: Vec<u16>,
    entries: Vec<String>,
    emulator: Option<&'a str>,
    may_be_native: bool,
    notes: &'a str,
}

/// Prints the list.
///
/// # Errors
/// [`Failure::UnknownArchitecture`] and [`Failure::Output`].
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let rows = selection::named(table, &args.architectures)?.unwrap_or_else(|| table.architectures.iter().collect());
    let listed: Vec<Listed<'_>> = rows
        .iter()
        .map(|row| Listed {
            name: &row.name,
            aliases: &row.aliases,
            class: row.class.to_string(),
            data: row.data.to_string(),
            machines: row.machine.iter().map(|machine| machine.number).collect(),
            entries: row.rules().into_iter().map(|rule| rule.name).collect(),
            emulator: native::emulator(row).and_then(Path::to_str),
            may_be_native: host::may_be_native(row),
            notes: &row.notes,
        })
        .collect();
    if args.json {
        json::print(&listed)?;
        return Ok(0);
    }
    let mut text = Columns::new(&["NAME", "KIND", "EMULATOR", "ALSO CALLED"]);
    for row in &listed {
        let emulator = match (row.emulator, row.may_be_native) {
            _ if row.name == host::row().name => "not needed: this machine",
            (Some(path), _) => path,
            (None, true) => "none (may be native here)",
            (None, false) => "none",
        };
        let kind = format!("{} {}", row.class, row.data);
        text.push([row.name.to_owned(), kind, emulator.to_owned(), row.aliases.join(" ")]);
    }
    columns::print(text)?;
    Ok(0)
}
