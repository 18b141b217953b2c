//! Tasks that the scripts in `ci/` call: `ci/setup` calls `fetch`, for instance.
#![forbid(unsafe_code)]

mod cargo;
mod debian;
mod fetch;
mod files;
mod fuzz;
mod machines;
mod oci;
mod program;
mod test;
mod tune;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

/// The result of a task. An error is one line that says what is wrong and what to do.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Tasks that the scripts in ci/ call
#[derive(Debug, Parser)]
#[command(name = "xtask")]
enum Task {
    Fetch(fetch::Args),
    Tune(tune::Args),
    Test(test::Args),
    Fuzz(fuzz::Args),
    Oci(oci::Args),
    #[command(hide = true)]
    Registered(tune::Registered),
}

fn main() -> ExitCode {
    let task = Task::parse();
    let result = task.run();
    // All temporary files are removed by now.
    program::end_by_signal();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Task {
    fn run(&self) -> Result<ExitCode> {
        // `Registered` becomes another program, which must handle signals itself.
        if !matches!(self, Task::Registered(_)) {
            program::heed_signals()?;
        }
        match self {
            Task::Fetch(args) => fetch::run(args)?,
            Task::Tune(args) => tune::run(args)?,
            Task::Test(args) => return test::run(args),
            Task::Fuzz(args) => return fuzz::run(args),
            Task::Oci(args) => oci::run(args)?,
            Task::Registered(args) => args.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The project's directory.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_are_consistent() {
        Task::command().debug_assert();
    }

    #[test]
    fn the_root_is_that_of_the_workspace() {
        assert!(root().join("arch-table.json").is_file());
    }
}
