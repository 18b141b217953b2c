//! The needs of a test, beyond a kernel and a shell. If one is missing, the test is skipped with a
//! message. With `BINFMT_DISPATCH_TESTS_MUST_RUN=1`, as in CI, that is a failure.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use dispatch_table::ArchTable;

use super::registry::no_own_registry;
use super::{Foreign, Registry, Release, consumers, guests, hosts, kernel_since, packages, prelinked};

/// The program that registers the snippets of binfmt.d at boot.
const SYSTEMD_BINFMT: &str = "/usr/lib/systemd/systemd-binfmt";

/// Where the snippets of Debian's QEMU are: those of Debian 12's package qemu-user-static, and those
/// of Debian 13's qemu-user, to which links in the package qemu-user-binfmt lead.
const SNIPPETS: [&str; 2] = ["/usr/lib/binfmt.d", "/usr/share/qemu/binfmt.d"];

/// Words that may occur in scripts, and the needs of a script that contains them.
const IN_SCRIPTS: [(&str, Need); 12] = [
    ("$GUESTS", Need::Guests),
    ("$ARCHITECTURES", Need::Guests),
    ("cp /usr/bin/qemu-", Need::Qemu),
    ("strace -", Need::Strace),
    ("setcap ", Need::Capabilities),
    (SYSTEMD_BINFMT, Need::Systemd),
    ("$CALL", Need::Compiler),
    ("$CONSUMERS", Need::Consumers),
    ("subuid", Need::Uidmap),
    ("-- buildah ", Need::Buildah),
    ("-- mmdebstrap ", Need::Mmdebstrap),
    ("podman build ", Need::Podman),
];

/// A need: something that `ci/setup` installs, or that the machine must allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A user namespace with its own `binfmt_misc`, or the registry of a disposable machine.
    Namespace,
    /// A disposable machine: the test changes a state that all programs of the machine share.
    Disposable,
    /// Linux of this version, or newer.
    Kernel(u32, u32),
    /// Addresses as most machines with this CPU have them, for which emulators are prelinked.
    Prelinked,
    /// Flag T of `binfmt_misc`, which Linux knows since 7.3.
    Transparent,
    /// Many ids in the namespace, which takes root.
    Root,
    /// The foreign programs.
    Guests,
    /// QEMU for all of them.
    Qemu,
    /// The snippets of binfmt.d that the package of the installed QEMU has.
    Snippets,
    /// QEMU of every [`Release`], whatever is installed.
    BothQemus,
    /// A C compiler for each [`Foreign`] architecture, with a static libc.
    CrossCompilers,
    /// `ThreadSanitizer` for aarch64 and riscv64.
    Sanitizer,
    /// A C compiler with a static libc.
    Compiler,
    /// strace.
    Strace,
    /// man and lexgrog.
    Man,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// setcap.
    Capabilities,
    /// newuidmap and newgidmap.
    Uidmap,
    /// buildah.
    Buildah,
    /// mmdebstrap.
    Mmdebstrap,
    /// podman, and crun.
    Podman,
    /// Debian's packages for root directories of containers.
    Packages,
    /// systemd-binfmt.
    Systemd,
    /// A toolchain for other hosts, and emulators for them.
    Hosts,
    /// What else registers entries: the programs of binfmt-support and of OpenRC.
    Consumers,
    /// dpkg and dpkg-query.
    Dpkg,
    /// rpm and rpmbuild.
    Rpm,
}

/// `need!(Namespace, Guests);` is the first line of a test. If one of these is missing, the test
/// ends there, and prints that it was skipped.
macro_rules! need {
    ($($need:ident $(($($value:expr),+))?),+ $(,)?) => {
        fn here() {}
        let needs = [$($crate::support::Need::$need $(($($value),+))?),+];
        if !$crate::support::have(std::any::type_name_of_val(&here), &needs) {
            return;
        }
    };
}
pub(crate) use need;

thread_local! {
    /// The needs that the test in this thread has stated.
    static STATED: Cell<&'static [Need]> = const { Cell::new(&[]) };
}

/// Whether this machine has everything in `needs`, for [`need`]. `place` is the path of an item in
/// the test.
///
/// # Panics
/// Something is missing, and tests must run; or `place` is no test, because only a whole test can
/// be skipped.
#[track_caller]
pub fn have(place: &str, needs: &[Need]) -> bool {
    let test = place.split_once("::").map_or(place, |(_crate, path)| path).trim_end_matches("::here");
    // With --test-threads=1 all of them run in the thread `main`.
    let thread = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(thread == test || thread == "main", "need! belongs into the test {thread} itself, and not into {test}");
    STATED.set(needs.to_vec().leak());
    let Some((need, missing)) = needs.iter().find_map(|need| Some((need, need.missing()?))) else { return true };
    let must_run = std::env::var_os("BINFMT_DISPATCH_TESTS_MUST_RUN").is_some_and(|value| value == "1");
    assert!(!must_run || need.depends_on_the_machine(), "{missing}");
    // This bypasses libtest, which hides the output of passing tests.
    let _ = writeln!(io::stdout(), "skipped: {test}: {missing}");
    false
}

impl Need {
    /// Asserts that the test has stated this need. Every helper that has needs calls this, so that
    /// a test without the statement fails on every machine.
    #[track_caller]
    pub fn is_stated(self) {
        assert!(STATED.get().contains(&self), "the test relies on {self:?}, and has to say need!({self:?})");
    }

