//! `helper`: tasks for which this program starts itself. It is hidden from `--help`.

use crate::failure::Failure;
use crate::output;
use crate::platform::namespace;
use crate::tune::request;

/// The task.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Map the ids of the process PID, once a line comes in on standard input
    WriteMaps {
        /// The process.
        #[arg(value_name = "PID")]
        pid: u32,
    },
    /// Measure as requested on standard input, and print the results
    Measure,
}

/// Carries out the task.
///
/// # Errors
/// The task failed; the parent process learns it from the exit code.
pub fn run(task: &Task) -> Result<u8, Failure> {
    match task {
        Task::WriteMaps { pid } => namespace::write_maps(*pid)?,
        Task::Measure => output::print(request::answer()?)?,
    }
    Ok(0)
}
