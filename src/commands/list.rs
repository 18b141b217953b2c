//! `list`: the table and the installed emulators, or the contents of an image.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dispatch_table::ArchTable;
use serde::Serialize;

use crate::failure::Failure;
use crate::image::contents;
use crate::image::{self, Effective};
use crate::output::json;
use crate::output::{self, Columns, Narrow};
use crate::platform::host;
use crate::{architectures, context};

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Architectures, by any of their names; default: all
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show the contents of the image FILE instead; without FILE, of the image that this command
    /// runs from
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "architectures")]
    image: Option<Option<PathBuf>>,
}

/// One row, for JSON.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    aliases: &'a [String],
    class: String,
    data: String,
    machines: Vec<u16>,
    entries: Vec<String>,
    emulator: Option<&'a str>,
    /// Whether an emulator is embedded in the image that this command runs from.
    embedded: bool,
    may_be_native: bool,
    /// Who has disabled it.
    disabled_by: Option<&'a str>,
    notes: &'a str,
}

/// Prints the list.
///
/// # Errors
/// [`Failure::UnknownArchitectures`] (after the rows of the known ones) and [`Failure::Output`].
pub fn run(args: &Args, image: &Effective, table: &ArchTable) -> Result<u8, Failure> {
    if let Some(file) = &args.image {
        return contents(file.as_deref(), args.json);
    }
    let embedded = match image {
        Effective::Image(image) => image.embedded()?,
        Effective::Table(_) => BTreeSet::new(),
    };
    let (named, unknown) = architectures::known(table, &args.architectures)?;
    let rows = named.unwrap_or_else(|| table.architectures().iter().collect());
    let listed: Vec<Row<'_>> = rows
        .iter()
        .map(|row| Row {
            name: &row.name,
            aliases: &row.aliases,
            class: row.class.to_string(),
            data: row.data.to_string(),
            machines: row.machine.iter().map(|machine| machine.number).collect(),
            entries: row.rules().into_iter().map(|rule| rule.name).collect(),
            emulator: host::emulator(row).and_then(Path::to_str),
            embedded: embedded.contains(&row.name),
            may_be_native: host::may_be_native(row),
            disabled_by: row.disabled.as_deref(),
            notes: &row.notes,
        })
        .collect();
    if args.json {
        json::print(&listed)?;
        return unknown.map_or(Ok(0), Err);
    }
    let mut text = Columns::new(&["NAME", "KIND", "EMULATOR", "ALSO CALLED"]);
    for (row, architecture) in listed.iter().zip(rows) {
        let disabled = architectures::disabled(architecture);
        let emulator = match (row.emulator, row.may_be_native) {
            _ if row.name == host::row().name => "not needed: this machine",
            _ if !disabled.is_empty() => &disabled,
            _ if row.embedded => "embedded in the image",
            (Some(path), _) => path,
            (None, true) => "none (may be native here)",
            (None, false) => "none",
        };
        let kind = format!("{} {}", row.class, row.data);
        text.push([row.name.to_owned(), kind, emulator.to_owned(), row.aliases.join(" ")]);
    }
    output::print(text.fitting(&[Narrow::Beginning("EMULATOR", 22), Narrow::End("ALSO CALLED", 11)]))?;
    unknown.map_or(Ok(0), Err)
}

/// Prints the contents of an image.
fn contents(file: Option<&Path>, as_json: bool) -> Result<u8, Failure> {
    let own = if file.is_none() { image::own() } else { None };
    let image = match own {
        Some(own) => own,
        None => context::open_image_of_any_host(&context::image_path(file)?)?,
    };
    let programs = contents::programs(&image)?;
    if as_json {
        json::print(&programs)?;
    } else {
        let translations = contents::translations(&programs);
        let gap = if translations.is_empty() { "" } else { "\n" };
        output::print(format_args!("{}{gap}{translations}", contents::table(&programs)))?;
    }
    Ok(0)
}