    /// Whether this machine has it.
    pub fn is_met(self) -> bool {
        self.missing().is_none()
    }

    /// Asserts the same for the programs that a script calls.
    #[track_caller]
    pub fn are_stated_for(script: &str) {
        for (word, need) in IN_SCRIPTS {
            if script.contains(word) {
                need.is_stated();
            }
        }
    }

    /// Whether the need is for another machine, so that nothing can be installed for it.
    fn depends_on_the_machine(self) -> bool {
        match self {
            Need::Disposable => Registry::of_tests() == Registry::Private,
            Need::Kernel(..) | Need::Prelinked => Registry::of_tests() == Registry::Own,
            // The toolchain is made of programs for x86_64.
            Need::Hosts => cfg!(not(target_arch = "x86_64")),
            Need::Transparent => true,
            _ => false,
        }
    }

    fn missing(self) -> Option<String> {
        match self {
            Need::Namespace => {
                static PROBLEM: OnceLock<Option<String>> = OnceLock::new();
                PROBLEM.get_or_init(no_namespace).clone()
            }
            Need::Disposable => {
                let disposable = Registry::of_tests() == Registry::Own;
                (!disposable).then(|| "needs a machine that is disposable: run ci/hosts".into())
            }
            Need::Kernel(major, minor) => (!kernel_since(major, minor)).then(|| format!("needs Linux {major}.{minor}")),
            Need::Prelinked => (!prelinked::is_in_reach())
                .then(|| "needs addresses as most machines with this CPU have them: run it on such a kernel".into()),
            Need::Transparent => (!kernel_since(7, 3)).then(|| "needs Linux 7.3, for flag T".into()),
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
                let guest = guests::present().into_iter().find(|guest| absent(guest.debian))?;
                Some(format!("no QEMU for {}: run ci/setup, which installs qemu-user-static", guest.debian))
            }
            Need::Snippets => {
                let there = SNIPPETS.iter().any(|path| Path::new(path).join("qemu-aarch64.conf").is_file());
                (!there)
                    .then(|| "no snippets of QEMU: run ci/setup, which installs qemu-user-static or qemu-user".into())
            }
            Need::BothQemus => {
                let all = Release::ALL.into_iter().flat_map(|release| Foreign::ALL.map(|foreign| (release, foreign)));
                let mut paths = all.map(|(release, foreign)| release.path(foreign.name()));
                let path = paths.find(|path| !path.is_file())?;
                Some(format!("no {}: run ci/setup, which fetches it, or set BINFMT_DISPATCH_EMULATORS", path.display()))
            }
            // A disposable machine has what they build.
            Need::CrossCompilers | Need::Compiler if Registry::of_tests() == Registry::Own => None,
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
            Need::Uidmap => {
                let there = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"].iter().all(|path| Path::new(path).is_file());
                (!there).then(|| "no newuidmap: run ci/setup, which installs uidmap".into())
            }
            Need::Buildah => no_command("buildah", "--version", "buildah"),
            Need::Mmdebstrap => no_command("mmdebstrap", "--version", "mmdebstrap"),
            Need::Podman => no_command("podman", "--version", "crun and podman"),
            Need::Packages => {
                let path = packages::missing()?;
                Some(format!("no {}: run ci/setup, which fetches it, or set BINFMT_DISPATCH_PACKAGES", path.display()))
            }
            Need::Systemd => {
                let there = Path::new(SYSTEMD_BINFMT).is_file();
                (!there).then(|| format!("no {SYSTEMD_BINFMT}: run ci/setup, which installs systemd"))
            }
            Need::Consumers => {
                let missing = [consumers::UPDATE_BINFMTS, consumers::OPENRC].map(consumers::path);
                let path = missing.into_iter().find(|path| !path.is_file())?;
                Some(format!("no {}: run ci/setup, which fetches it, or set BINFMT_DISPATCH_CONSUMERS", path.display()))
            }
            Need::Hosts if self.depends_on_the_machine() => Some("needs an x86_64 machine".into()),
            Need::Hosts => {
                let path = hosts::missing()?;
                Some(format!("no {}: run ci/test, which fetches it, or set BINFMT_DISPATCH_HOSTS", path.display()))
            }
            Need::Strace => no_command("strace", "--version", "strace"),
            Need::Man => no_command("lexgrog", "--version", "man-db"),
            Need::Zsh => no_command("zsh", "--version", "zsh"),
            Need::Fish => no_command("fish", "--version", "fish"),
            Need::Dpkg => no_command("dpkg-query", "--version", "dpkg"),
            Need::Rpm => no_command("rpmbuild", "--version", "rpm"),
        }
    }
}

fn no_command(name: &str, question: &str, package: &str) -> Option<String> {
    let there = Command::new(name).arg(question).output().is_ok_and(|output| output.status.success());
    (!there).then(|| format!("no {name}: run ci/setup, which installs {package}"))
}

fn no_namespace() -> Option<String> {
    if Registry::of_tests() == Registry::Own {
        return no_own_registry();
    }
    let mount = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc";
    let output = Command::new("unshare").args(["-Urm", "sh", "-c", mount]).output();
    let problem = match output {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!("no binfmt_misc in a user namespace ({problem}): needs Linux 6.7 with binfmt_misc loaded"))
}
