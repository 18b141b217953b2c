//! Fetches and unpacks packages of Debian without installing them, by an apt with its own index.
//! Nothing in them is run.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::Result;
use crate::files::{put, with_ending, work_in};
use crate::program::{judged, logged, output, quietly, status, succeeded};

/// Debian's keys; apt may lack them on a system derived from Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The mirror that this machine installs from.
#[derive(Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its address.
    pub address: String,
    /// The code name of the release.
    pub codename: String,
}

impl Mirror {
    /// The first mirror among apt's sources.
    pub fn of_this_machine() -> Result<Self> {
        if let Some(mirror) = Self::known()? {
            return Ok(mirror);
        }
        // apt may not have read its sources yet.
        println!("Reading Debian's package index");
        quietly(&mut as_root(&["apt-get", "-q", "update"]))?;
        Self::known()?.ok_or_else(|| {
            "no Debian mirror with a component main among apt's sources: add one, for what the tests run".into()
        })
    }

    fn known() -> Result<Option<Self>> {
        let format = "$(SITE) $(CODENAME) $(ORIGIN)|$(LABEL)|$(COMPONENT)";
        let targets =
            output(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]));
        Ok(targets?.lines().find_map(Self::of_target))
    }

    /// Parses a line of `apt-get indextargets`; `None` if it is for no release.
    fn of_target(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix(" Debian|Debian|main")?.split(' ');
        let (address, codename, None) = (words.next()?, words.next()?, words.next()) else { return None };
        // A release's other suites (updates, backports) have code names with a hyphen.
        let release = !codename.is_empty() && codename.bytes().all(|byte| byte.is_ascii_lowercase());
        release.then(|| Mirror { address: address.into(), codename: codename.into() })
    }
}

