//! The emulators of two Debian releases, which ci/setup fetches: what differs from one to the other shows.

use std::path::{Path, PathBuf};

/// A Debian release whose static QEMU is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Release {
    /// Debian 12: QEMU 7.2.
    Bookworm,
    /// Debian 13: QEMU 10.0.
    Trixie,
}

impl Release {
    /// All of them.
    pub const ALL: [Release; 2] = [Release::Bookworm, Release::Trixie];

    /// Its code name.
    pub const fn name(self) -> &'static str {
        match self {
            Release::Bookworm => "bookworm",
            Release::Trixie => "trixie",
        }
    }

    /// The version of its QEMU.
    pub const fn version(self) -> &'static str {
        match self {
            Release::Bookworm => "7.2",
            Release::Trixie => "10.0",
        }
    }

    /// The QEMU for what QEMU calls `cpu`.
    pub fn qemu(self, cpu: &str) -> PathBuf {
        let suffix = match self {
            Release::Bookworm => "-static",
            Release::Trixie => "",
        };
        directory().join(self.name()).join("usr/bin").join(format!("qemu-{cpu}{suffix}"))
    }
}

/// The directory of `<release>/usr/bin/qemu-*`.
fn directory() -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/emulators");
    std::env::var_os("BINFMT_DISPATCH_EMULATORS").map_or(fallback, PathBuf::from)
}
