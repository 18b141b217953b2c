//! The packages of Debian: dpkg and dpkg-query are asked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::{Answer, Asked, Licence, Package, Source, System, Unknown, output, with_path};
use crate::platform::distribution::{Family, id};

/// The fields of a package of Debian, for dpkg-query(1).
const FIELDS: &str = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Built-Using}, ${Static-Built-Using}";

/// The answers for `files`, which are in `system`.
pub(super) fn answers(system: &System<'_>, files: &[Asked]) -> Vec<Answer> {
    let mut search = vec![with_path("--admindir=", system.database), "--search".into(), "--".into()];
    search.extend(files.iter().map(|file| literal(&file.path)));
    let found = match output("dpkg-query", &search) {
        Ok(found) => found,
        Err(unknown) => return vec![Err(unknown); files.len()],
    };
    let mut packages: BTreeMap<String, Result<(Package, Vec<u8>), Unknown>> = BTreeMap::new();
    let mut answer = |file: &Asked| -> Answer {
        let mut owners = owners_in(&found, &file.path);
        let owner = match owners.len() {
            0 => return Err(Unknown::NoPackage),
            1 => owners.remove(0),
            _ => return Err(Unknown::Several(owners)),
        };
        let (package, changed) = packages.entry(owner).or_insert_with_key(|owner| of_debian(system, owner)).clone()?;
        // `??5??????   /usr/bin/qemu-arm`: the MD5 sum is another one.
        let name = file.path.as_os_str().as_bytes();
        let is_changed = |line: &[u8]| line.get(2) == Some(&b'5') && line.ends_with(&[b" ", name].concat());
        match changed.split(|byte| *byte == b'\n').any(is_changed) {
            true => Err(Unknown::Changed(package.name)),
            false => Ok(package),
        }
    };
    files.iter().map(&mut answer).collect()
}

/// A path as a pattern of dpkg-query that means this path alone.
fn literal(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    let escaped = bytes.flat_map(|byte| if b"*?[\\".contains(byte) { vec![b'\\', *byte] } else { vec![*byte] });
    OsString::from_vec(escaped.collect())
}

/// The packages in lines such as `qemu-user:arm64, other: /usr/bin/qemu-arm`.
fn owners_in(found: &[u8], path: &Path) -> Vec<String> {
    let owners = |line: &[u8]| {
        let owners = line.strip_suffix(path.as_os_str().as_bytes())?.strip_suffix(b": ")?;
        let owners = String::from_utf8_lossy(owners).into_owned();
        // Lines about dpkg-divert(1), which name no owner.
        (!owners.starts_with("diversion by ") && !owners.starts_with("local diversion")).then_some(owners)
    };
    let lines: Vec<String> = found.split(|byte| *byte == b'\n').filter_map(owners).collect();
    lines.iter().flat_map(|line| line.split(", ")).map(str::to_owned).collect()
}

/// The package that dpkg calls `name`, and what `dpkg --verify` prints of its files.
fn of_debian(system: &System<'_>, name: &str) -> Result<(Package, Vec<u8>), Unknown> {
    let admindir = with_path("--admindir=", system.database);
    let show = output(
        "dpkg-query",
        &[admindir.as_os_str(), "--show".as_ref(), "--showformat".as_ref(), FIELDS.as_ref(), name.as_ref()],
    )?;
    let fields = String::from_utf8_lossy(&show).into_owned();
    let [name_alone, version, architecture, source, source_version, linked] =
        fields.split('\t').collect::<Vec<&str>>()[..]
    else {
        return Err(Unknown::Silent { program: "dpkg-query", reason: format!("it says nothing of {name}") });
    };
    let root = with_path("--root=", system.root);
    let changed = output("dpkg", &[root.as_os_str(), "--verify".as_ref(), name.as_ref()])?;
    let package = Package {
        name: name_alone.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        licence: Licence::File(format!("/usr/share/doc/{name_alone}/copyright")),
        source: Source { name: source.to_owned(), version: source_version.to_owned() },
        linked: Some(built_using(linked)),
        distribution: id(system.root).unwrap_or_default(),
        family: Some(Family::Debian),
    };
    Ok((package, changed))
}

/// The sources in fields such as `capstone (= 4.0.2-5), glibc (= 2.36-9)`.
fn built_using(field: &str) -> Vec<Source> {
    let source = |part: &str| {
        let (name, version) = part.trim().split_once(" (= ")?;
        Some(Source { name: name.to_owned(), version: version.strip_suffix(')')?.to_owned() })
    };
    field.split(',').filter_map(source).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn what_is_linked_in_is_read() {
        let source = |name: &str, version: &str| Source { name: name.to_owned(), version: version.to_owned() };
        let both = [source("capstone", "4.0.2-5"), source("zlib", "1:1.2.13.dfsg-1")];
        assert_eq!(built_using("capstone (= 4.0.2-5), zlib (= 1:1.2.13.dfsg-1), "), both);
        assert_eq!(built_using(", "), []);
    }

    #[test]
    fn owners_are_those_of_the_path() {
        let found =
            b"a:arm64: /usr/bin/x\nb, c: /usr/bin/y\ndiversion by d from: /usr/bin/x\nlocal diversion to: /usr/bin/x\n";
        let of = |path: &str| owners_in(found, Path::new(path));
        assert_eq!(of("/usr/bin/x"), ["a:arm64"]);
        assert_eq!(of("/usr/bin/y"), ["b", "c"]);
        assert_eq!(of("/bin/x"), Vec::<String>::new());
        assert_eq!(literal(Path::new("/a[*]\\b")), OsStr::new("/a\\[\\*]\\\\b"));
    }
}
