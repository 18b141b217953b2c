//! The root directories whose programs are translated, and how an installation remembers them: as
//! comments in its snippet for systemd.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, show};

/// The beginning of a line that remembers a root directory. JSON follows.
const BEGINNING: &str = "#translate ";
/// The line in front of the first one.
const HEADING: &str = "# `install` runs programs of these root directories again when their emulator changes:";

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
            Some(_) => Ok(absolute(&path).unwrap_or(path)),
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
        let obstacle = |(path, directory): (&'_ Path, bool)| match path.metadata() {
            Ok(found) if found.is_dir() == directory => (!is_safe(&found)).then_some("can be changed by other users"),
            _ => Some("is gone"),
        };
        paths.into_iter().find_map(|(path, directory)| Some((path, obstacle((path, directory))?)))
    }
}

/// Whether only root and the user of this process can write there.
fn is_safe(found: &Metadata) -> bool {
    [0, geteuid().as_raw()].contains(&found.uid()) && found.mode() & 0o022 == 0
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
