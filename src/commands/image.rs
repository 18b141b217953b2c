//! `image`: writes the registered file.

use std::path::PathBuf;

use dispatch_table::ArchTable;

use crate::failure::Failure;
use crate::image;

/// The arguments of `image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write it; what is there stays untouched unless all goes well
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the image.
///
/// # Errors
/// [`Failure::Write`].
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    image::save(&image::build(table), &args.output)?;
    log::info!("wrote {}", args.output.display());
    Ok(0)
}
