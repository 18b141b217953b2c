//! `generate`: the entries as text, for systemd's binfmt.d or for the kernel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dispatch_table::{ArchTable, Architecture};

use crate::failure::Failure;
use crate::install::snippet::{binfmt_d, text_line};
use crate::platform::host;
use crate::registry::own_programs::HostPrograms;
use crate::registry::selection::{self, Credentials, Interpreter};
use crate::{architectures, context, defaults, output};

/// The arguments of `generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Architectures, by any of their names; default: all that are foreign to the host
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::BinfmtD)]
    format: Format,
    /// Architecture of the host that the entries are for
    #[arg(long, value_name = "ARCH", default_value = std::env::consts::ARCH)]
    host: String,
    /// Path of the interpreter in the entries; default: the path given with --image, else
    /// /usr/libexec/binfmt-dispatch/binfmt-dispatch
    #[arg(long, value_name = "FILE")]
    interpreter: Option<PathBuf>,
    /// Print the entries for this image; those of embedded emulators get flag C
    #[arg(long, value_name = "FILE", conflicts_with = "direct")]
    pub image: Option<PathBuf>,
    /// Register the emulators themselves instead of an image
    #[arg(long, conflicts_with = "interpreter")]
    direct: bool,
    #[command(flatten)]
    credentials: Credentials,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A file for /etc/binfmt.d or /usr/lib/binfmt.d (binfmt.d(5)). Call it
    /// zz-binfmt-dispatch.conf: of several entries for the same programs, the last one wins
    BinfmtD,
    /// Lines for `/proc/sys/fs/binfmt_misc/register`, one write each
    Register,
}

/// Prints the entries.
///
/// # Errors
/// [`Failure::UnknownArchitectures`] (after the entries of the known ones), [`Failure::BadLine`],
/// [`Failure::Native`], [`Failure::CapturesPrograms`] and [`Failure::Output`].
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let known = host::BUILTIN.find(&args.host);
    let host = known.map_or_else(|| architectures::find(table, &args.host), Ok)?;
    let (named, unknown) = architectures::known(table, &args.architectures)?;
    let rows: Vec<&Architecture> = match named {
        Some(rows) => rows,
        None => table.architectures().iter().filter(|row| !row.native_on.contains(&host.name)).collect(),
    };
    // Another architecture that may be native can be asked for by name, for a host that cannot run
    // it. The host's own architecture never can.
    if let Some(row) = rows.iter().find(|row| row.name == host.name) {
        return Err(Failure::Native { architecture: row.name.clone() });
    }
    let own = HostPrograms::of(host);
    let (image, embedded) = match &args.image {
        Some(path) => (context::image_path(Some(path))?, context::open_image(path)?.embedded()?),
        None => (defaults::IMAGE.into(), BTreeSet::new()),
    };
    let path = args.interpreter.as_ref().unwrap_or(&image);
    let interpreter = Interpreter { path, embedded: &embedded, credentials: args.credentials };
    let entries = rows.into_iter().map(|row| {
        let path = if args.direct { emulator(row)? } else { path };
        let lines = selection::lines(row, path, interpreter.flags(row))?;
        lines.iter().try_for_each(|line| own.reject_capture(line))?;
        Ok((row, lines))
    });
    let entries = entries.collect::<Result<Vec<_>, Failure>>()?;
    for (row, lines) in &entries {
        log::info!("{}: entries for hosts of {}: {}", row.name, host.name, lines.len());
    }
    output::print(match args.format {
        Format::BinfmtD => binfmt_d(&host.name, &entries),
        Format::Register => entries.iter().flat_map(|(_, lines)| lines).map(text_line).collect(),
    })?;
    unknown.map_or(Ok(0), Err)
}

/// The emulator for an entry that names it: the first installed one, or else the table's first.
fn emulator(row: &Architecture) -> Result<&Path, Failure> {
    let path = host::emulator(row).or_else(|| row.emulator_paths().next().map(Path::new));
    path.ok_or_else(|| Failure::NoEmulator { architecture: row.name.clone(), from: Vec::new(), tried: Vec::new() })
}
