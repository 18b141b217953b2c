//! Versions of Linux: of the running kernel, and of those that are installed.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use rustix::system::uname;

/// The release of the running kernel, as `uname -r` prints it.
pub fn release() -> Option<String> {
    uname().release().to_str().ok().map(str::to_owned)
}

/// The first two numbers of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32);

impl Version {
    /// The first version with a `binfmt_misc` for each user namespace.
    pub const PRIVATE_REGISTRIES: Version = Version(6, 7);
    /// The first version with flag T of `binfmt_misc`.
    pub const TRANSPARENT: Version = Version(7, 3);

    /// Reads a version or a release (`uname -r`), as in 6.12, 7.3-rc7 or 6.1.0-18-amd64.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let number = |digits: &str| if digits.starts_with('+') { None } else { digits.parse().ok() };
        Some(Version(number(major)?, number(&rest[..end])?))
    }

    /// That of the running kernel.
    pub fn running() -> Option<Self> {
        Self::parse(&release()?)
    }

    /// Those of all kernels with modules below `root`; 0.0 where the name of their directory tells
    /// none.
    pub fn installed(root: &Path) -> Vec<Self> {
        let directories = fs::read_dir(root.join("lib/modules")).into_iter().flatten().flatten();
        // A removed kernel may leave its directory.
        let kernels = directories.filter(|directory| directory.path().join("modules.builtin").exists());
        // A name that tells no version may be that of any.
        let version = |name: &OsStr| name.to_str().and_then(Self::parse).unwrap_or(Version(0, 0));
        kernels.map(|directory| version(&directory.file_name())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        for (text, version) in [
            ("7.3", Some(Version(7, 3))),
            ("7.3-rc7", Some(Version(7, 3))),
            ("7.10.2-cloud-amd64", Some(Version(7, 10))),
            ("6.12+deb13-amd64", Some(Version(6, 12))),
            ("6.18.44-fc", Some(Version(6, 18))),
            ("6.1-rc1", Some(Version(6, 1))),
            ("next", None),
            ("7", None),
            ("7.", None),
            (".3", None),
            ("+7.3", None),
            ("v7.3", None),
            ("trixie", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(text), version, "{text}");
        }
        assert!(Version(6, 12) < Version::TRANSPARENT && Version(7, 10) > Version::TRANSPARENT);
        assert!(Version::parse("6.18.1") > Some(Version::PRIVATE_REGISTRIES));
        assert!(Version::parse("6.6.99") < Some(Version::PRIVATE_REGISTRIES));
        assert!(Version::running().is_some());
    }

    #[test]
    fn installed_kernels_are_those_with_modules() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Version::installed(root.path()), []);
        for (name, file) in
            [("6.12.1-amd64", "modules.builtin"), ("7.3-amd64", "modules.dep"), ("odd", "modules.builtin")]
        {
            let directory = root.path().join("lib/modules").join(name);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), "").unwrap();
        }
        let mut installed = Version::installed(root.path());
        installed.sort_unstable();
        assert_eq!(installed, [Version(0, 0), Version(6, 12)]);
    }
}
