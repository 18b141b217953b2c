//! What the package managers of Debian and of RPM know of files: the packages that have them, and
//! the sources that those were built from.
//!
//! Their own programs are asked, about the system that a file is in: this one, or one in a
//! directory, which may be for other machines.

mod debian;
mod rpm;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::distribution::Family;
use crate::failure::text;

/// A source package in a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub name: String,
    pub version: String,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// Its licence, or where the text is.
    pub licence: Licence,
    /// The source package that it was built from.
    pub source: Source,
    /// Those of what is linked into it statically; `None` if packages of this kind do not tell.
    pub linked: Option<Vec<Source>>,
    /// The distribution, as `ID` of os-release(5) names it; empty if it is not known.
    distribution: String,
    family: Option<Family>,
}

/// What a package tells of its licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Licence {
    /// It names the licence.
    Named(String),
    /// It has this file, as Debian's packages do.
    File(String),
}

/// Why the package of a file is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The file is in no system with such a package manager.
    NoManager,
    /// No package has the file.
    NoPackage,
    /// Each of these packages has the file.
    Several(Vec<String>),
    /// This package has the file, and brought another one.
    Changed(String),
    /// The manager's program cannot be asked.
    Silent {
        /// The program.
        program: &'static str,
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::NoManager => f.write_str("it is in no system with packages of Debian or RPM"),
            Unknown::NoPackage => f.write_str("no package has it"),
            Unknown::Several(names) => write!(f, "several packages have it: {}", names.join(", ")),
            Unknown::Changed(name) => write!(f, "it is not the file that the package {name} brought"),
            Unknown::Silent { program, reason } => write!(f, "{program} cannot be asked: {reason}"),
        }
    }
}

/// The answer for a file.
type Answer = Result<Package, Unknown>;

/// A file, and its SHA-256 in hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: PathBuf,
    pub digest: String,
}

/// The packages of `files`, in the same order.
pub fn owners(files: &[Asked]) -> Vec<Answer> {
    let mut answers: Vec<Answer> = vec![Err(Unknown::NoManager); files.len()];
    // The files of each system, by their places in it. Links in the path may lead into another one.
    let mut systems: BTreeMap<PathBuf, Vec<(usize, Asked)>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let Ok(path) = file.path.canonicalize() else { continue };
        let managed = |root: &&Path| Manager::ALL.iter().any(|manager| manager.database(root).is_some());
        let Some(root) = path.ancestors().skip(1).find(managed) else { continue };
        let inside = Path::new("/").join(path.strip_prefix(root).unwrap_or(&path));
        let asked = Asked { path: inside, digest: file.digest.clone() };
        systems.entry(root.to_owned()).or_default().push((index, asked));
    }
    for (root, files) in systems {
        for manager in Manager::ALL {
            let Some(database) = manager.database(&root) else { continue };
            let system = System { root: &root, database: &database };
            let unowned = |index: usize| matches!(answers[index], Err(Unknown::NoManager | Unknown::NoPackage));
            let (places, asked): (Vec<usize>, Vec<Asked>) =
                files.iter().filter(|(index, _)| unowned(*index)).cloned().unzip();
            for (index, answer) in places.into_iter().zip(manager.ask(&system, &asked)) {
                answers[index] = answer;
            }
        }
    }
    answers
}

/// A package manager.
#[derive(Clone, Copy, Debug)]
enum Manager {
    Dpkg,
    Rpm,
}

/// A system with packages.
struct System<'s> {
    root: &'s Path,
    /// The directory of its manager's database.
    database: &'s Path,
}

impl Manager {
    /// All of them, in the order in which they are asked: RPM may be installed on a system of Debian.
    const ALL: [Manager; 2] = [Manager::Dpkg, Manager::Rpm];

    /// The directory with its database in the system below `root`, if it is there.
    fn database(self, root: &Path) -> Option<PathBuf> {
        // Directory and file.
        let places: &[(&str, &[&str])] = match self {
            Manager::Dpkg => &[("var/lib/dpkg", &["status"])],
            // The second directory is that of older systems, and a link to the first on others.
            Manager::Rpm => &[
                ("usr/lib/sysimage/rpm", &["rpmdb.sqlite", "Packages.db", "Packages"]),
                ("var/lib/rpm", &["rpmdb.sqlite", "Packages.db", "Packages"]),
            ],
        };
        let there = |(directory, files): &(&str, &[&str])| {
            let directory = root.join(directory);
            files.iter().any(|file| directory.join(file).is_file()).then_some(directory)
        };
        places.iter().find_map(there)
    }

