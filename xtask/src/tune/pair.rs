//! An architecture with an emulator, and the ways to start its programs: through binfmt-dispatch
//! and directly.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::choices::{Architecture, Emulator};
use crate::program::{output, status, succeeded};
use crate::{Result, files};

const REGISTRY: &str = "/proc/sys/fs/binfmt_misc";

/// An architecture with an emulator.
pub struct Pair<'p> {
    pub architecture: &'p Architecture,
    pub emulator: &'p Emulator,
    /// The command to measure.
    pub tool: &'p Path,
    /// Directory for everything that is fetched or made for measuring.
    pub place: &'p Path,
}

impl Pair<'_> {
    /// The root directory with programs of the architecture.
    pub fn root(&self) -> PathBuf {
        self.place.join(format!("root-{}", self.architecture.name))
    }

    /// The directory of the emulators of this version.
    pub fn emulators(&self) -> PathBuf {
        self.place.join(format!("qemu-{}", self.emulator.version)).join("usr/bin")
    }

    /// The emulator, and the architecture's name in the table.
    pub fn emulator_file(&self) -> Result<(PathBuf, String)> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
        }
        let list = output(Command::new(self.tool).args(["list", "--json", self.architecture.name]))?;
        let rows: Vec<Row> = serde_json::from_str(&list)?;
        let name = rows.into_iter().next().ok_or("the table lacks it")?.name;
        let files = ["-static", ""].map(|end| self.emulators().join(format!("qemu-{name}{end}")));
        let file = files.into_iter().find(|file| file.exists());
        Ok((file.ok_or_else(|| format!("{}: there is no qemu-{name}", self.emulators().display()))?, name))
    }

    fn image(&self) -> PathBuf {
        self.place.join("image")
    }

    /// Writes an image with the emulator embedded, which the ways with an image use.
    pub fn write_image(&self) -> Result<()> {
        let mut image = Command::new(self.tool);
        image.args(["image", "-o"]).arg(self.image()).arg("--from").arg(self.emulators()).arg(self.architecture.name);
        let status = status(&mut image)?;
        succeeded(&image, status)
    }

    /// Runs a command in namespaces where the image is registered.
    pub fn in_image(&self) -> Command {
        let mut command = Command::new(self.image());
        command.args(["unshare", "--arch", self.architecture.name, "--"]);
        command
    }

    /// Runs a command in namespaces where the emulator is registered directly.
    pub fn direct(&self) -> Result<Command> {
        let mut generate = Command::new(self.tool);
        generate.args(["generate", "--format", "register", "--interpreter"]).arg(self.emulator_file()?.0);
        let lines = self.place.join("lines");
        files::write(&lines, &output(generate.arg(self.architecture.name))?)?;
        let mut command = self.in_image();
        command.arg(env::current_exe()?).arg("registered").arg(lines);
        Ok(command)
    }
}

/// Replace the entries of `binfmt_misc`, in new namespaces, and run a command
#[derive(Debug, clap::Args)]
pub struct Registered {
    /// The new entries, as lines
    lines: PathBuf,
    /// The command
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Registered {
    /// Executes the command in place of this process.
    pub fn run(&self) -> Result<()> {
        for entry in fs::read_dir(REGISTRY)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("qemu-") {
                fs::write(entry.path(), "-1")?;
            }
        }
        let register = Path::new(REGISTRY).join("register");
        for line in fs::read_to_string(&self.lines)?.lines() {
            fs::write(&register, line).map_err(|error| format!("{}: {error}: {line}", register.display()))?;
        }
        Err(Command::new(&self.command[0]).args(&self.command[1..]).exec().into())
    }
}
