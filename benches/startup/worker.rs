//! A contestant's process: enters a namespace, registers its entries, and runs programs on request.

use std::error::Error;
use std::fs;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dispatch_table::ArchTable;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::contest::{TOOL, emulator, guest, script, shell};
use crate::roots;
use crate::sample::Sample;
use crate::subject::{CONTESTANTS, Contestant, NATIVE, PROGRAMS, WORKER_ARCHITECTURE, row};

/// Where the command looks for entries.
const REGISTRY: &str = "/proc/sys/fs/binfmt_misc";

/// Settings of a worker.
pub struct Work<'w> {
    /// The contestant's name.
    pub contestant: &'w str,
    /// Directory of the images and the guests.
    pub directory: &'w Path,
    /// Debian's root directory, if it runs programs there.
    pub root: Option<&'w Path>,
    /// The architectures whose probes it starts.
    pub architectures: &'w [String],
    /// CPU models, each as `<architecture>=<model>`.
    pub models: &'w [String],
    /// Whether every row has an entry, where the command looks for entries.
    pub every_row: bool,
}

/// Runs the worker. It reads a request per line from standard input, and writes a [`Sample`], or a
/// number of system calls, per line to standard output.
pub fn run(work: &Work<'_>) -> Result<(), Box<dyn Error>> {
    let contestant = CONTESTANTS.iter().find(|one| one.name == work.contestant).ok_or("no such contestant")?;
    enter_namespace()?;
    let own = work.directory.join(format!("{}.{}.d", contestant.name, std::process::id()));
    let registry = own.join("registry");
    fs::create_dir_all(&registry)?;
    mount(Some("binfmt_misc"), &registry, Some("binfmt_misc"), MsFlags::empty(), None::<&str>)
        .map_err(|errno| format!("cannot mount a binfmt_misc (Linux 6.7 or newer is needed): {errno}"))?;
    if work.every_row {
        mount(Some(&registry), REGISTRY, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| format!("cannot mount at {REGISTRY}: {errno}"))?;
    }
    if contestant.name != NATIVE {
        register(contestant, work, &registry.join("register"))?;
    }
    let mut directory = work.directory.to_owned();
    if let Some(root) = work.root {
        let table = ArchTable::builtin();
        let emulator = emulator(row(&table, WORKER_ARCHITECTURE)?)?;
        directory = roots::enter(root, work.directory, (contestant.name != NATIVE).then_some(emulator))?;
    }

    for order in stdin().lock().lines() {
        let order = order?;
        let mut words = order.split(' ');
        let (kind, name) = words.next().zip(words.next()).ok_or("no order")?;
        let (mut command, architecture) = match kind {
            "start" => (Command::new(guest(&directory, name)), name),
            "calls" => (traced(&guest(&directory, name), &own), name),
            "program" => (program(contestant, &directory, name)?, WORKER_ARCHITECTURE),
            "ask" => (question(contestant, &directory, name), ""),
            _ => {
                let mut command = Command::new(shell(&directory));
                command
                    .arg("sh")
                    .arg(script(&directory, name))
                    .arg(directory.join("bin"))
                    .args(words)
                    .current_dir(&own);
                (command, WORKER_ARCHITECTURE)
            }
        };
        // The same minimal environment for all; the standard library uses posix_spawn(3).
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let mut models = work.models.iter().filter_map(|model| model.split_once('='));
        if let Some((_, model)) = models.find(|(name, _)| *name == architecture) {
            command.env("QEMU_CPU", model);
        }
        // `status` ends with 1 if an entry is not one of binfmt-dispatch.
        let sample = Sample::of(&mut command, i32::from(kind == "ask"))
            .map_err(|error| format!("{}: {name}: {error}", contestant.name))?;
        if kind == "calls" {
            writeln!(stdout(), "{}", calls(&own)?)?;
        } else {
            writeln!(stdout(), "{sample}")?;
        }
    }
    Ok(())
}

/// strace, which writes the system calls of the program and of all that it starts, from execve(2)
/// on, to the file `calls` in `directory`. Its own count (`-c`) ends with SIGSEGV on riscv64, at a
/// call that it has no name for.
fn traced(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(directory.join("calls")).arg(program);
    command
}

/// The number of system calls that [`traced`] has written and that returned. One that another thread
/// interrupted has two lines, of which the first ends with `<unfinished ...>`.
fn calls(directory: &Path) -> Result<usize, Box<dyn Error>> {
    let lines = fs::read_to_string(directory.join("calls"))?;
    match lines.lines().filter(|line| !line.ends_with("<unfinished ...>") && !line.ends_with("= ?")).count() {
        0 => Err("strace has written no system call".into()),
        calls => Ok(calls),
    }
}

/// The command, asked `name`.
fn question(contestant: &Contestant, directory: &Path, name: &str) -> Command {
    let mut command = Command::new(TOOL);
    command.arg(name);
    match name {
        "status" if contestant.is_direct() => command.arg("--all"),
        "status" => command.arg("--all").arg("--image").arg(directory.join(contestant.name)),
        _ => command.arg(guest(directory, WORKER_ARCHITECTURE)),
    };
    command
}

/// One of Debian's programs.
fn program(contestant: &Contestant, directory: &Path, name: &str) -> Result<Command, Box<dyn Error>> {
    let program = PROGRAMS.iter().find(|program| program.name == name).ok_or("no such program")?;
    let architecture = if contestant.name == NATIVE { std::env::consts::ARCH } else { WORKER_ARCHITECTURE };
    let path = program.path.map_or_else(|| guest(directory, architecture), PathBuf::from);
    let mut command = Command::new(path);
    command.args(program.arguments);
    Ok(command)
}

/// Registers the contestant for the names of the probes, and for real programs of one architecture.
fn register(contestant: &Contestant, work: &Work<'_>, to: &Path) -> Result<(), Box<dyn Error>> {
    let table = ArchTable::builtin();
    let direct = contestant.is_direct();
    let file = work.directory.join(contestant.name);
    let mut lines = Vec::new();
    // In a root directory, entries match programs by their contents.
    for name in work.architectures.iter().filter(|_| work.root.is_none() && !work.every_row) {
        let interpreter = if direct { PathBuf::from(emulator(row(&table, name)?)?) } else { file.clone() };
        lines.push(format!(":probe-{name}:E::{name}::{}:POF", interpreter.display()));
    }
    // An entry for this machine's own programs would start them under QEMU.
    if work.every_row || std::env::consts::ARCH != WORKER_ARCHITECTURE {
        let mut generate = Command::new(TOOL);
        generate.args(["generate", "--format", "register"]).args((!work.every_row).then_some(WORKER_ARCHITECTURE));
        if direct {
            generate.arg("--direct");
        } else {
            generate.arg("--interpreter").arg(&file);
        }
        lines.extend(String::from_utf8(generate.output()?.stdout)?.lines().map(str::to_owned));
    }
    for line in lines {
        fs::write(to, &line).map_err(|error| format!("{line}: cannot be registered: {error}"))?;
    }
    Ok(())
}

/// Enters a new user namespace. It has its own `binfmt_misc`, which no other process sees, and
/// which ends with this process.
fn enter_namespace() -> Result<(), Box<dyn Error>> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|errno| format!("cannot make a user namespace: {errno}"))?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}
