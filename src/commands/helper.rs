//! `helper`: tasks for which this program starts itself. It is hidden from `--help`.

use std::ffi::OsString;
use std::path::PathBuf;

use dispatch_table::ArchTable;

use crate::documents::{self, completion};
use crate::failure::Failure;
use crate::install::documents::write;
use crate::output;
use crate::platform::maps;
use crate::translate::train;
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
    /// Run programs as requested on standard input, for an emulator that records what it translates
    Train,
    /// Write the man pages and the completions into directories below DIR, as they are below share
    Documents {
        /// The directory; it is made if it does not exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Write the book's pages about the commands into DIR
    Reference {
        /// The directory; it is made if it does not exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print the words that may replace the word INDEX of a command line, for completions
    Complete {
        /// The word, counted from 0.
        #[arg(value_name = "INDEX")]
        index: u16,
        /// The command line.
        #[arg(value_name = "WORD", last = true)]
        words: Vec<OsString>,
    },
}

/// Carries out the task.
///
/// # Errors
/// The task failed; the parent process learns it from the exit code.
pub fn run(task: Task, table: &ArchTable, command: clap::Command) -> Result<u8, Failure> {
    match task {
        Task::WriteMaps { pid } => output::print(maps::write(pid))?,
        Task::Measure => output::print(request::answer()?)?,
        Task::Train => output::print(train::answer()?)?,
        Task::Documents { directory } => write(&directory, &documents::all(command))?,
        Task::Reference { directory } => write(&directory, &documents::reference(command))?,
        Task::Complete { index, words } => {
            let found = completion::candidates(command, table, words, index.into());
            output::print(found.map_err(|error| Failure::Usage(error.to_string()))?)?;
        }
    }
    Ok(0)
}