/// A command that runs as root.
fn as_root(words: &[&str]) -> Command {
    let words = if geteuid().is_root() { words.to_vec() } else { [&["sudo", "--"], words].concat() };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// Debian's name of this machine's architecture.
pub fn host_architecture() -> Result<String> {
    Ok(output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

/// The packages of one release for some architectures, or its source packages. The system's apt and dpkg are not changed.
#[derive(Debug)]
pub struct Index {
    directory: PathBuf,
    architectures: Vec<String>,
}

impl Index {
    /// Reads a new index into `directory`, which must be absolute (apt takes a relative path as one
    /// below its own directories) and must not exist yet. Without architectures it is one of source
    /// packages.
    ///
    /// While a mirror is updated, it or a cache before it may have files of two times, which apt
    /// refuses. Those below the release's other name (`stable` for `trixie`) may all be of one time;
    /// then they are used.
    pub fn read(mirror: &Mirror, release: &str, architectures: &[&str], directory: PathBuf) -> Result<Self> {
        let index = Index { directory, architectures: architectures.iter().copied().map(str::to_owned).collect() };
        for part in ["lists", "cache/archives"] {
            fs::create_dir_all(index.directory.join(part).join("partial"))?;
        }
        let signed_by = Path::new(KEYRING).exists().then(|| format!("signed-by={KEYRING}"));
        let update = |name: &str| {
            let line = source(mirror, name, architectures, signed_by.as_deref());
            fs::write(index.directory.join("sources.list"), line)?;
            logged(index.apt().arg("update"))
        };
        let first = update(release)?;
        if first.0.success() {
            return Ok(index);
        }
        // Not verified: it only names another release, and apt verifies that one's file.
        let unverified = index.release_file("lists/partial").unwrap_or_default();
        if let Some(name) = other_name(&unverified, release) {
            let (second, _) = update(name)?;
            let verified = index.release_file("lists").unwrap_or_default();
            if second.success() && field_of(&verified, "Codename") == Some(release) {
                let date = field_of(&verified, "Date").unwrap_or("an unknown date");
                println!("apt refuses the mirror's files of {release}: using those of {name}, of {date}");
                return Ok(index);
            }
        }
        judged(&index.apt(), first)?;
        Ok(index)
    }

    /// The text of the release's file `InRelease` or `Release` in `directory`, if it is there. apt moves
    /// it from `lists/partial` to `lists` when all indexes have been fetched.
    fn release_file(&self, directory: &str) -> Result<String> {
        let files = with_ending(&self.directory.join(directory), "Release")?;
        Ok(files.iter().map(fs::read_to_string).collect::<io::Result<_>>()?)
    }

    /// An apt command that uses only this index.
    fn apt(&self) -> Command {
        let mut apt = Command::new("apt-get");
        apt.current_dir(&self.directory).arg("-q");
        let mut set = |option: &str, value: &Path| {
            apt.arg("-o").arg(format!("{option}={}", value.display()));
        };
        for architecture in &self.architectures {
            set("APT::Architectures::", Path::new(architecture));
        }
        // apt's user _apt may not be able to write to this directory.
        set("APT::Sandbox::User", Path::new("root"));
        set("Debug::NoLocking", Path::new("1"));
        set("Dir::State", &self.directory);
        set("Dir::State::status", Path::new("/dev/null"));
        set("Dir::State::lists", &self.directory.join("lists"));
        set("Dir::Cache", &self.directory.join("cache"));
        set("Dir::Etc::sourcelist", &self.directory.join("sources.list"));
        set("Dir::Etc::sourceparts", Path::new("/dev/null"));
        apt
    }

    /// The architectures that the release has.
    pub fn offered(&self) -> Result<Vec<String>> {
        // apt has checked its signature.
        let release = self.release_file("lists")?;
        let all = field_of(&release, "Architectures").unwrap_or_default();
        Ok(all.split_whitespace().map(str::to_owned).collect())
    }

    /// Fetches a package, for some of the architectures.
    pub fn download(&self, package: &str, architectures: &[&str]) -> Result<Vec<PathBuf>> {
        if architectures.is_empty() {
            return Ok(Vec::new());
        }
        let names = architectures.iter().map(|architecture| format!("{package}:{architecture}"));
        quietly(self.apt().arg("download").args(names))?;
        Ok(with_ending(&self.directory, ".deb")?.into_iter().filter(|file| is_of(file, package)).collect())
    }

    /// Fetches the files of a source package: the description (.dsc), and the archives that it lists.
    pub fn download_source(&self, package: &str) -> Result<Vec<PathBuf>> {
        quietly(self.apt().args(["--download-only", "source", package]))?;
        Ok(with_ending(&self.directory, "")?.into_iter().filter(|file| is_of(file, package)).collect())
    }

    /// Fetches packages and everything that they need, as on a machine where nothing is installed.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let [architecture] = &self.architectures[..] else {
            return Err(format!("one architecture at a time, not {}", self.architectures.join(" ")).into());
        };
        let install = ["-y", "--no-install-recommends", "--download-only", "install"];
        quietly(self.apt().arg("-o").arg(format!("APT::Architecture={architecture}")).args(install).args(packages))?;
        with_ending(&self.directory.join("cache/archives"), ".deb")
    }
}

/// The line of sources.list(5) for some architectures, or for source packages.
fn source(mirror: &Mirror, release: &str, architectures: &[&str], signed_by: Option<&str>) -> String {
    let (kind, options) = match architectures {
        [] => ("deb-src", vec!["target=Sources".to_owned()]),
        names => ("deb", vec![format!("arch={}", names.join(",")), "target=Packages".into(), "lang=none".into()]),
    };
    let options: Vec<String> = options.into_iter().chain(signed_by.map(str::to_owned)).collect();
    format!("{kind} [{}] {} {release} main\n", options.join(" "), mirror.address)
}

/// A field of a release's file `InRelease`.
fn field_of<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim()))
}

/// The name other than `release` that the file `InRelease` gives: `stable` for `trixie`.
fn other_name<'a>(text: &'a str, release: &str) -> Option<&'a str> {
    let word = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    field_of(text, "Suite").filter(|name| word(name) && *name != release)
}

/// Whether apt names a file of this package `file`.
fn is_of(file: &Path, package: &str) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(package).is_some_and(|rest| rest.starts_with('_'))
}

/// A field of a package that has been fetched.
pub fn field(package: &Path, name: &str) -> Result<String> {
    Ok(output(Command::new("dpkg-deb").arg("--field").args([package, Path::new(name)]))?.trim().to_owned())
}

