//! `image`: writes the registered file, with the emulators inside.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};

use dispatch_table::ArchTable;

use crate::failure::{Failure, warn};
use crate::image::source::{self, From};
use crate::image::{self, Content, Replacement};
use crate::selection;

/// Write the file that is registered with the kernel
///
/// It holds the interpreter, the table, this command, and the emulators, so that programs run where no emulator is
/// installed. A file that is there stays as it is unless all goes well.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    contents: Contents,
}

/// What goes into an image.
#[derive(Clone, Debug, clap::Args)]
pub struct Contents {
    /// Architectures whose emulators are to be inside, by any of their names; `all`, as without any, means those that are
    /// foreign here and whose emulator is found
    #[arg(value_name = "ARCH")]
    architectures: Vec<String>,
    /// A directory with emulators, or ARCH=FILE; instead of the places in the table. May be repeated: of several for one
    /// architecture, the first runs
    #[arg(long, value_name = "DIR|ARCH=FILE")]
    from: Vec<OsString>,
    /// Put no emulators inside; they are opened by their paths when programs start
    #[arg(long, conflicts_with_all = ["architectures", "from"])]
    no_emulators: bool,
    /// Let emulators relocate themselves each time
    #[arg(long)]
    no_prelink: bool,
    /// Draw the addresses of prelinked emulators from this number, so that the same input gives the same file
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Writes the image.
///
/// # Errors
/// What goes in is not found or cannot be used, or nothing can be written there.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    write(&args.contents, table, &args.output)?;
    Ok(0)
}

/// Writes an image to `output`, at once or not at all.
///
/// # Errors
/// As [`run`].
pub fn write(contents: &Contents, table: &ArchTable, output: &Path) -> Result<(), Failure> {
    let emulators = if contents.no_emulators { Vec::new() } else { contents.sources(table)? };
    let content = Content {
        table,
        command: image::this_command()?,
        emulators: &emulators,
        prelink: !contents.no_prelink,
        seed: contents.seed.map_or_else(random, Ok)?,
    };
    let replacement = Replacement::begin(output)?;
    let (total, visible) = (emulators.len() + 1, stderr().is_terminal());
    let mut progress = |index: usize, path: &Path| {
        if visible {
            // \r and "erase to the end of the line".
            eprint!("\r\x1b[K[{}/{total}] {}", index + 1, path.display());
        }
    };
    let written = image::write(&content, replacement.file(), output, &mut progress);
    if visible {
        eprint!("\r\x1b[K");
        let _ = stderr().flush();
    }
    written?;
    replacement.finish()
}

impl Contents {
    /// The emulators that are to be inside.
    fn sources<'t>(&self, table: &'t ArchTable) -> Result<Vec<source::Source<'t>>, Failure> {
        let from = self.from.iter().map(|place| From::parse(place)).collect::<Result<Vec<_>, _>>();
        let from = from.map_err(Failure::Usage)?;
        let named = selection::named(table, &self.architectures)?;
        let sources = source::find(table, &named.clone().unwrap_or_else(|| source::foreign(table)), &from)?;
        let found = |name: &str| sources.iter().any(|source| source.architecture.name == name);
        if let Some(missing) = named.iter().flatten().find(|architecture| !found(&architecture.name)) {
            let tried = if from.is_empty() {
                missing.emulator_paths().map(str::to_owned).collect()
            } else {
                missing.emulator_names().map(str::to_owned).collect()
            };
            return Err(Failure::NoEmulator { architecture: missing.name.clone(), tried });
        }
        if sources.is_empty() {
            warn("no emulator was found, so there is none inside: install qemu-user-static, or give --from");
        }
        Ok(sources)
    }
}

/// A number that nobody can guess.
fn random() -> Result<u64, Failure> {
    let path = Path::new("/dev/urandom");
    let failed = |error| Failure::io("read", path, error);
    let mut bytes = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open(path).map_err(failed)?, &mut bytes).map_err(failed)?;
    Ok(u64::from_ne_bytes(bytes))
}
