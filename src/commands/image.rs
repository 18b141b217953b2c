//! `image`: writes the image, with the emulators embedded.

use dispatch_table::ArchTable;

use crate::failure::Failure;
use crate::image::request::{self, Contents, Elsewhere, Output};
use crate::translate::request::Training;

/// Write an image, the file that is registered with the kernel
///
/// An image contains the interpreter, the table, this command and the emulators, so foreign
/// programs also run where no emulator is installed. An existing file is replaced only if
/// everything succeeds.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    pub contents: Contents,
}

/// Writes the image.
///
/// # Errors
/// An emulator is missing or cannot be used, or the file cannot be written.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    request::write(&args.contents, &args.elsewhere, table, &args.output, |emulators| {
        args.training.carry_out(table, emulators)
    })?;
    Ok(0)
}
