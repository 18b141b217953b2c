//! `run`: runs a foreign program without any registration.
//!
//! The plan is the interpreter's; the emulator is executed instead of mapped, since nothing that
//! the kernel handed over could be lost. A program of the host, such as the interpreter of a
//! script, is simply executed.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use dispatch_core::bytes::Strings;
use dispatch_core::handoff::Invocation;
use dispatch_core::message::Text;
use dispatch_core::pipeline::{
    Emulator, GuestFile, Head, PART, Process, START, choose, find_emulator, find_sysroot, identify, plan,
};
use dispatch_core::plan::{Argument, Cpu, Plan};
use dispatch_core::refusal::EXIT_CANNOT_RUN;
use dispatch_core::table::Row;
use dispatch_core::{Refusal, emulator_file};
use dispatch_table::ArchTable;
use nix::fcntl::AtFlags;
use nix::unistd::{execve, execveat};

use crate::failure::{Doing, Failure, show, text};
use crate::image::emulators::outside;
use crate::image::{Effective, emulators};
use crate::platform::{host, memfd};
use crate::program::disk::Disk;
use crate::program::environment::environment;
use crate::program::invoked::{Invoked, Obstacle, c_string, quote};

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    changes: Changes,
    /// The program and its arguments; a name without a slash is searched for in PATH, and only
    /// there
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Changes of the plan. They win over the table and over the caller's variables.
#[derive(Debug, clap::Args)]
struct Changes {
    /// Look for the program's dynamic linker and libraries in DIR first, and in / then
    #[arg(short = 'L', value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Emulate this CPU model; `help` as the model lists them all
    #[arg(long, value_name = "MODEL")]
    cpu: Option<OsString>,
    /// Pass this option to the emulator; may be repeated, also for an option's value
    #[arg(long = "emulator-option", value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// Becomes the program's emulator.
///
/// # Errors
/// The program cannot be run.
pub fn run(args: &Args, image: &Effective, table: &ArchTable) -> Result<u8, Failure> {
    args.changes.check()?;
    let (name, arguments) = args.command.split_first().map_or((OsStr::new(""), &[][..]), |(n, a)| (n.as_os_str(), a));
    let program = Invoked::find(name, arguments, |_, _| false)?;
    let refused = |refusal: Refusal<'_>| Failure::refused(&program.path, &refusal);
    let (mut disk, mut start) = (Disk::default(), [0; START]);
    let file = program.file.try_clone().map_err(|error| Failure::io(Doing::Read, &program.path, error))?;
    let file = disk.adopt(file);
    let guest = identify(&mut disk, file, &mut start).map_err(refused)?;
    let view = image.view()?;
    let process = Process { secure: false, host: host::host(), page: host::page() };
    let row = choose(&mut disk, &view.table, &guest, process, &mut [0; PART]).map_err(refused)?;
    if let Some(Obstacle { problem, remedy }) = program.obstacle() {
        let message = format!("{problem}: {remedy}");
        return Err(Failure::Refused { path: name.into(), message, exit_code: EXIT_CANNOT_RUN });
    }
    if is_own(&row) {
        if args.changes.any() {
            log::info!("{}: needs no emulator, so the options for it have no effect", show(program.path.as_os_str()));
        }
        return Err(execute(&program));
    }
    match emulators::informed(&view, table, &row) {
        // The same row, in the table that knows the emulator's version.
        Some(informed) => {
            let row = choose(&mut disk, &informed.view()?.table, &guest, process, &mut [0; PART]).map_err(refused)?;
            match emulate(&program, &args.changes, &guest, row, &mut disk, &informed)? {}
        }
        None => match emulate(&program, &args.changes, &guest, row, &mut disk, image)? {},
    }
}

impl Changes {
    /// # Errors
    /// A value that no emulator could use.
    fn check(&self) -> Result<(), Failure> {
        if let Some(directory) = &self.sysroot {
            let problem = match fs::metadata(directory) {
                Ok(metadata) if metadata.is_dir() => None,
                Ok(_) => Some("not a directory".to_owned()),
                Err(error) => Some(text(&error)),
            };
            if let Some(problem) = problem {
                let directory = show(directory.as_os_str());
                return Err(Failure::Usage(format!("-L {directory}: cannot be used: name a directory: {problem}")));
            }
        }
        match &self.cpu {
            Some(model) if model.is_empty() => {
                Err(Failure::Usage("--cpu: the model is empty: name one, or use `help` for a list".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn any(&self) -> bool {
        self.sysroot.is_some() || self.cpu.is_some() || !self.options.is_empty()
    }

    /// The emulator's options: the row's, and then these. The model is among them, because one
    /// among the row's options would win over [`Plan::cpu`].
    fn options(&self, rows: Strings<'_>) -> Vec<u8> {
        let model = self.cpu.iter().flat_map(|model| [c"-cpu".to_owned(), c_string(model)]);
        let added = model.chain(self.options.iter().map(|option| c_string(option)));
        rows.iter().map(CStr::to_owned).chain(added).flat_map(CString::into_bytes_with_nul).collect()
    }

    /// The plan with these changes. `options` and `sysroot` are this value's, as C strings.
    fn apply<'a, A>(&self, plan: Plan<'a, A>, options: &'a [u8], sysroot: Option<&'a CStr>) -> Plan<'a, A> {
        Plan {
            cpu: if self.cpu.is_some() { Cpu::Emulator } else { plan.cpu },
            options: Strings::new(options).unwrap_or(plan.options),
            sysroot: sysroot.or(plan.sysroot),
            ..plan
        }
    }
}

/// Whether a row's programs are for this machine.
fn is_own(row: &Row<'_>) -> bool {
    row.name().to_bytes() == host::row().name.as_bytes()
}

/// Executes a program for this machine.
fn execute(program: &Invoked) -> Failure {
    let path = c_string(program.path.as_os_str());
    let argv: Vec<CString> =
        [&program.argv0].into_iter().chain(&program.args).map(|argument| c_string(argument)).collect();
    let envp: Vec<CString> = environment().iter().map(|variable| c_string(OsStr::from_bytes(variable))).collect();
    log::info!("{}: a program of this machine, executed", show(program.path.as_os_str()));
    let Err(errno) = execve(&path, &argv, &envp);
    Failure::CommandRefused { command: program.path.clone().into(), error: errno.into() }
}

/// Executes the emulator of `guest`, which is the file that `program` names, with `changes`. `row`
/// is its row in `image`.
fn emulate<'i>(
    program: &Invoked,
    changes: &Changes,
    guest: &GuestFile<'_, usize>,
    mut row: Row<'i>,
    disk: &mut Disk,
    image: &'i Effective,
) -> Result<Infallible, Failure> {
    let (path, argv0) = (c_string(program.path.as_os_str()), c_string(&program.argv0));
    let invocation = Invocation { path: path.as_bytes(), argv0: argv0.as_bytes() };
    let process = Process { secure: false, host: host::host(), page: host::page() };
    let refused = |refusal: Refusal<'_>| Failure::refused(&program.path, &refusal);
    let view = image.view()?;
    let mut head: Head = [0; emulator_file::HEAD];
    let emulator = find_emulator(disk, &view, &mut row, process, &mut head).map_err(refused)?;
    let mut part = [0; PART];
    let sysroot = match find_sysroot(disk, guest, &row, process, &mut part) {
        // The options may say where the dynamic linker is.
        Err(_) if changes.any() => None,
        found => found.map_err(refused)?,
    };
    let options = changes.options(row.options());
    let given = changes.sysroot.as_ref().map(|directory| c_string(directory.as_os_str()));
    let plan = plan(disk, guest, &row, &emulator, process, invocation, sysroot).by_exec();
    let plan = changes.apply(plan, &options, given.as_deref());

    let owned = |argument: Argument<'_, &[u8]>| match argument {
        Argument::Added(string) => string.to_owned(),
        Argument::Callers(bytes) => c_string(OsStr::from_bytes(bytes)),
    };
    let mut argv = Vec::new();
    plan.argv(&mut |argument| argv.push(owned(argument)));
    argv.extend(program.args.iter().map(|argument| c_string(argument)));
    let variables: Vec<Vec<u8>> = environment();
    let variables: Vec<&[u8]> = variables.iter().map(Vec::as_slice).collect();
    let mut envp = Vec::new();
    plan.environment(&variables, &|variable| variable, &mut |argument| envp.push(owned(argument)));
    let words: Vec<String> = argv.iter().map(|argument| quote(argument.to_bytes())).collect();
    log::info!("{}: executed as {}", Text(plan.emulator.to_bytes()), words.join(" "));
    let Err(errno) = match emulator {
        Emulator::Embedded(embedded) => {
            let program = outside(&embedded, image)?;
            match memfd::path(&program) {
                // Executing the descriptor fails with ENOENT if the security module TOMOYO is on
                // and there is no /dev/fd, as in Debian's 5.10: TOMOYO looks up /dev/fd/N.
                Some(path) => execve(&c_string(path.as_os_str()), &argv, &envp),
                None => execveat(&program, c"", &argv, &envp, AtFlags::AT_EMPTY_PATH),
            }
        }
        Emulator::Mapped { .. } | Emulator::Executed { .. } => execve(plan.emulator, &argv, &envp),
    };
    let command = OsStr::from_bytes(plan.emulator.to_bytes()).to_owned();
    Err(Failure::CommandRefused { command, error: errno.into() })
}
