//! Debian's packages for root directories of containers, which ci/setup fetches.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Need, guests};

/// Platforms of containers, and Debian's names of the architectures.
const PLATFORMS: [(&str, &str); 6] = [
    ("linux/amd64", "amd64"),
    ("linux/arm64", "arm64"),
    ("linux/arm/v7", "armhf"),
    ("linux/ppc64le", "ppc64el"),
    ("linux/riscv64", "riscv64"),
    ("linux/s390x", "s390x"),
];

/// A foreign platform of containers that there are packages for.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Its name: `linux/arm/v7`.
    pub name: &'static str,
    /// Debian's name of the architecture.
    pub debian: &'static str,
    /// The output of `uname -m`.
    pub machine: &'static str,
}

/// All of them.
#[track_caller]
pub fn platforms() -> Vec<Platform> {
    Need::Packages.is_stated();
    foreign().collect()
}

fn foreign() -> impl Iterator<Item = Platform> {
    let machine = |debian: &str| guests::foreign().find_map(|(name, machine)| (name == debian).then_some(machine));
    PLATFORMS.into_iter().filter_map(move |(name, debian)| Some(Platform { name, debian, machine: machine(debian)? }))
}

impl Platform {
    /// The name without the operating system, as one word: `armv7`.
    pub fn word(&self) -> String {
        self.name.trim_start_matches("linux/").replace('/', "")
    }

    /// The files of its packages.
    pub fn packages(&self) -> Vec<PathBuf> {
        let found = std::fs::read_dir(directory(self.debian)).into_iter().flatten().flatten();
        found.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "deb")).collect()
    }
}

/// The paragraph about a package in the file Packages of an archive, in whose directory it is.
pub fn paragraph(package: &Path) -> String {
    let output = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let fields = output(Command::new("dpkg-deb").arg("--field").arg(package));
    let sum = output(Command::new("sha256sum").arg(package));
    let sum = sum.split(' ').next().unwrap();
    let (name, size) = (package.file_name().unwrap().to_str().unwrap(), package.metadata().unwrap().len());
    format!("{fields}Filename: ./{name}\nSize: {size}\nSHA256: {sum}\n\n")
}

/// A directory that is missing.
pub fn missing() -> Option<PathBuf> {
    foreign().map(|platform| directory(platform.debian)).find(|directory| !directory.is_dir())
}

fn directory(architecture: &str) -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages");
    std::env::var_os("BINFMT_DISPATCH_PACKAGES").map_or(fallback, PathBuf::from).join(architecture)
}
