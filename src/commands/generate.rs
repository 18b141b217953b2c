//! `generate`: the entries as text, for the kernel or for what registers them at boot.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Architecture};

use crate::failure::{Doing, Failure, show};
use crate::formats::Format;
use crate::platform::files::Replacement;
use crate::platform::host;
use crate::platform::kernel::Version;
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
    /// Version of the host's kernel, as in 6.12: since 7.3 it has flag T, with which a process
    /// counts as the program, and not as the interpreter. Older kernels refuse lines with it;
    /// default: an older one
    #[arg(long, value_name = "VERSION", value_parser = version, conflicts_with = "direct")]
    kernel: Option<Version>,
    /// Path of the interpreter in the entries; default: the path given with --image, else
    /// /usr/libexec/binfmt-dispatch/binfmt-dispatch
    #[arg(long, value_name = "FILE")]
    interpreter: Option<PathBuf>,
    /// Print the entries for this image; those of embedded emulators get flag C
    #[arg(long, value_name = "FILE", conflicts_with = "direct")]
    pub image: Option<PathBuf>,
    /// Register the installed emulators themselves instead of an image
    #[arg(long, conflicts_with = "interpreter")]
    direct: bool,
    /// With --direct: also emulators that are not installed here
    #[arg(long, requires = "direct")]
    all: bool,
    /// Write one file for each architecture into DIR, or one for each entry if the format needs
    /// that, and print their paths
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    credentials: Credentials,
}

impl Args {
    /// Whether files are written.
    pub fn writes(&self) -> bool {
        self.output.is_some()
    }
}

/// Prints the entries.
///
/// # Errors
/// [`Failure::UnknownArchitectures`] (after the entries of the known ones, unless files are written),
/// [`Failure::BadLine`], [`Failure::Native`], [`Failure::CapturesPrograms`], [`Failure::Disabled`],
/// [`Failure::NoEmulator`], [`Failure::NoneInstalled`], [`Failure::NotInFormat`], [`Failure::Io`]
/// and [`Failure::Output`].
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let known = host::BUILTIN.find(&args.host);
    let host = known.map_or_else(|| architectures::find(table, &args.host), Ok)?;
    let (named, unknown) = architectures::known(table, &args.architectures)?;
    let unknown = match unknown {
        Some(failure) if args.output.is_some() => return Err(failure),
        unknown => unknown,
    };
    let rows: Vec<&Architecture> = match named {
        Some(rows) => rows,
        None => {
            let foreign = table.architectures().iter().filter(|row| !row.native_on.contains(&host.name));
            // A line with F whose emulator is missing would make systemd-binfmt fail.
            let has_emulator = |row: &Architecture| args.all || host::emulator(row).is_some();
            foreign.filter(|row| !args.direct || row.disabled.is_none() && has_emulator(row)).collect()
        }
    };
    if rows.is_empty() && args.direct {
        return Err(Failure::NoneInstalled);
    }
    // Another architecture that may be native can be asked for by name, for a host that cannot run
    // it. The host's own architecture never can.
    if let Some(row) = rows.iter().find(|row| row.name == host.name) {
        let architecture = row.name.clone();
        return Err(match host.name == host::row().name {
            true => Failure::Native { architecture },
            false => Failure::NativeThere { architecture },
        });
    }
    let own = HostPrograms::of(host);
    let (image, embedded) = match &args.image {
        Some(path) => {
            let image = context::open_image_of_any_host(path)?;
            image.check_host(host::of(host))?;
            (context::image_path(Some(path))?, image.embedded()?)
        }
        None => (defaults::IMAGE.into(), BTreeSet::new()),
    };
    let path = args.interpreter.as_ref().unwrap_or(&image);
    let transparent = args.kernel >= Some(Version::TRANSPARENT);
    let interpreter = Interpreter { path, embedded: &embedded, credentials: args.credentials, transparent };
    let entries = rows.into_iter().map(|row| {
        let path = if args.direct { emulator(row, args.all)? } else { path };
        let lines = selection::lines(row, path, interpreter.flags(row))?;
        lines.iter().try_for_each(|line| own.reject_capture(line))?;
        Ok((row, lines))
    });
    let entries = entries.collect::<Result<Vec<_>, Failure>>()?;
    for (row, lines) in &entries {
        log::info!("{}: entries for hosts of {}: {}", row.name, host.name, lines.len());
    }
    match &args.output {
        None => output::write(&args.format.text(&host.name, &entries)?)?,
        Some(directory) => {
            let files = args.format.files(&host.name, &entries)?;
            let write = |(name, text): &(String, Vec<u8>)| write(&directory.join(name), text);
            files.iter().try_for_each(write)?;
        }
    }
    unknown.map_or(Ok(0), Err)
}

/// Reads the version of a kernel.
fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| "write two numbers, as in 6.12".to_owned())
}

/// Writes a file that every user can read, and prints its path.
fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::io(Doing::Write, path, error);
    let file = Replacement::begin(path)?;
    file.file().write_all(text).map_err(failed)?;
    file.file().set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
    file.finish()?;
    output::print(format_args!("{}\n", show(path.as_os_str())))
}

/// The emulator for an entry that names it: the first installed one, or else with `all` the table's
/// first.
fn emulator(row: &Architecture, all: bool) -> Result<&Path, Failure> {
    // The emulator itself knows nothing of that, and would run the programs.
    if let Some(by) = &row.disabled {
        return Err(Failure::Disabled { architecture: row.name.clone(), by: by.clone() });
    }
    let path = host::emulator(row).or_else(|| row.emulator_paths().next().map(Path::new).filter(|_| all));
    let tried = || row.emulator_paths().map(str::to_owned).collect();
    path.ok_or_else(|| Failure::NoEmulator { architecture: row.name.clone(), from: Vec::new(), tried: tried() })
}
