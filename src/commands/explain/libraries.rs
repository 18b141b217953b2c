//! The libraries that a dynamic program needs, and whether its dynamic linker will find them
//! (ld.so(8)).

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::Guest;
use dispatch_core::elf::Header;
use dispatch_core::pipeline::START;

use super::contents::{self, Contents};
use crate::output::json::Bytes;
use crate::platform::files;

/// Most files that include lines of ld.so.conf lead to.
const MOST_FILES: usize = 100;

/// Those of the libraries that `contents` names which are not below `root`, for a program with
/// `header`. Empty if that cannot be told: the program or its environment names directories of its
/// own.
pub(super) fn missing(contents: &Contents, header: &Header, root: &Path) -> Vec<Bytes> {
    let own = contents.paths || std::env::var_os("LD_LIBRARY_PATH").is_some();
    if own || contents.needed.is_empty() || contents.linker.is_none() {
        return Vec::new();
    }
    let directories = directories(root);
    let here = |name: &Bytes| {
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        // A name with a slash is a path, relative to the working directory.
        if name.as_os_str().as_bytes().contains(&b'/') {
            return name.exists();
        }
        directories.iter().any(|directory| is_for(header, &directory.join(name)))
    };
    contents.needed.iter().filter(|name| !here(name)).cloned().collect()
}

/// The libraries below `root` that the program with these contents needs, and those that they need,
/// as far as they are found there.
pub(super) fn found(contents: &Contents, header: &Header, root: &Path) -> Vec<PathBuf> {
    let directories = if contents.linker.is_some() { directories(root) } else { Vec::new() };
    let (mut found, mut wanted): (Vec<PathBuf>, Vec<Bytes>) = (Vec::new(), contents.needed.clone());
    let mut next = 0;
    while let Some(name) = wanted.get(next).filter(|_| next < MOST_FILES) {
        next += 1;
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let paths = directories.iter().map(|directory| directory.join(name));
        let Some(path) = paths.into_iter().find(|path| is_for(header, path)) else { continue };
        for needed in needed(&path).unwrap_or_default() {
            if !wanted.contains(&needed) {
                wanted.push(needed);
            }
        }
        found.push(path);
    }
    found
}

/// The names of the libraries that the one at `path` needs.
fn needed(path: &Path) -> io::Result<Vec<Bytes>> {
    let file = files::open(path)?;
    let mut start = [0; START];
    let len = files::read_full(&file, &mut start, 0)?;
    let guest = Guest::identify(&start[..len]).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(contents::examine(&guest, &file)?.needed)
}

/// A path of the guest below `root`.
pub(super) fn below(root: &Path, path: &Bytes) -> PathBuf {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Whether the file at `path` is for the same machine.
fn is_for(header: &Header, path: &Path) -> bool {
    let Ok(file) = files::open(path) else { return false };
    let mut start = [0; dispatch_core::elf::MAX_HEADER];
    let Ok(len) = files::read_full(&file, &mut start, 0) else { return false };
    Header::parse(&start[..len])
        .is_ok_and(|found| (found.machine, found.class, found.data) == (header.machine, header.class, header.data))
}

/// The directories below `root` that dynamic linkers search: the usual ones, Debian's for each
/// architecture, and those in ld.so.conf.
fn directories(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for parent in ["lib", "usr/lib", "lib64", "usr/lib64", "lib32", "usr/lib32", "libx32", "usr/local/lib"] {
        let parent = root.join(parent);
        let children = fs::read_dir(&parent).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        found
            .extend(children.filter(|path| path.file_name().is_some_and(|name| contains(name.as_bytes(), b"-linux-"))));
        found.push(parent);
    }
    let mut left = MOST_FILES;
    configured(root, Path::new("etc/ld.so.conf"), &mut left, &mut found);
    found
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Adds the directories that the file `name` below `root` names, and the files that it includes.
fn configured(root: &Path, name: &Path, left: &mut usize, found: &mut Vec<PathBuf>) {
    let Some(rest) = left.checked_sub(1) else { return };
    *left = rest;
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let Ok(text) = fs::read_to_string(root.join(name)) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include ").map(str::trim) {
            // Only the last component of such a pattern has a star, and before the ending.
            Some(pattern) => {
                let (directory, last) = pattern.rsplit_once('/').unwrap_or(("etc", pattern));
                let (begin, end) = last.split_once('*').unwrap_or((last, ""));
                let mut names: Vec<_> = fs::read_dir(below(directory))
                    .into_iter()
                    .flatten()
                    .filter_map(|entry| Some(entry.ok()?.file_name()))
                    .collect();
                names.sort();
                for file in names.iter().filter_map(|name| name.to_str()) {
                    if file.starts_with(begin) && file.ends_with(end) {
                        configured(root, &Path::new(directory.trim_start_matches('/')).join(file), left, found);
                    }
                }
            }
            None if line.starts_with('/') => found.push(below(line)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_from_the_configuration_too() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/ld.so.conf", "/opt/a # comment\ninclude /etc/ld.so.conf.d/*.conf\ninclude /etc/ld.so.conf\n");
        write("etc/ld.so.conf.d/b.conf", "/opt/b\n");
        write("etc/ld.so.conf.d/c.old", "/opt/c\n");
        write("usr/lib/any-linux-gnu/x", "");
        let found = directories(root.path());
        for (path, expected) in
            [("opt/a", true), ("opt/b", true), ("opt/c", false), ("usr/lib/any-linux-gnu", true), ("lib", true)]
        {
            assert_eq!(found.contains(&root.path().join(path)), expected, "{path}: {found:?}");
        }
    }
}
