//! Other hosts: the command that is built for them, and some emulators that run on them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::prelinked::bases;
use super::{Foreign, Need, Release, artefact};

/// A host CPU that the command is built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Programs for it.
    pub programs: Foreign,
    /// Its target in Rust.
    target: &'static str,
    /// The largest page size of its kernels, in bytes.
    pub page: u64,
    /// Where emulators in an image with a seed are prelinked for.
    pub bases: Range<u64>,
    /// The type of its relative relocations (`elf.h`).
    pub relative: u32,
}

/// The file names of the emulators that ci/setup fetches for each host.
const EMULATORS: [&str; 3] = ["qemu-arm", "qemu-s390x", "qemu-x86_64"];

impl Host {
    /// All other hosts.
    pub fn all() -> [Host; 2] {
        [
            Host {
                programs: Foreign::Aarch64,
                target: "aarch64-unknown-linux-gnu",
                page: 0x1_0000,
                bases: bases(true),
                relative: 1027,
            },
            Host {
                programs: Foreign::Riscv64,
                target: "riscv64gc-unknown-linux-gnu",
                page: 0x1000,
                bases: bases(false),
                relative: 3,
            },
        ]
    }

    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        self.programs.name()
    }

    /// The directory of its emulators.
    #[track_caller]
    pub fn emulators(&self) -> PathBuf {
        Need::Hosts.is_stated();
        directory(self.programs)
    }

    /// The command that is built for it, once in each test process.
    #[track_caller]
    pub fn command(&self) -> PathBuf {
        Need::Hosts.is_stated();
        artefact(&format!("command-{}", self.name()), |path| {
            let mut build = Command::new("ci/cross");
            build.args([self.name(), "build", "--release"]).current_dir(env!("CARGO_MANIFEST_DIR"));
            // Variables that cargo has set for this process would change how that one builds.
            let own = |name: &str| name.starts_with("CARGO_") && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR";
            for (name, _) in std::env::vars().filter(|(name, _)| own(name)) {
                build.env_remove(name);
            }
            let done = build.output().unwrap();
            assert!(done.status.success(), "{build:?}\n{}", String::from_utf8_lossy(&done.stderr));
            let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
            let built =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(built).join(self.target).join("release/binfmt-dispatch");
            std::fs::copy(built, path).unwrap();
        })
    }

    /// QEMU, which runs programs of this host here.
    #[track_caller]
    pub fn qemu(&self) -> PathBuf {
        Need::BothQemus.is_stated();
        Release::Trixie.path(self.name())
    }
}

fn directory(programs: Foreign) -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hosts");
    let directory = std::env::var_os("BINFMT_DISPATCH_HOSTS").map_or(fallback, PathBuf::from);
    directory.join(programs.debian()).join("usr/bin")
}

/// A file that is missing.
pub fn missing() -> Option<PathBuf> {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/toolchain");
    let toolchain = std::env::var_os("BINFMT_DISPATCH_TOOLCHAIN").map_or(fallback, PathBuf::from);
    let emulators = Host::all().map(|host| EMULATORS.map(|name| directory(host.programs).join(name)));
    let mut paths = emulators.into_iter().flatten().chain([toolchain.join("usr/bin/rustc")]);
    paths.find(|path| !path.is_file())
}
