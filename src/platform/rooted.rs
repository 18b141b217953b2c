//! Paths in a system that is rooted at a directory of this one.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

/// How many links the kernel follows (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// Where `path` of the system rooted at `root` is in this one: all links are followed as they are
/// there, so that none leads out of `root`.
///
/// # Errors
/// As lstat(2) and readlink(2); ELOOP.
pub fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut links = 0;
    // Names below the root, and those that are to come.
    let mut inside: Vec<OsString> = Vec::new();
    let mut rest: VecDeque<OsString> = names(path).map(OsStr::to_owned).collect();
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            inside.pop();
            continue;
        }
        inside.push(name);
        let here = below(root, &inside);
        if here.symlink_metadata()?.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            let target = here.read_link()?;
            inside.pop();
            if target.is_absolute() {
                inside.clear();
            }
            names(&target).rev().for_each(|name| rest.push_front(name.to_owned()));
        } else if !rest.is_empty() && !here.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
    }
    Ok(below(root, &inside))
}

fn below(root: &Path, names: &[OsString]) -> PathBuf {
    let mut path = root.to_owned();
    path.extend(names);
    path
}

/// The names in a path, `..` among them.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_below_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/real"), "").unwrap();
        for (target, link) in [
            ("usr/bin", "bin"),
            ("/bin/real", "usr/bin/absolute"),
            ("../../../../bin/real", "usr/up"),
            ("loop", "loop"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let found = |path: &str| resolve(root, Path::new(path));
        let real = root.join("usr/bin/real");
        for path in ["/usr/bin/real", "/bin/real", "/bin/absolute", "/usr/up", "bin/../../bin/./real", "/usr/bin//real"]
        {
            assert_eq!(found(path).unwrap(), real, "{path}");
        }
        assert_eq!(found("/").unwrap(), root);
        assert_eq!(found("/bin/none").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(found("/bin/real/x").unwrap_err().raw_os_error(), Some(Errno::ENOTDIR as i32));
        assert_eq!(found("/loop").unwrap_err().raw_os_error(), Some(Errno::ELOOP as i32));
        assert_eq!(resolve(Path::new("/"), &real).unwrap(), real);
    }
}
