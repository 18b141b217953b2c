//! The root directories whose programs are translated, and how an installation remembers them: as
//! comments in its snippet for systemd.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, show};

/// The beginning of a line that remembers a root directory. JSON follows.
const BEGINNING: &str = "#translate ";
/// The line in front of the first one.
const HEADING: &str = "# `install` runs programs of these root directories again when their emulator changes:";

/// The bits of a mode by which others can write, and by which they cannot replace what is another
/// user's.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A root directory whose programs are to be translated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Name of the architecture of its programs.
    pub architecture: String,
    /// Its path.
    #[serde(rename = "root")]
    pub path: PathBuf,
    /// The file with the command lines; none for the usual ones.
    pub train: Option<PathBuf>,
}

impl Root {
    /// The same with paths that do not depend on the working directory.
    ///
    /// # Errors
    /// A path is not UTF-8, and cannot be remembered.
    pub fn lasting(self) -> Result<Self, Failure> {
        let lasting = |path: PathBuf| match path.to_str() {
            // Without links, which others might change.
            Some(_) => Ok(path.canonicalize().or_else(|_| absolute(&path)).unwrap_or(path)),
            None => Err(Failure::Usage(format!(
                "{}: is not UTF-8, so the installation cannot remember it: rename it",
                show(path.as_os_str())
            ))),
        };
        Ok(Root { path: lasting(self.path)?, train: self.train.map(lasting).transpose()?, ..self })
    }

    /// The path that keeps its programs from being run without being asked for, and why; `None` if
    /// they can be run. Whoever can change them could do anything that the caller of `install` can.
    pub fn obstacle(&self) -> Option<(&Path, &'static str)> {
        let paths = [(Some(&self.path), true), (self.train.as_ref(), false)];
        let paths = paths.into_iter().filter_map(|(path, directory)| Some((path?.as_path(), directory)));
        let obstacle = |(path, directory): (&'_ Path, bool)| match path.symlink_metadata() {
            Ok(found) if found.is_dir() == directory => (!is_safe(path)).then_some("can be changed by other users"),
            _ => Some("is gone"),
        };
        paths.into_iter().find_map(|(path, directory)| Some((path, obstacle((path, directory))?)))
    }
}

/// Whether only root and the user of this process can write there, or put something else there.
fn is_safe(path: &Path) -> bool {
    let users = [0, geteuid().as_raw()];
    // In a user namespace root may be another number.
    let root = Path::new("/").symlink_metadata().map(|found| found.uid());
    path.ancestors().enumerate().all(|(height, path)| {
        path.symlink_metadata().is_ok_and(|found| {
            let is_shared = found.mode() & OTHERS_WRITE != 0 && (height == 0 || found.mode() & STICKY == 0);
            let is_owned = users.contains(&found.uid()) || root.as_ref().is_ok_and(|root| *root == found.uid());
            is_owned && !is_shared && !found.is_symlink()
        })
    })
}

/// The lines of a snippet that remember `roots`.
pub fn lines(roots: &[Root]) -> String {
    let line = |root: &Root| serde_json::to_string(root).map(|json| format!("{BEGINNING}{json}\n"));
    let lines: String = roots.iter().flat_map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{HEADING}\n{lines}") }
}

/// The root directories that a snippet remembers.
pub fn remembered(snippet: &[u8]) -> Vec<Root> {
    let lines = snippet.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(BEGINNING.as_bytes()));
    lines.filter_map(|json| serde_json::from_slice(json).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::Permissions;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn root(path: &str, train: Option<&str>) -> Root {
        Root { architecture: "aarch64".into(), path: path.into(), train: train.map(PathBuf::from) }
    }

    #[test]
    fn a_snippet_remembers_any_path() {
        let roots = [root("/srv/a b", None), root("/srv/line\nend \"\\", Some("/etc/lines"))];
        let text = lines(&roots);
        assert_eq!(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count(), 0, "{text}");
        assert_eq!(remembered(format!("# head\n:a:M::b::c:\n{text}").as_bytes()), roots);
        assert_eq!(lines(&[]), "");
        assert_eq!(remembered(b"#translate {}\n#translate\n#translate [\n"), []);
    }

    #[test]
    fn what_others_can_change_is_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let lines = directory.path().join("lines");
        std::fs::write(&lines, "true\n").unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let root = |train: &Path| root(directory.path().to_str().unwrap(), train.to_str());
        let obstacle = |train: &Path| root(train).obstacle().map(|(path, why)| (path.to_owned(), why));
        mode(directory.path(), 0o755);
        mode(&lines, 0o644);
        assert_eq!(obstacle(&lines), None);
        let others = "can be changed by other users";
        mode(&lines, 0o664);
        assert_eq!(obstacle(&lines), Some((lines.clone(), others)));
        mode(directory.path(), 0o757);
        assert_eq!(obstacle(&lines), Some((directory.path().to_owned(), others)));
        mode(directory.path(), 0o755);
        // Who can write to a directory above can put something else there.
        let below = directory.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let linked = directory.path().join("linked");
        std::os::unix::fs::symlink(&lines, &linked).unwrap();
        std::fs::write(below.join("lines"), "true\n").unwrap();
        mode(&lines, 0o644);
        for (above, why) in [(0o755, None), (0o777, Some(others)), (0o1777, None)] {
            mode(&below, above);
            assert_eq!(obstacle(&below.join("lines")).map(|(_, why)| why), why, "{above:o}");
        }
        assert_eq!(obstacle(&linked).map(|(_, why)| why), Some(others));
        let gone = directory.path().join("gone");
        assert_eq!(obstacle(&gone), Some((gone.clone(), "is gone")));
    }

    #[test]
    fn a_path_that_is_not_text_is_refused() {
        let odd = Root { path: OsStr::from_bytes(b"/srv/\xff").into(), ..root("/", None) };
        let refused = odd.lasting().unwrap_err().to_string();
        assert!(refused.ends_with(": is not UTF-8, so the installation cannot remember it: rename it"), "{refused}");
        assert!(root("relative", None).lasting().unwrap().path.is_absolute());
    }
}
