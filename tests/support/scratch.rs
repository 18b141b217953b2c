//! The scratch directory of a test.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dispatch_table::ArchTable;
use tempfile::TempDir;

use super::tool::path_with_tool;
use super::{Observation, TOOL, executable};

/// A directory that every user can enter; dropping the value removes it.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// Makes an empty directory.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("binfmt-dispatch-test-").tempdir().expect("/tmp is writable");
        let scratch = Scratch { directory };
        scratch.mode(".", 0o755);
        scratch
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of `name` in it, as text.
    pub fn at(&self, name: &str) -> String {
        self.path().join(name).to_str().expect("temporary directories have plain names").to_owned()
    }

    /// Writes an executable file, and makes its directories.
    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        executable::write(&path, bytes.as_ref());
        path
    }

    /// Sets the permissions of `name`.
    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Writes the probe program of the table's row `architecture`.
    pub fn probe(&self, name: impl AsRef<Path>, architecture: &str) -> PathBuf {
        self.write(name, probe(architecture))
    }

    /// A command that runs in the directory, without input.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null()).env_remove("QEMU_LD_PREFIX");
        command.env("PATH", path_with_tool(&std::env::var("PATH").expect("the tests have a PATH")));
        command
    }

    /// Runs a program in the directory.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Observation {
        Observation::of(self.command(program).args(arguments))
    }

    /// Runs the tool in the directory.
    pub fn tool<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Observation {
        self.run(TOOL, arguments)
    }

    /// Runs a bash script in the directory; `$TOOL` is the tool.
    pub fn shell(&self, script: &str) -> Observation {
        Observation::of(self.command("bash").args(["-c", script]).env("TOOL", TOOL))
    }

    /// Removes everything in the directory.
    pub fn clear(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// The probe program of the table's row `architecture`.
pub fn probe(architecture: &str) -> Vec<u8> {
    ArchTable::builtin().find(architecture).expect("a row of the table").probe_elf()
}
