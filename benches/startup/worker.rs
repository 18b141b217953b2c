//! A contestant's process: enters a namespace, registers, and runs what it is told to.

use std::error::Error;
use std::fs;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dispatch_table::ArchTable;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::contest::{TOOL, WORKER_ARCHITECTURE, emulator, guest, script, shell};
use crate::sample::Sample;

/// The worker of `contestant`: a line with an order comes in on standard input, and one with a [`Sample`] goes out.
pub fn run(contestant: &str, directory: &Path, architectures: &[String]) -> Result<(), Box<dyn Error>> {
    enter_namespace()?;
    let own = directory.join(format!("{contestant}.d"));
    let registry = own.join("registry");
    fs::create_dir_all(&registry)?;
    mount(Some("binfmt_misc"), &registry, Some("binfmt_misc"), MsFlags::empty(), None::<&str>)
        .map_err(|errno| format!("cannot mount a binfmt_misc (Linux 6.7 or newer is needed): {errno}"))?;
    register(contestant, directory, architectures, &registry.join("register"))?;

    for order in stdin().lock().lines() {
        let order = order?;
        let mut words = order.split(' ');
        let (kind, name) = words.next().zip(words.next()).ok_or("no order")?;
        let mut command = if kind == "start" {
            Command::new(guest(directory, name))
        } else {
            let mut command = Command::new(shell(directory));
            command.arg("sh").arg(script(directory, name)).arg(directory.join("bin")).args(words).current_dir(&own);
            command
        };
        // The same little for everyone; the standard library uses posix_spawn(3).
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let sample = Sample::of(&mut command).map_err(|error| format!("{contestant}: {name}: {error}"))?;
        writeln!(stdout(), "{sample}")?;
    }
    Ok(())
}

/// Registers the contestant for the names of the probes, and for real programs of one architecture.
fn register(contestant: &str, directory: &Path, architectures: &[String], to: &Path) -> Result<(), Box<dyn Error>> {
    let table = ArchTable::builtin();
    let direct = contestant == "direct";
    let file = directory.join(contestant);
    let mut lines = Vec::new();
    for name in architectures {
        let row = table.find(name).ok_or("the table has no such row")?;
        let interpreter = if direct { PathBuf::from(emulator(row)?) } else { file.clone() };
        lines.push(format!(":probe-{name}:E::{name}::{}:POF", interpreter.display()));
    }
    let mut generate = Command::new(TOOL);
    generate.args(["generate", "--format", "register", WORKER_ARCHITECTURE]);
    if direct {
        generate.arg("--direct");
    } else {
        generate.arg("--interpreter").arg(&file);
    }
    lines.extend(String::from_utf8(generate.output()?.stdout)?.lines().map(str::to_owned));
    for line in lines {
        fs::write(to, &line).map_err(|error| format!("{line}: cannot be registered: {error}"))?;
    }
    Ok(())
}

/// A user namespace has a binfmt_misc of its own; no other process sees it, and it ends with this one.
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
