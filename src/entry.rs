//! Where the C library enters: the one place with `unsafe` in this package.

use std::ffi::{c_char, c_int};

use clap::Parser;

use crate::cli::Cli;
use crate::columns;
use crate::failure::Failure;

/// The C library's main; the standard library finds the arguments by itself.
// SAFETY: no other function of this program is called main. (Tests have one of their own.)
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are output as any other.
        Err(asked) if !asked.use_stderr() => return finish(columns::print(asked.render()).map(|()| 0)),
        Err(error) => error.exit(),
    };
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    // Nothing of it comes from the environment, so that output is the same everywhere.
    env_logger::Builder::new().filter_level(level).format_timestamp(None).init();
    finish(cli.run())
}

/// The exit code, once the reason for it is told.
fn finish(result: Result<u8, Failure>) -> c_int {
    c_int::from(result.unwrap_or_else(|failure| {
        failure.report();
        failure.exit_code()
    }))
}
