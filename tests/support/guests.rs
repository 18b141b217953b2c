//! The foreign programs: Debian's busybox-static, unchanged, which ci/setup fetches.

use std::path::PathBuf;

use super::{Need, Registry};

/// Debian's names of the architectures, and the output of `uname -m` there.
const ARCHITECTURES: [(&str, &str); 9] = [
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("armhf", "armv7l"),
    ("armel", "armv7l"),
    ("mips64el", "mips64"),
    ("mipsel", "mips"),
    ("ppc64el", "ppc64le"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
];

/// Debian's names of the architectures whose programs run on a disposable machine. That is a
/// virtual machine where each start takes long. They are 64-bit, 32-bit and big-endian.
#[cfg(target_arch = "x86_64")]
const FEW: [&str; 3] = ["arm64", "armhf", "s390x"];
/// An aarch64 host may run 32-bit Arm programs by itself.
#[cfg(target_arch = "aarch64")]
const FEW: [&str; 4] = ["riscv64", "amd64", "mipsel", "s390x"];
/// The same for RISC-V.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FEW: [&str; 4] = ["arm64", "amd64", "armhf", "s390x"];

/// A foreign program.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Debian's name of its architecture.
    pub debian: &'static str,
    /// Its output of `uname -m`.
    pub machine: &'static str,
    /// The file.
    pub busybox: PathBuf,
}

/// The directory of `<architecture>/bin/busybox`.
pub fn directory() -> PathBuf {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/target/guests");
    std::env::var_os("BINFMT_DISPATCH_GUESTS").unwrap_or_else(|| fallback.into()).into()
}

/// All foreign programs.
#[track_caller]
pub fn guests() -> Vec<Guest> {
    Need::Guests.is_stated();
    present()
}

/// The foreign program for the architecture that Debian calls `debian`.
#[track_caller]
pub fn guest(debian: &str) -> Guest {
    guests().into_iter().find(|guest| guest.debian == debian).expect("an architecture of the list")
}

/// The foreign programs that exist.
pub fn present() -> Vec<Guest> {
    let here = directory();
    let guest = |(debian, machine)| Guest { debian, machine, busybox: here.join(debian).join("bin/busybox") };
    let all = Registry::of_tests() == Registry::Private;
    let here = |guest: &Guest| (all || FEW.contains(&guest.debian)) && guest.busybox.is_file();
    foreign().map(guest).filter(here).collect()
}

/// The architectures but the host's.
pub fn foreign() -> impl Iterator<Item = (&'static str, &'static str)> {
    ARCHITECTURES.into_iter().filter(|(_, machine)| *machine != std::env::consts::ARCH)
}

/// The path of a foreign program that is missing: ci/setup fetches all of them, or fails.
pub fn missing() -> Option<PathBuf> {
    let all = Registry::of_tests() == Registry::Private;
    let wanted = foreign().filter(|(debian, _)| all || FEW.contains(debian));
    wanted.map(|(debian, _)| directory().join(debian).join("bin/busybox")).find(|busybox| !busybox.is_file())
}

/// The lines that `text` gives for each foreign program.
#[track_caller]
pub fn for_each(text: impl Fn(&Guest) -> String) -> String {
    guests().iter().map(text).collect()
}
