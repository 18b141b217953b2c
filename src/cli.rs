//! The command line. Its definitions give parser, help, man page and completions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use dispatch_core::refusal::EXIT_USAGE;
use dispatch_table::ArchTable;

use crate::commands::{
    self, explain, generate, install, list, register, run, status, tune, uninstall, unregister, unshare,
};
use crate::defaults;
use crate::failure::{Failure, show};
use crate::image::site;
use crate::image::site::Site;
use crate::image::{self, Effective, OpenImage};
use crate::registry::registration;

/// Runs programs of other architectures, and explains how.
#[derive(Debug, Parser)]
#[command(name = dispatch_core::NAME, version, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 fine; 1 the answer is no, or it could not be done; 2 wrong usage; 125 binfmt-dispatch \
is broken; 126 this program cannot be run; 127 there is no emulator for it.")]
pub struct Cli {
    /// Say on standard error what is looked at and what is done; twice for everything
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
    Install(install::Args),
    Uninstall(uninstall::Args),
    Register(register::Args),
    Unregister(unregister::Args),
    Status(status::Args),
    Unshare(unshare::Args),
    Tune(tune::Args),
}

impl Cli {
    /// Does what was asked for by `arguments`, the program's name first, and returns the exit code.
    ///
    /// # Errors
    /// What went wrong, for one line on standard error.
    pub fn run(self, arguments: &[OsString]) -> Result<u8, Failure> {
        if self.explain.is_some() && self.command.is_some() {
            let message = "--explain does not go with a command";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        // An image brings its own table, and emulators. What goes into the next one begins anew: a row that the site has taken
        // out of its tables must not live on.
        let own = image::own();
        let table = match (self.to_write(), &own) {
            (Some((site, directory)), _) => site.merged(ArchTable::builtin(), &directory)?,
            (None, Some(own)) => own.table()?,
            (None, None) => ArchTable::builtin(),
        };
        log::info!(
            "the table: {}",
            if own.is_some() { "that of the image this command was started from" } else { "built in" }
        );
        let (table, own) = match &self.table {
            Some(path) => (site::merged(table, path)?, None),
            None => (table, own),
        };
        let image = own.map_or_else(|| Effective::Table(table.compile()), Effective::Image);
        // What is registered, or is to be, brings its own table too.
        let given = self.table.is_some();
        let table_of = |path: &Option<PathBuf>| registered(&table, path.as_deref(), given);
        match self.explain.map(|file| Command::Explain(explain::Args { file, json: self.json })).or(self.command) {
            Some(Command::Explain(args)) => explain::run(&args, &image, &table),
            Some(Command::Run(args)) => run::run(&args, &image, &table),
            Some(Command::List(args)) => list::run(&args, &image, &table),
            Some(Command::Generate(args)) if args.image.is_none() => generate::run(&args, &table),
            Some(Command::Generate(args)) => generate::run(&args, &table_of(&args.image)?),
            Some(Command::Image(args)) => commands::image::run(&args, &table),
            Some(Command::Install(args)) => install::run(&args, &table),
            Some(Command::Uninstall(args)) => uninstall::run(&args, &table),
            Some(Command::Register(args)) => register::run(&args, &table_of(&args.image)?),
            Some(Command::Unregister(args)) => unregister::run(&args, &table_of(&args.image)?),
            Some(Command::Status(args)) => status::run(&args, &table_of(&args.image)?),
            Some(Command::Unshare(args)) => unshare::run(&args, &table),
            Some(Command::Tune(args)) => tune::run(&args, &table, arguments),
            None => {
                eprintln!("{}", Self::command().render_help());
                Ok(EXIT_USAGE)
            }
        }
    }

    /// What is to go into an image, and where the site's tables for it are.
    fn to_write(&self) -> Option<(Site, PathBuf)> {
        match self.command.as_ref()? {
            Command::Image(args) => Some((args.contents.site, defaults::SITE.into())),
            Command::Install(args) => Some((args.contents.site, args.place.on_disk(Path::new(defaults::SITE)))),
            Command::Tune(_) => Some((Site { no_site: false }, defaults::SITE.into())),
            _ => None,
        }
    }
}

/// The table of the image at `path`, or at the default one; `table` if there is none, or if it was `given`.
fn registered(table: &ArchTable, path: Option<&Path>, given: bool) -> Result<ArchTable, Failure> {
    let path = registration::image_path(path)?;
    match OpenImage::open(&path) {
        Ok(Some(image)) if !given => {
            log::info!("the table: that of {}", show(path.as_os_str()));
            image.table()
        }
        // What is wrong with it is for the command to find.
        _ => Ok(table.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
