//! The directories of binfmt.d, and the order in which systemd-binfmt reads their files
//! (binfmt.d(5)): by name, and of files with the same name only the one in the first directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// Where systemd looks; of files with the same name, the one in the first directory counts
/// (systemd's `CONF_PATHS`).
pub const DIRECTORIES: [&str; 5] =
    ["/etc/binfmt.d", "/run/binfmt.d", "/usr/local/lib/binfmt.d", "/usr/lib/binfmt.d", "/lib/binfmt.d"];
/// The suffix of the file names.
const ENDING: &str = "conf";
/// The characters that begin a comment line.
pub const COMMENTS: [u8; 2] = *b"#;";

/// The files of binfmt.d.
#[derive(Debug, Default)]
pub struct Files {
    /// Those with the ending `.conf`, by name, in the order of reading. Of each name, the first is
    /// the one that counts.
    pub read: BTreeMap<OsString, Vec<PathBuf>>,
    /// Those that systemd-binfmt passes over because of their names.
    pub ignored: BTreeSet<PathBuf>,
}

impl Files {
    /// Lists `directories`, the first of which comes first. One that cannot be read is passed over,
    /// as most machines lack some of them. Each is to be listed once, with all links resolved.
    pub fn list(directories: &[PathBuf]) -> Self {
        let mut files = Files::default();
        for file in directories.iter().flat_map(fs::read_dir).flatten().flatten() {
            if is_read(&file.file_name()) {
                files.read.entry(file.file_name()).or_default().push(file.path());
            } else {
                files.ignored.insert(file.path());
            }
        }
        files
    }
}

/// Whether systemd-binfmt reads a file of this name.
pub fn is_read(name: &OsStr) -> bool {
    let hidden = name.as_encoded_bytes().starts_with(b".");
    !hidden && Path::new(name).extension().is_some_and(|extension| extension == ENDING)
}
