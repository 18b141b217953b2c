//! The contestants, registered side by side in a private namespace.
//!
//! binfmt_misc entries can tell programs apart by what follows the last dot of their names, so that one registry holds
//! all contestants and the same bytes under three names reach them.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dispatch_table::ArchTable;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use tempfile::TempDir;

/// What each contestant is called, in the order in which its times are kept.
pub const NAMES: [&str; 3] = ["direct", "path", "exec"];
/// What each one is.
pub const MEANINGS: [&str; 3] = [
    "QEMU registered directly",
    "through the dispatcher: the emulator is mapped into the process",
    "through the dispatcher: the emulator is executed (strategy exec)",
];

/// The architecture of the program.
const ARCHITECTURE: &str = "aarch64";
const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");

/// The registered contestants.
pub struct Contest {
    /// The emulator that all of them start.
    pub emulator: String,
    programs: [PathBuf; 3],
    _directory: TempDir,
}

impl Contest {
    /// Enters the namespace, and registers.
    pub fn prepare() -> Result<Self, Box<dyn Error>> {
        let table = ArchTable::builtin();
        let row = table.find(ARCHITECTURE).ok_or("the table has no such row")?;
        let emulator = row.emulator_paths().find(|path| Path::new(path).is_file());
        let emulator = emulator.ok_or_else(|| format!("there is no emulator for {ARCHITECTURE}: run ci/setup"))?;

        enter_namespace()?;
        let directory = TempDir::new()?;
        let at = |name: &str| directory.path().join(name);
        let registry = at("registry");
        fs::create_dir(&registry)?;
        mount(Some("binfmt_misc"), &registry, Some("binfmt_misc"), MsFlags::empty(), None::<&str>)
            .map_err(|errno| format!("cannot mount a binfmt_misc (Linux 6.7 or newer is needed): {errno}"))?;

        let site = at("exec.json");
        fs::write(&site, table_with_strategy_exec()?)?;
        image(&at("image"), &[])?;
        image(&at("image-exec"), &["--table".as_ref(), site.as_ref()])?;

        let interpreters = [PathBuf::from(emulator), at("image"), at("image-exec")];
        let programs = NAMES.map(|name| at(&format!("guest.{name}")));
        for ((name, interpreter), program) in NAMES.iter().zip(interpreters).zip(&programs) {
            fs::write(program, row.probe_elf())?;
            fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
            fs::write(registry.join("register"), format!(":{name}:E::{name}::{}:POF", interpreter.display()))
                .map_err(|error| format!("{name}: cannot be registered: {error}"))?;
        }
        Ok(Contest { emulator: emulator.to_owned(), programs, _directory: directory })
    }

    /// How long the program takes from start to end.
    pub fn start(&self, contestant: usize) -> Result<Duration, Box<dyn Error>> {
        let mut command = Command::new(&self.programs[contestant]);
        // The same little for everyone; the standard library uses posix_spawn(3).
        command.env_clear();
        let start = Instant::now();
        let status = command.status();
        let time = start.elapsed();
        match status {
            Ok(status) if status.success() => Ok(time),
            Ok(status) => Err(format!("{}: {status}", NAMES[contestant]).into()),
            Err(error) => Err(format!("{}: {error}", NAMES[contestant]).into()),
        }
    }
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

/// The architecture's row, changed so that its emulator is executed.
fn table_with_strategy_exec() -> Result<String, Box<dyn Error>> {
    let mut table: serde_json::Value = serde_json::from_str(include_str!("../../arch-table.json"))?;
    let rows = table["architectures"].as_array_mut().ok_or("the table has no rows")?;
    rows.retain(|row| row["name"] == ARCHITECTURE);
    rows[0]["strategy"] = "exec".into();
    Ok(table.to_string())
}

/// Writes a registered file.
fn image(path: &Path, options: &[&std::ffi::OsStr]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(TOOL).args(options).args(["image", "--output"]).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("the image cannot be written: {status}").into()) }
}
