//! The registry that the tests change. Since Linux 6.7 it is a private one for each user namespace.
//! On older kernels it is that of the whole machine, which must be disposable.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::REGISTRY;

/// The variable that is `own` if the tests may use the machine's own registry.
const VARIABLE: &str = "BINFMT_DISPATCH_TESTS_REGISTRY";
/// The word on the kernel's command line that is also required, so that a mistaken variable cannot
/// empty the registry of a machine in use.
const MARKER: &str = "binfmt_dispatch.disposable";

/// The owner of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// A user namespace. Each script has a new one.
    Private,
    /// The machine. Scripts use its registry one after the other, and find it empty.
    Own,
}

impl Registry {
    /// The registry of this run.
    ///
    /// # Panics
    /// The variable asks for the registry of a machine that is not marked as disposable.
    pub fn of_tests() -> Self {
        static ANSWER: OnceLock<Registry> = OnceLock::new();
        *ANSWER.get_or_init(|| match std::env::var_os(VARIABLE) {
            None => Registry::Private,
            Some(value) => {
                assert!(value == "own", "{VARIABLE} is {value:?}: it has to be `own`, or unset");
                let command_line = fs::read_to_string("/proc/cmdline").expect("/proc is mounted");
                let marked = command_line.split_whitespace().any(|word| word == MARKER);
                assert!(marked, "{VARIABLE}=own is refused: the kernel was not started with {MARKER}");
                Registry::Own
            }
        })
    }

    /// Waits until no other test uses the registry, and empties it. The result keeps other tests
    /// away, and empties the registry when it is dropped.
    pub fn turn(self) -> Option<Turn> {
        static TURN: Mutex<()> = Mutex::new(());
        (self == Registry::Own).then(|| {
            let turn = Turn { _guard: TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) };
            empty();
            turn
        })
    }
}

/// The time limit, in seconds, for something that takes `seconds` at most on other machines:
/// virtual machines without KVM are slow.
pub fn patience(seconds: u32) -> String {
    let times = if Registry::of_tests() == Registry::Own { 10 } else { 1 };
    (seconds * times).to_string()
}

/// The reason why the tests cannot use the machine's own registry, if there is one.
pub fn no_own_registry() -> Option<String> {
    let there = Path::new(REGISTRY).join("register").exists();
    (!there).then(|| format!("no binfmt_misc at {REGISTRY}: mount it"))
}

/// A test's exclusive use of the machine's registry.
#[derive(Debug)]
pub struct Turn {
    _guard: MutexGuard<'static, ()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        empty();
    }
}

/// Turns the registry on, and removes all entries, each by its own file. Writing `-1` to `status`
/// would also remove entries that are registered meanwhile.
fn empty() {
    fs::write(Path::new(REGISTRY).join("status"), "1").expect("the registry can be turned on");
    for file in fs::read_dir(REGISTRY).expect("a registry is mounted") {
        let path = file.expect("it can be listed").path();
        if !path.ends_with("register") && !path.ends_with("status") {
            fs::write(&path, "-1").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

/// Whether the running kernel is `major`.`minor` or newer.
pub fn kernel_since(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// The size of the running kernel's pages, in bytes.
pub fn page() -> usize {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    page.and_then(|page| page.try_into().ok()).expect("every kernel has pages")
}
