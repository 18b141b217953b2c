//! `helper`: what this program starts itself for; nothing that people call.

use crate::failure::Failure;
use crate::output;
use crate::platform::namespace;
use crate::tune::request;

/// The task.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Map the ids of the process PID, when told to on standard input
    WriteMaps {
        /// The process.
        #[arg(value_name = "PID")]
        pid: u32,
    },
    /// Measure what is asked for on standard input, and print what was measured
    Measure,
}

/// Does it.
///
/// # Errors
/// It cannot be done; whoever started this process goes by the exit code.
pub fn run(task: &Task) -> Result<u8, Failure> {
    match task {
        Task::WriteMaps { pid } => namespace::write_maps(*pid)?,
        Task::Measure => output::print(request::answer()?)?,
    }
    Ok(0)
}