/// Unpacks a package alone into `directory`.
pub fn extract(package: &Path, directory: &Path) -> Result<()> {
    quietly(Command::new("dpkg-deb").arg("--extract").args([package, directory]))
}

/// Unpacks packages into the new directory `directory`, as a root directory.
fn make_root(packages: &[PathBuf], directory: &Path) -> Result<()> {
    for part in ["tmp", "proc", "dev"] {
        fs::create_dir_all(directory.join(part))?;
    }
    // For packages that do not contain the merged /usr.
    for part in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(directory.join("usr").join(part))?;
        symlink(Path::new("usr").join(part), directory.join(part))?;
    }
    for package in packages {
        let archive = directory.with_extension("tar");
        let mut read = Command::new("dpkg-deb");
        let status = status(read.arg("--fsys-tarfile").arg(package).stdout(File::create(&archive)?))?;
        succeeded(&read, status)?;
        let mut tar = Command::new("tar");
        quietly(tar.args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C"]).args([
            directory,
            Path::new("-f"),
            &archive,
        ]))?;
    }
    Ok(())
}

/// Makes a root directory at `place` from some packages and everything that they need. It appears
/// when it is complete.
pub fn unpack(mirror: &Mirror, release: &str, architecture: &str, packages: &[&str], place: &Path) -> Result<()> {
    let work = work_in(place.parent().unwrap_or(place))?;
    let index = Index::read(mirror, release, &[architecture], work.path().join("index"))?;
    let tree = work.path().join("tree");
    make_root(&index.download_with_dependencies(packages)?, &tree)?;
    put(&tree, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_a_release() {
        let found = |lines: &str| lines.lines().find_map(Mirror::of_target);
        let lines = "\
            http://security bookworm-security Debian|Debian-Security|main\n\
            http://deb bookworm-updates Debian|Debian|main\n\
            http://other stable Other|Debian|main\n\
            http://deb  Debian|Debian|main\n\
            http://deb bookworm Debian|Debian|contrib\n";
        assert_eq!(found(lines), None);
        let expected = Mirror { address: "http://deb".into(), codename: "trixie".into() };
        assert_eq!(found(&format!("{lines}http://deb trixie Debian|Debian|main")), Some(expected));
    }

    #[test]
    fn a_release_has_fields() {
        let release = "Origin: Debian\nArchitectures: all amd64 arm64\nComponents: main\n";
        assert_eq!(field_of(release, "Architectures"), Some("all amd64 arm64"));
        assert_eq!(field_of("Origin: Debian\n", "Architectures"), None);
        assert_eq!(field_of(release, "Arch"), None);
    }

    #[test]
    fn a_release_has_another_name() {
        let text = "Suite: stable\nCodename: trixie\n";
        assert_eq!(other_name(text, "trixie"), Some("stable"));
        assert_eq!(other_name(text, "stable"), None);
        assert_eq!(other_name("Codename: trixie\n", "trixie"), None);
        assert_eq!(other_name("Suite: stable main http://other\n", "trixie"), None);
    }

    #[test]
    fn packages_have_architectures_and_sources_have_none() {
        let mirror = Mirror { address: "http://deb".into(), codename: "bookworm".into() };
        let line = |architectures: &[&str], key: Option<&str>| source(&mirror, "trixie", architectures, key);
        let expected = "deb [arch=amd64,arm64 target=Packages lang=none] http://deb trixie main\n";
        assert_eq!(line(&["amd64", "arm64"], None), expected);
        assert_eq!(line(&[], Some("key")), "deb-src [target=Sources key] http://deb trixie main\n");
    }

    #[test]
    fn packages_are_known_by_their_files() {
        let is = |file: &str| is_of(Path::new(file), "qemu-user");
        assert!(is("/a/qemu-user_1%3a10.0.2_amd64.deb"));
        assert!(!is("/a/qemu-user-static_7.2_amd64.deb") && !is("/a/qemu"));
        assert!(is_of(Path::new("/a/qemu_10.0.2+ds.orig.tar.xz"), "qemu"));
    }
}
