//! What a test needs beyond a kernel and a shell. Where it is missing the test is left out, and says so; with
//! BINFMT_DISPATCH_TESTS_MUST_RUN=1, as in CI, that is a failure.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use dispatch_table::ArchTable;

use super::{Foreign, Release, guests};

/// What registers the snippets of binfmt.d at boot.
const SYSTEMD_BINFMT: &str = "/usr/lib/systemd/systemd-binfmt";

/// Something that `ci/setup` installs or the machine has to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A user namespace with its own binfmt_misc.
    Namespace,
    /// Many ids in it: root.
    Root,
    /// The foreign programs.
    Guests,
    /// QEMU for all of them.
    Qemu,
    /// QEMU of every [`Release`], whatever is installed.
    BothQemus,
    /// A C compiler for each [`Foreign`] architecture, with a static libc.
    CrossCompilers,
    /// ThreadSanitizer for aarch64 and riscv64.
    Sanitizer,
    /// A C compiler with a static libc.
    Compiler,
    /// strace.
    Strace,
    /// setcap.
    Capabilities,
    /// systemd-binfmt.
    Systemd,
}

/// Whether everything in `needs` is here.
///
/// # Panics
/// It is not, and tests must run.
#[track_caller]
pub fn have(needs: &[Need]) -> bool {
    let Some(missing) = needs.iter().find_map(|need| need.missing()) else { return true };
    let must_run = std::env::var_os("BINFMT_DISPATCH_TESTS_MUST_RUN").is_some_and(|value| value == "1");
    assert!(!must_run, "{missing}");
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past libtest, which shows what passing tests print to nobody.
    let _ = writeln!(io::stderr(), "skipped: {name}: {missing}");
    false
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Need::Namespace => {
                static PROBLEM: OnceLock<Option<String>> = OnceLock::new();
                PROBLEM.get_or_init(no_namespace).clone()
            }
            Need::Root => {
                (!nix::unistd::geteuid().is_root()).then(|| "needs root, to map many ids: run ci/test as root".into())
            }
            Need::Guests => {
                let program = guests::missing()?;
                Some(format!("no {}: run ci/setup, which fetches it, or set BINFMT_DISPATCH_GUESTS", program.display()))
            }
            Need::Qemu => {
                let table = ArchTable::builtin();
                let absent = |name: &str| {
                    let architecture = table.find(name).expect("a Debian architecture is an alias");
                    !architecture.emulator_paths().any(|path| Path::new(path).is_file())
                };
                let guest = guests::guests().into_iter().find(|guest| absent(guest.debian))?;
                Some(format!("no QEMU for {}: run ci/setup, which installs qemu-user-static", guest.debian))
            }
            Need::BothQemus => {
                let all = Release::ALL.into_iter().flat_map(|release| Foreign::ALL.map(|foreign| (release, foreign)));
                let mut paths = all.map(|(release, foreign)| release.qemu(foreign.name()));
                let path = paths.find(|path| !path.is_file())?;
                Some(format!("no {}: run ci/setup, which fetches it, or set BINFMT_DISPATCH_EMULATORS", path.display()))
            }
            Need::CrossCompilers => {
                let foreign = Foreign::without_compiler()?;
                Some(format!("no C compiler for {}: run ci/setup, which installs it", foreign.name()))
            }
            Need::Sanitizer => {
                let mut libraries = [Foreign::Aarch64, Foreign::Riscv64].map(Foreign::thread_sanitizer).into_iter();
                let path = libraries.find(|library| !library.is_file())?;
                Some(format!("no {}: run ci/setup, which fetches it, or set BINFMT_DISPATCH_SANITIZER", path.display()))
            }
            Need::Compiler => no_command("gcc", "--version", "gcc and libc6-dev"),
            Need::Capabilities => no_command("setcap", "-h", "libcap2-bin"),
            Need::Systemd => {
                let there = Path::new(SYSTEMD_BINFMT).is_file();
                (!there).then(|| format!("no {SYSTEMD_BINFMT}: run ci/setup, which installs systemd"))
            }
            Need::Strace => no_command("strace", "--version", "strace"),
        }
    }
}

fn no_command(name: &str, question: &str, package: &str) -> Option<String> {
    let there = Command::new(name).arg(question).output().is_ok_and(|output| output.status.success());
    (!there).then(|| format!("no {name}: run ci/setup, which installs {package}"))
}

fn no_namespace() -> Option<String> {
    let mount = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc";
    let output = Command::new("unshare").args(["-Urm", "sh", "-c", mount]).output();
    let problem = match output {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!("no binfmt_misc in a user namespace ({problem}): needs Linux 6.7 with binfmt_misc loaded"))
}
