//! The command line. Its definitions give parser, help, man page and completions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use dispatch_core::NAME;

use crate::commands::{
    self, container, explain, generate, helper, install, lint, list, register, run, status, tune, uninstall,
    unregister, unshare,
};
use crate::defaults;
use crate::failure::{Failure, show};
use crate::image::site::Site;
use crate::program::invoked::quote;

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// Runs programs of other CPU architectures, and explains how.
#[derive(Debug, Parser)]
#[command(name = dispatch_core::NAME, version, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 success; 1 check failed, or operation could not be completed; 2 wrong usage; \
125 binfmt-dispatch itself is broken; 126 this program cannot be run; 127 there is no emulator \
for this program.")]
pub struct Cli {
    /// Report each step on standard error; twice for more detail
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = GLOBAL)]
    pub verbose: u8,
    /// Short for `explain FILE`
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// Print JSON (with --explain)
    #[arg(long, requires = "explain")]
    json: bool,
    /// Change rows of the architecture table, or add some, as FILE says (docs/arch-table.md)
    #[arg(long, value_name = "FILE", global = true, help_heading = GLOBAL)]
    pub table: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what a program is, which emulator runs it and how, and what is missing
    ///
    /// The program itself is not started, but a tiny program of the same architecture, to see
    /// whether such programs run.
    Explain(explain::Args),
    /// Run a program of another architecture without any registration
    Run(run::Args),
    /// List the architectures, and which emulators are installed
    List(list::Args),
    /// Print entries for systemd, binfmt-support, OpenRC, NixOS, or for the kernel
    Generate(generate::Args),
    Lint(lint::Args),
    Image(commands::image::Args),
    Install(install::Args),
    Uninstall(uninstall::Args),
    Register(register::Args),
    Unregister(unregister::Args),
    Status(status::Args),
    Unshare(unshare::Args),
    Tune(tune::Args),
    Container(container::Args),
    /// Tasks for which this program starts itself
    #[command(hide = true)]
    Helper {
        #[command(subcommand)]
        task: helper::Task,
    },
}

impl Cli {
    /// The requested command; `--explain FILE` counts as one.
    pub fn take_command(&mut self) -> Option<Command> {
        if self.explain.is_some() && self.command.is_some() {
            let message = "--explain does not go with a command";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        let explain = self.explain.take().map(|file| Command::Explain(explain::Args::of(file, self.json)));
        explain.or(self.command.take())
    }
}

impl Command {
    /// For a command that writes an image: which of the site's tables go into it, and where they
    /// are.
    pub fn writes(&self) -> Option<(Site, PathBuf)> {
        match self {
            Command::Image(args) => Some((args.contents.site, defaults::SITE.into())),
            Command::Install(args) => Some((args.contents.site, args.place.on_disk(Path::new(defaults::SITE)))),
            Command::Tune(_) => Some((Site { no_site: false }, defaults::SITE.into())),
            _ => None,
        }
    }

    /// Whether it changes something, instead of only telling something.
    pub fn changes(&self) -> bool {
        match self {
            Command::Generate(args) => args.writes(),
            Command::Tune(args) => args.writes(),
            Command::Container(args) => args.changes(),
            Command::Image(_)
            | Command::Install(_)
            | Command::Uninstall(_)
            | Command::Register(_)
            | Command::Unregister(_) => true,
            Command::Explain(_)
            | Command::List(_)
            | Command::Lint(_)
            | Command::Status(_)
            // Their programs find all signals as the caller left them.
            | Command::Run(_)
            | Command::Unshare(_)
            | Command::Helper { .. } => false,
        }
    }
}

/// The arguments without the word `container` in front of another command, and whether it was there:
/// the entry point of container images adds it.
pub fn out_of_container(mut arguments: Vec<OsString>) -> (Vec<OsString>, bool) {
    let is = |index: usize, test: fn(&[u8]) -> bool| {
        arguments.get(index).is_some_and(|argument| test(argument.as_encoded_bytes()))
    };
    let in_container = is(1, |word| word == b"container") && is(2, |word| !word.starts_with(b"-"));
    if in_container {
        arguments.remove(1);
    }
    (arguments, in_container)
}

/// Whether the arguments, which are wrong, ask for the JSON of `explain`.
pub fn wants_json_of_explain(arguments: &[OsString]) -> bool {
    let has = |wanted: &str| arguments.iter().skip(1).any(|argument| argument == wanted);
    has("--json") && (has("explain") || has("--explain"))
}

/// What to say to someone who gave a program where a command belongs; `None` if `error` is about
/// something else.
pub fn program_as_command(error: &clap::Error, arguments: &[OsString]) -> Option<Failure> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let word = arguments.iter().find(|argument| argument.to_string_lossy() == word.as_str())?;
    // A word that is similar to a command was probably meant to be one, whatever files there are.
    let misspelt = error.get(ContextKind::SuggestedSubcommand).is_some();
    let program = match word.as_encoded_bytes().contains(&b'/') {
        true => Path::new(word).to_owned(),
        false if !misspelt && Path::new(word).is_file() => Path::new(".").join(word),
        false => return None,
    };
    let program = quote(program.as_os_str().as_encoded_bytes());
    Some(Failure::Usage(format!(
        "{}: is no command: use `{NAME} run {program}` to run this program, or `{NAME} explain {program}` to see what \
         runs it",
        show(word)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
