//! binfmt-dispatch, the command: explains, generates, builds images, registers, verifies.
//!
//! Whatever it says about a file comes from the same plan that the interpreter carries out.

// Programs that this process executes (`run`, `unshare`) must get the caller's signals and
// descriptors unchanged. The standard library's own start-up would ignore SIGPIPE and open closed
// descriptors.
#![cfg_attr(not(test), no_main)]

mod architectures;
mod binfmt_d;
mod cli;
mod commands;
mod context;
mod defaults;
mod documents;
mod failure;
mod formats;
mod image;
mod install;
mod lint;
mod output;
mod platform;
mod program;
mod progress;
mod registry;
mod style;
mod translate;
mod tune;

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use clap::{CommandFactory, Parser};
use dispatch_core::NAME;
use dispatch_core::refusal::EXIT_USAGE;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::platform::signals;

/// The C library's main. It takes the arguments as C's does. The standard library has them only
/// from its own start-up, which this program does not use, or from glibc, which passes them to
/// constructors; musl does not.
///
/// # Safety
/// `argv` has `argc` elements, each a string that ends with NUL and lives as long as the program
/// (C17 5.1.2.2.1).
// SAFETY: no other function of this program is called main. (Tests have one of their own.)
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: by this function's contract.
    let arguments = unsafe { arguments(argc, argv) };
    let (arguments, in_container) = cli::out_of_container(arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        // Help and version go through the same output code as everything else.
        Err(asked) if !asked.use_stderr() => {
            let text = asked.render();
            let text = if *output::OUTPUT { text.ansi().to_string() } else { text.to_string() };
            return finish(output::print(text).map(|()| 0));
        }
        Err(error) => {
            if cli::wants_json_of_explain(&arguments) {
                // No file can be told from the other arguments.
                return finish(
                    output::json::print(&[(); 0])
                        .and_then(|()| error.print().map_err(Failure::Output))
                        .map(|()| EXIT_USAGE),
                );
            }
            match cli::program_as_command(&error, &arguments) {
                Some(failure) => return finish(Err(failure)),
                None => error.exit(),
            }
        }
    };
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    // Only this program's own lines, not those of libraries. The environment changes nothing, so
    // the output is the same everywhere.
    let last = Mutex::new(String::new());
    let line = move |out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        let text = record.args().to_string();
        // A line that repeats the one before it is not shown.
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == text {
            return Ok(());
        }
        *last = text;
        writeln!(out, "{NAME}: {last}")
    };
    env_logger::Builder::new().filter_module(env!("CARGO_CRATE_NAME"), level).format(line).init();
    if in_container {
        registry::mounting::mount_if_missing(Path::new(defaults::REGISTRY));
    }
    finish(run(cli))
}

/// Runs the command, and returns the exit code.
///
/// # Errors
/// The failure, for one line on standard error.
fn run(mut cli: Cli) -> Result<u8, Failure> {
    let command = cli.take_command();
    if command.as_ref().is_some_and(Command::changes) {
        signals::outlive_readers();
    }
    let context = Context::new(command.as_ref().and_then(Command::writes), cli.table.as_deref());
    let context = match (context, &command) {
        (Err(failure), Some(Command::Explain(args))) => {
            commands::explain::failed(args, &failure)?;
            return Err(failure);
        }
        (context, _) => context?,
    };
    let (image, table) = (&context.image, &context.table);
    match command {
        Some(Command::Explain(args)) => commands::explain::run(&args, image, table),
        Some(Command::Run(args)) => commands::run::run(&args, image, table),
        Some(Command::List(args)) => commands::list::run(&args, image, table),
        Some(Command::Generate(args)) if args.image.is_none() => commands::generate::run(&args, table),
        Some(Command::Generate(args)) => commands::generate::run(&args, &context.registered(args.image.as_deref())?),
        Some(Command::Lint(args)) => commands::lint::run(&args, table),
        Some(Command::Image(args)) => commands::image::run(&args, table),
        Some(Command::Install(args)) => commands::install::run(&args, table, Cli::command()),
        Some(Command::Uninstall(args)) => commands::uninstall::run(&args, table),
        Some(Command::Register(args)) => commands::register::run(&args, &context.registered(args.image.as_deref())?),
        Some(Command::Unregister(args)) => {
            commands::unregister::run(&args, &context.registered(args.image.as_deref())?)
        }
        Some(Command::Status(args)) => commands::status::run(&args, &context.registered(args.image.as_deref())?),
        Some(Command::Unshare(args)) => commands::unshare::run(&args, table),
        Some(Command::Tune(args)) => commands::tune::run(&args, table),
        Some(Command::Container(args)) => commands::container::run(&args, table),
        Some(Command::Helper { task }) => commands::helper::run(task, table, Cli::command()),
        None => {
            eprintln!("{}", Cli::command().render_help());
            Ok(EXIT_USAGE)
        }
    }
}

/// The arguments of the C library's main.
///
/// # Safety
/// As for [`main`].
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let string = |index: usize| {
        // SAFETY: the index is below argc, and argv has argc elements.
        let element = unsafe { argv.add(index) };
        // SAFETY: an element of argv.
        let string = unsafe { *element };
        // SAFETY: each element is a string that lives as long as the program.
        let string = unsafe { CStr::from_ptr(string) };
        OsStr::from_bytes(string.to_bytes()).to_owned()
    };
    (0..usize::try_from(argc).unwrap_or(0)).map(string).collect()
}

/// Reports a failure, and returns the exit code.
fn finish(result: Result<u8, Failure>) -> c_int {
    c_int::from(result.unwrap_or_else(|failure| {
        failure.report();
        failure.exit_code()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_those_of_main() {
        // The standard library's arguments are those of the test program, not these.
        let strings = [c"binfmt-dispatch", c"--explain", c"/no/such/program"].map(CStr::as_ptr);
        // SAFETY: as many strings as it says.
        assert_eq!(unsafe { main(3, strings.as_ptr()) }, 1);
        let odd = [c"a", c"b c", c"", c"\xff"].map(CStr::as_ptr);
        let read: Vec<Vec<u8>> = {
            // SAFETY: as many strings as it says.
            unsafe { arguments(4, odd.as_ptr()) }.into_iter().map(OsString::into_encoded_bytes).collect()
        };
        assert_eq!(read, [&b"a"[..], b"b c", b"", b"\xff"]);
        // SAFETY: no string is read.
        assert!(unsafe { arguments(0, std::ptr::null()) }.is_empty());
    }
}
