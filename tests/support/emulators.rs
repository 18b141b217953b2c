//! Programs that are built for the tests, once for each test process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::{Need, Registry};

/// The way in which the reporting emulator (emulators/report.c) is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Position independent and static, like Debian's emulators.
    Pie,
    /// Static, at addresses of its own.
    Fixed,
    /// Static and position independent, with segments that are aligned to 2 MiB.
    Aligned,
    /// With a dynamic linker.
    Dynamic,
    /// Static, with an executable stack.
    ExecutableStack,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Pie => "report-pie",
            Kind::Fixed => "report-fixed",
            Kind::Aligned => "report-aligned",
            Kind::Dynamic => "report-dynamic",
            Kind::ExecutableStack => "report-execstack",
        }
    }

    const fn options(self) -> &'static [&'static str] {
        match self {
            Kind::Pie => &["-static-pie", "-fPIE"],
            Kind::Fixed => &["-static", "-no-pie", "-fno-pie"],
            Kind::Aligned => &["-static-pie", "-fPIE", "-Wl,-z,max-page-size=0x200000"],
            Kind::Dynamic => &["-pie", "-fPIE"],
            Kind::ExecutableStack => &["-static-pie", "-fPIE", "-Wl,-z,execstack"],
        }
    }
}

/// An emulator, as a file's bytes.
#[track_caller]
pub fn build(kind: Kind) -> Vec<u8> {
    let options = [kind.options(), &["-Wl,-e,first"]].concat();
    std::fs::read(compiled(kind.name(), "tests/support/emulators/report.c", &options)).unwrap()
}

/// A small emulator for every architecture: whatever the program, it prints `word` and exits with
/// `status`.
#[track_caller]
pub fn saying(word: &str, status: u8) -> PathBuf {
    let options = ["-static", &format!("-DWORD=\"{word}\""), &format!("-DSTATUS={status}")];
    compiled(&format!("say-{word}"), "tests/support/emulators/say.c", &options)
}

/// An emulator that only prints its version, whatever its arguments are.
#[track_caller]
pub fn hanging() -> PathBuf {
    compiled("hang", "tests/support/emulators/hang.c", &["-static"])
}

/// The program that calls execve(2) with exactly its arguments.
#[track_caller]
pub fn caller() -> PathBuf {
    compiled("call", "tests/support/callers/call.c", &["-static"])
}

/// The program that makes the interpreter's system calls fail.
#[track_caller]
pub fn injector() -> PathBuf {
    compiled("inject", "tests/support/callers/inject.c", &["-static"])
}

/// The program that ends another one before one of its system calls.
#[track_caller]
pub fn killer() -> PathBuf {
    compiled("kill", "tests/support/callers/kill.c", &["-static"])
}

/// A static program of this machine, built from the C file `source`, as a file's bytes.
#[track_caller]
pub fn native(source: &str) -> Vec<u8> {
    std::fs::read(compiled(&source.trim_end_matches(".c").replace('/', "-"), source, &["-static"])).unwrap()
}

/// A program of this machine, built from the C file `source`, called `name`.
#[track_caller]
pub fn compiled(name: &str, source: &str, options: &[&str]) -> PathBuf {
    Need::Compiler.is_stated();
    artefact(name, |path| compile("gcc", source, options, path))
}

/// Runs `compiler`, and asserts that it succeeds.
pub fn compile(compiler: &str, source: &str, options: &[&str], output: &str) {
    let mut gcc = Command::new(compiler);
    gcc.args(["-O1", "-Wall", "-o", output]).args(options).arg(source).current_dir(env!("CARGO_MANIFEST_DIR"));
    let done = gcc.output().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(done.status.success(), "{gcc:?}\n{}", String::from_utf8_lossy(&done.stderr));
}

/// The file `name` that `make` writes, once in each test process.
pub fn artefact(name: &str, make: impl FnOnce(&str)) -> PathBuf {
    static MADE: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    // A failed `make` leaves nothing behind that could mislead other tests.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = made.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // A virtual machine has no compilers, and uses the files that its host has just made.
        if Registry::of_tests() == Registry::Own && path.exists() {
            return path;
        }
        let fresh = path.with_extension(std::process::id().to_string());
        make(fresh.to_str().expect("the target directory has a plain name"));
        std::fs::rename(fresh, &path).unwrap();
        path
    });
    path.clone()
}
