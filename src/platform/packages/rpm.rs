//! The packages of RPM: rpm is asked.

use std::ffi::OsStr;
use std::path::Path;

use super::{Answer, Asked, Licence, Package, Source, System, Unknown, output};
use crate::platform::distribution::{Family, id};

/// The fields of a package of RPM, and the digests of its files, for rpm(8).
const QUERY: &str = "%{NAME}\t%{EVR}\t%{ARCH}\t%{LICENSE}\t%{SOURCERPM}\n[%{FILEDIGESTS} %{FILENAMES}\n]";

/// The answers for `files`, which are in `system`.
pub(super) fn answers(system: &System<'_>, files: &[Asked]) -> Vec<Answer> {
    files.iter().map(|file| answer(system, file)).collect()
}

fn answer(system: &System<'_>, file: &Asked) -> Answer {
    let arguments: [&OsStr; 7] = [
        "--dbpath".as_ref(),
        system.database.as_os_str(),
        "--query".as_ref(),
        "--queryformat".as_ref(),
        QUERY.as_ref(),
        "--path".as_ref(),
        file.path.as_os_str(),
    ];
    let found = output("rpm", &arguments)?;
    let found = String::from_utf8_lossy(&found);
    let mut packages = found.lines().filter_map(|line| {
        let [name, version, architecture, licence, source] = line.split('\t').collect::<Vec<&str>>()[..] else {
            return None;
        };
        Some((name, version, architecture, licence, source))
    });
    let Some((name, version, architecture, licence, source)) = packages.next() else { return Err(Unknown::NoPackage) };
    let others: Vec<String> = packages.map(|(name, ..)| name.to_owned()).collect();
    if !others.is_empty() {
        return Err(Unknown::Several([vec![name.to_owned()], others].concat()));
    }
    // Packages of old have shorter digests, which say nothing here.
    let brought = found.lines().find_map(|line| line.split_once(' ').filter(|(_, path)| Path::new(path) == file.path));
    if brought.is_some_and(|(digest, _)| digest.len() == file.digest.len() && digest != file.digest) {
        return Err(Unknown::Changed(name.to_owned()));
    }
    Ok(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        licence: Licence::Named(licence.to_owned()),
        source: source_rpm(source),
        linked: None,
        distribution: id(system.root).unwrap_or_default(),
        family: Family::of(system.root),
    })
}

/// The source package in a file name such as `qemu-10.0.0-1.fc43.src.rpm`.
fn source_rpm(file: &str) -> Source {
    let stem = file.strip_suffix(".rpm").unwrap_or(file);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    // Version and release have no hyphen.
    let end = stem.rmatch_indices('-').nth(1).map_or(stem.len(), |(at, _)| at);
    Source { name: stem[..end].to_owned(), version: stem[end..].trim_start_matches('-').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_packages_have_a_name_and_a_version() {
        let source = |name: &str, version: &str| Source { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(source_rpm("qemu-10.0.0-1.fc43.src.rpm"), source("qemu", "10.0.0-1.fc43"));
        assert_eq!(source_rpm("a-b-c-1-2.nosrc.rpm"), source("a-b-c", "1-2"));
        assert_eq!(source_rpm("(none)"), source("(none)", ""));
    }
}