    fn ask(self, system: &System<'_>, files: &[Asked]) -> Vec<Answer> {
        match self {
            _ if files.is_empty() => Vec::new(),
            Manager::Dpkg => debian::answers(system, files),
            Manager::Rpm => rpm::answers(system, files),
        }
    }
}

/// What a program prints, unless it fails with another code than 1, which stands for "no".
fn output<S: AsRef<OsStr>>(program: &'static str, arguments: &[S]) -> Result<Vec<u8>, Unknown> {
    let silent = |reason| Unknown::Silent { program, reason };
    let mut command = Command::new(program);
    // Words and numbers as they are read here, whatever the user speaks.
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    let done = command.output().map_err(|error| silent(text(&error)))?;
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.code() {
        Some(0) => Ok(done.stdout),
        // rpm has this code for a database that it cannot read, too.
        Some(1) if !said.contains("cannot open ") => Ok(done.stdout),
        _ => Err(silent(said.lines().last().unwrap_or("it failed").trim().to_owned())),
    }
}

/// `option` with the path `value`, as one argument.
fn with_path(option: &str, value: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(value);
    argument
}

impl Package {
    /// Where `source`, one of its sources, is: commands and addresses.
    pub fn places(&self, source: &Source) -> Vec<String> {
        let Source { name, version } = source;
        match (self.family, self.distribution.as_str()) {
            (Some(Family::Debian), distribution) => {
                let page = match distribution {
                    "debian" => Some("https://snapshot.debian.org/package"),
                    "ubuntu" => Some("https://launchpad.net/ubuntu/+source"),
                    _ => None,
                };
                let page = page.map(|page| format!("{page}/{name}/{}", quoted(version)));
                [Some(format!("apt-get source {name}={version}")), page].into_iter().flatten().collect()
            }
            (Some(Family::Fedora), _) => vec![format!("dnf download --source {}-{}", self.name, self.version)],
            _ => vec![format!("{name}-{version}.src.rpm")],
        }
    }
}

/// A version as a part of an address (RFC 3986, 2.3).
fn quoted(version: &str) -> String {
    let quoted = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    version.bytes().map(quoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, version: &str) -> Source {
        Source { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn places_depend_on_the_distribution() {
        let of = |family, distribution: &str| {
            let package = Package {
                name: "qemu-user".to_owned(),
                version: "1:10.0+ds-1+b1".to_owned(),
                architecture: "amd64".to_owned(),
                licence: Licence::Named("GPL".to_owned()),
                source: source("qemu", "1:10.0+ds-1"),
                linked: None,
                distribution: distribution.to_owned(),
                family,
            };
            package.places(&package.source)
        };
        let apt = "apt-get source qemu=1:10.0+ds-1";
        let debian = of(Some(Family::Debian), "debian");
        assert_eq!(debian, [apt, "https://snapshot.debian.org/package/qemu/1%3A10.0%2Bds-1"]);
        let ubuntu = of(Some(Family::Debian), "ubuntu");
        assert_eq!(ubuntu, [apt, "https://launchpad.net/ubuntu/+source/qemu/1%3A10.0%2Bds-1"]);
        assert_eq!(of(Some(Family::Debian), ""), [apt]);
        assert_eq!(of(Some(Family::Fedora), "fedora"), ["dnf download --source qemu-user-1:10.0+ds-1+b1"]);
        assert_eq!(of(Some(Family::Suse), "opensuse"), ["qemu-1:10.0+ds-1.src.rpm"]);
    }

    #[test]
    fn a_file_outside_of_any_system_has_no_package() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        std::fs::write(&file, "").unwrap();
        // The system that the tests run on may have packages, or not.
        let answers = owners(&[
            Asked { path: file, digest: String::new() },
            Asked { path: "/no/such".into(), digest: String::new() },
        ]);
        assert!(matches!(answers[0], Err(Unknown::NoPackage | Unknown::NoManager)), "{answers:?}");
        assert_eq!(answers[1], Err(Unknown::NoManager));
    }
}
