//! A directory of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dispatch_table::ArchTable;
use tempfile::TempDir;

use super::executable;

/// A directory that every user can enter and that goes away with the value.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// An empty one.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("binfmt-dispatch-test-").tempdir().expect("/tmp is writable");
        let scratch = Scratch { directory };
        scratch.mode(".", 0o755);
        scratch
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of `name` in it, as text.
    pub fn at(&self, name: &str) -> String {
        self.path().join(name).to_str().expect("temporary directories have plain names").to_owned()
    }

    /// Writes an executable file, with its directories.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
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
    pub fn probe(&self, name: &str, architecture: &str) -> PathBuf {
        let table = ArchTable::builtin();
        self.write(name, table.find(architecture).expect("a row of the table").probe_elf())
    }

    /// Removes everything in it.
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
