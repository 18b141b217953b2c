//! `image`: writes the image, with the emulators embedded.

use std::path::PathBuf;

use dispatch_table::ArchTable;

use crate::failure::Failure;
use crate::image::request::{self, Contents};

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
    pub contents: Contents,
}

/// Writes the image.
///
/// # Errors
/// What goes in is not found or cannot be used, or nothing can be written there.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    request::write(&args.contents, table, &args.output)?;
    Ok(0)
}
