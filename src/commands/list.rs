//! `list`: the table, and which emulators this host has; or what an image carries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dispatch_core::say::Digits;
use dispatch_table::ArchTable;
use serde::Serialize;

use crate::failure::Failure;
use crate::image::{self, Effective, OpenImage};
use crate::output::json;
use crate::output::{self, Columns};
use crate::platform::host;
use crate::registry::{registration, selection};

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these architectures, by QEMU's name or an alias
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show what the image FILE carries instead; without FILE, the image that this command was started from
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "architectures")]
    image: Option<Option<PathBuf>>,
}

/// A program of an image, or an emulator by its path that was asked for its version, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    name: String,
    /// What it was read from, or where it is.
    path: String,
    inside: bool,
    version: String,
    size: u64,
    /// Address for which it is prelinked.
    base: Option<u64>,
    /// SHA-256, of what is inside.
    digest: Option<String>,
    /// The architectures whose programs it runs.
    runs: Vec<String>,
    /// The CPU models that it is given for them.
    cpus: Vec<String>,
}

/// Digits of a digest that tell files apart well enough for a person.
const DIGEST: usize = 12;

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
    /// Whether an emulator is inside the image that this command was started from.
    inside: bool,
    may_be_native: bool,
    notes: &'a str,
}

/// Prints the list.
///
/// # Errors
/// [`Failure::UnknownArchitecture`] and [`Failure::Output`].
pub fn run(args: &Args, image: &Effective, table: &ArchTable) -> Result<u8, Failure> {
    if let Some(file) = &args.image {
        return carried(file.as_deref(), args.json);
    }
    let inside = match image {
        Effective::Image(image) => image.inside()?,
        Effective::Table(_) => BTreeSet::new(),
    };
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
            emulator: host::emulator(row).and_then(Path::to_str),
            inside: inside.contains(&row.name),
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
            _ if row.inside => "inside the image",
            (Some(path), _) => path,
            (None, true) => "none (may be native here)",
            (None, false) => "none",
        };
        let kind = format!("{} {}", row.class, row.data);
        text.push([row.name.to_owned(), kind, emulator.to_owned(), row.aliases.join(" ")]);
    }
    output::print(text)?;
    Ok(0)
}

/// Prints what an image carries.
fn carried(file: Option<&Path>, as_json: bool) -> Result<u8, Failure> {
    let own = if file.is_none() { image::own() } else { None };
    let image = match own {
        Some(own) => own,
        None => registration::open_image(&registration::image_path(file)?)?,
    };
    let programs = programs(&image)?;
    if as_json {
        json::print(&programs)?
    } else {
        output::print(self::table(&programs))?
    }
    Ok(0)
}

/// What `image` carries, and which emulators by their paths it knows.
///
/// # Errors
/// [`Failure::DamagedImage`].
pub fn programs(image: &OpenImage) -> Result<Vec<Program>, Failure> {
    let program = |inside: bool| {
        move |carried: image::Carried| Program {
            name: carried.name,
            path: carried.path,
            inside,
            version: carried.version,
            size: carried.size,
            base: carried.base,
            digest: inside.then(|| Digits(&carried.digest).to_string()),
            runs: carried.runs,
            cpus: carried.cpus,
        }
    };
    let (carried, asked) = (image.carried()?, image.asked()?);
    Ok(carried.into_iter().map(program(true)).chain(asked.into_iter().map(program(false))).collect())
}

/// The same for people.
pub fn table(programs: &[Program]) -> Columns {
    let mut columns = Columns::new(&["PROGRAM", "VERSION", "SIZE", "PRELINKED FOR", "DIGEST", "CPU", "RUNS"]);
    for (number, program) in programs.iter().enumerate() {
        let runs = match number {
            0 => "when started by hand".to_owned(),
            _ if program.inside => program.runs.join(" "),
            _ => format!("{}, by its path", program.runs.join(" ")),
        };
        let base = program.base.map(|base| format!("{base:#x}")).unwrap_or_default();
        let digest = program.digest.iter().flat_map(|digest| digest.chars()).take(DIGEST).collect();
        columns.push([
            program.name.clone(),
            program.version.clone(),
            program.size.to_string(),
            base,
            digest,
            program.cpus.join(" "),
            runs,
        ]);
    }
    columns
}
