//! The command line. Its definitions give parser, help, man page and completions.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use dispatch_core::refusal::EXIT_USAGE;
use dispatch_table::ArchTable;

use crate::commands::{self, explain, generate, list, register, run, status, unregister, unshare};
use crate::failure::Failure;
use crate::image::{self, Effective, OpenImage};

/// Runs programs of other architectures, and explains how.
#[derive(Debug, Parser)]
#[command(name = dispatch_core::NAME, version, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 fine; 1 the answer is no, or it could not be done; 2 wrong usage; 125 binfmt-dispatch \
is broken; 126 this program cannot be run; 127 there is no emulator for it.")]
pub struct Cli {
    /// Say more on standard error; twice for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// The same as the command explain
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// With --explain: print JSON
    #[arg(long, requires = "explain")]
    json: bool,
    /// Rows that replace those of the built-in table with the same name, or are added (docs/arch-table.md)
    #[arg(long, value_name = "FILE", global = true)]
    table: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a program is, which emulator runs it and how, and what is missing
    Explain(explain::Args),
    /// Run a program of another architecture without any registration
    Run(run::Args),
    /// List the architectures, and which emulators are installed
    List(list::Args),
    /// Print the entries for systemd's binfmt.d, or as lines for the kernel
    Generate(generate::Args),
    Image(commands::image::Args),
    Register(register::Args),
    Unregister(unregister::Args),
    Status(status::Args),
    Unshare(unshare::Args),
}

impl Cli {
    /// Does what was asked for, and returns the exit code.
    ///
    /// # Errors
    /// What went wrong, for one line on standard error.
    pub fn run(self) -> Result<u8, Failure> {
        // An image brings its own table, and emulators; a table of the command line's is for the image to come.
        let own = image::own();
        let table = own.as_ref().map_or_else(|| Ok(ArchTable::builtin()), OpenImage::table)?;
        let (table, own) = match &self.table {
            Some(path) => (merged(table, path)?, None),
            None => (table, own),
        };
        let image = own.map_or_else(|| Effective::Table(table.compile()), Effective::Image);
        let explain = self.explain.map(|file| Command::Explain(explain::Args { file, json: self.json }));
        if explain.is_some() && self.command.is_some() {
            let message = "--explain does not go with a command";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        match explain.or(self.command) {
            Some(Command::Explain(args)) => explain::run(&args, &image, &table),
            Some(Command::Run(args)) => run::run(&args, &image, &table),
            Some(Command::List(args)) => list::run(&args, &table),
            Some(Command::Generate(args)) => generate::run(&args, &table),
            Some(Command::Image(args)) => commands::image::run(&args, &table),
            Some(Command::Register(args)) => register::run(&args, &table),
            Some(Command::Unregister(args)) => unregister::run(&args, &table),
            Some(Command::Status(args)) => status::run(&args, &table),
            Some(Command::Unshare(args)) => unshare::run(&args, &table),
            None => {
                eprintln!("{}", Self::command().render_help());
                Ok(EXIT_USAGE)
            }
        }
    }
}

/// `table` with the rows in the file at `path`.
fn merged(table: ArchTable, path: &Path) -> Result<ArchTable, Failure> {
    let json =
        std::fs::read_to_string(path).map_err(|error| Failure::UnreadableTable { path: path.to_owned(), error })?;
    table.merge(&json).map_err(|error| Failure::BadTable { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
