//! The words that call this command in remedies: its name, where a shell finds this file by it, else
//! the file's path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dispatch_core::NAME;
use nix::unistd::geteuid;

use super::invoked::quote;

/// The PATH of commands under sudo(8): `secure_path` of the usual distributions.
const SECURE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin";

/// The word by which the caller's shell finds this command.
pub fn as_called() -> String {
    called(&std::env::var_os("PATH").unwrap_or_default())
}

/// The word by which root finds it: under sudo(8), unless the caller is root already.
pub fn as_called_by_root() -> String {
    if geteuid().is_root() { as_called() } else { called(OsStr::new(SECURE_PATH)) }
}

fn called(path: &OsStr) -> String {
    let identity = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let Some(this) = identity(&own) else { return NAME.to_owned() };
    let found = which::which_in_global(NAME, Some(path)).ok().and_then(|mut found| found.next());
    match found.and_then(|found| identity(&found)) {
        Some(found) if found == this => NAME.to_owned(),
        _ => quote(own.as_os_str().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_for_this_file_alone() {
        let own = std::env::current_exe().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().as_os_str();
        assert_eq!(called(path), own.to_str().unwrap());
        let link = directory.path().join(NAME);
        std::os::unix::fs::symlink("/bin/true", &link).unwrap();
        assert_eq!(called(path), own.to_str().unwrap());
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(own, &link).unwrap();
        assert_eq!(called(path), NAME);
    }
}
