//! Foreign programs that are built for the tests, with Debian's cross compilers.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Need;
use super::emulators::{artefact, compile};

/// An architecture that programs are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// 64-bit, little-endian.
    Aarch64,
    /// 32-bit, little-endian.
    Arm,
    /// 64-bit, big-endian.
    S390x,
    /// 64-bit, little-endian. The table has a CPU model for it, as for the first.
    Riscv64,
    /// 64-bit, little-endian. On most machines that the tests run on, it is the host.
    X86_64,
}

/// The name of [`Foreign::USUAL`], which is also its name in the table, and that of its machine in
/// `uname -m`.
pub const FOREIGN: &str = Foreign::USUAL.name();

impl Foreign {
    /// All these architectures that the host does not run by itself.
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    pub const ALL: [Foreign; 4] = [Foreign::Aarch64, Foreign::Arm, Foreign::S390x, Foreign::Riscv64];
    /// An aarch64 host may run 32-bit programs by itself.
    #[cfg(target_arch = "aarch64")]
    pub const ALL: [Foreign; 3] = [Foreign::Riscv64, Foreign::X86_64, Foreign::S390x];
    /// The same for RISC-V.
    #[cfg(target_arch = "riscv64")]
    pub const ALL: [Foreign; 4] = [Foreign::Aarch64, Foreign::Arm, Foreign::S390x, Foreign::X86_64];

    /// One of them: 64-bit, little-endian, and with a CPU model in the table.
    pub const USUAL: Foreign = Foreign::ALL[0];

    /// QEMU's name of the architecture.
    pub const fn name(self) -> &'static str {
        match self {
            Foreign::Aarch64 => "aarch64",
            Foreign::Arm => "arm",
            Foreign::S390x => "s390x",
            Foreign::Riscv64 => "riscv64",
            Foreign::X86_64 => "x86_64",
        }
    }

    /// Debian's name of the architecture.
    pub const fn debian(self) -> &'static str {
        match self {
            Foreign::Aarch64 => "arm64",
            Foreign::Arm => "armhf",
            Foreign::S390x => "s390x",
            Foreign::Riscv64 => "riscv64",
            Foreign::X86_64 => "amd64",
        }
    }

    const fn compiler(self) -> &'static str {
        match self {
            Foreign::Aarch64 => "aarch64-linux-gnu-gcc",
            Foreign::Arm => "arm-linux-gnueabihf-gcc",
            Foreign::S390x => "s390x-linux-gnu-gcc",
            Foreign::Riscv64 => "riscv64-linux-gnu-gcc",
            Foreign::X86_64 => "x86_64-linux-gnu-gcc",
        }
    }

    /// A static program built from the C file `source` (a path in the repository), once in each
    /// test process.
    #[track_caller]
    pub fn build(self, source: &str) -> PathBuf {
        let name = source.trim_end_matches(".c").replace('/', "-");
        self.build_as(&name, source, &["-static", "-pthread"])
    }

    /// The same with other options, called `name`.
    #[track_caller]
    pub fn build_as(self, name: &str, source: &str, options: &[&str]) -> PathBuf {
        Need::CrossCompilers.is_stated();
        artefact(&format!("{name}-{}", self.name()), |path| compile(self.compiler(), source, options, path))
    }

    /// A root directory with the library of `ThreadSanitizer` and its dependencies, which ci/setup
    /// fetches for some architectures.
    pub fn sanitizer(self) -> PathBuf {
        let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sanitizer");
        let directory = std::env::var_os("BINFMT_DISPATCH_SANITIZER").map_or(fallback, PathBuf::from);
        directory.join(self.debian())
    }

    /// The path of that library.
    pub fn thread_sanitizer(self) -> PathBuf {
        self.sanitizer().join(format!("usr/lib/{}-linux-gnu/libtsan.so.2", self.name()))
    }

    /// An architecture whose compiler is missing.
    pub fn without_compiler() -> Option<Foreign> {
        let works =
            |command: &str| Command::new(command).arg("--version").output().is_ok_and(|out| out.status.success());
        Foreign::ALL.into_iter().find(|foreign| !works(foreign.compiler()))
    }
}
