//! `test`: all tests and checks. The last line sums them up.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::cargo::{cargo, host_target};
use crate::files::with_ending;
use crate::program::{finish, interrupted, logged, start};
use crate::{Result, root};

/// Makes tests fail, instead of being skipped, if something that they need is missing on this
/// machine.
const MUST_RUN: &str = "BINFMT_DISPATCH_TESTS_MUST_RUN";

/// The other hosts that `x86_64` machines build for, and whose tests run under QEMU's user mode.
const OTHER_HOSTS: [&str; 2] = ["aarch64", "riscv64"];

/// Run all tests and checks
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Number of tests and checks that passed, failed, or were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Score {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Begins a line, or what follows the name of a test, if the test was skipped
/// (tests/support/prerequisites.rs). The test runner counts it as passed.
const SKIPPED: &str = "skipped: ";

/// Runs all tests and checks.
pub fn run(_: &Args) -> Result<ExitCode> {
    let target = host_target()?;
    let can_build = target.starts_with("x86_64");
    let target = ["--target", &target];
    let locked = |task| {
        let mut cargo = cargo();
        cargo.args([task, "--locked"]).args(target);
        cargo
    };
    let mut score = Score::default();
    score.check("format", cargo().args(["fmt", "--all", "--check"]))?;
    let mut scripts = with_ending(&root().join("ci"), "")?;
    for directory in ["packaging", "emulators"] {
        scripts.extend(shell_scripts(&root().join(directory))?);
    }
    score.check("shellcheck", script("shellcheck").args(scripts).arg(".ci/run"))?;
    score.check("clippy", locked("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Debian 13's Rust, the oldest that builds it. Later tests need what it builds, and clippy does
    // not know which implementations of traits are newer.
    if can_build {
        let cpu = OTHER_HOSTS[0];
        score.check(&format!("ci/cross {cpu} build"), script("ci/cross").args([cpu, "build", "--release"]))?;
    }
    // A separate workspace that nothing else builds.
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"];
    score.check("fuzz targets", locked("check").args(fuzz))?;
    score.check("ci/vendored", &mut script("ci/vendored"))?;
    for cpu in OTHER_HOSTS.into_iter().filter(|_| can_build) {
        // Those of the other packages need dependencies that take minutes to build. tests/hosts
        // runs the command itself.
        let tests = ["test", "-p", "dispatch-core", "-p", "binfmt-misc", "--lib", "--no-fail-fast"];
        println!("Tests for {cpu} hosts");
        score.tests(script("ci/cross").arg(cpu).args(tests), &mut io::stdout())?;
    }
    score.tests(locked("test").args(["--workspace", "--no-fail-fast"]), &mut io::stdout())?;
    // Another CPU's machine, with its own registry.
    if can_build {
        score.check("ci/hosts --brief aarch64", script("ci/hosts").args(["--brief", "aarch64"]))?;
    }
    score.check("ci/kubernetes", &mut script("ci/kubernetes"))?;
    score.check("packaging/test/check", &mut script("packaging/test/check"))?;
    score.check("packaging/test/engine", &mut script("packaging/test/engine"))?;
    score.check("ci/demo", &mut script("ci/demo"))?;
    score.check("ci/demo-setuid", &mut script("ci/demo-setuid"))?;
    let bench =
        ["--rounds", "10", "--program-rounds", "2", "--work-rounds", "1", "--question-rounds", "2", "--seconds", "30"];
    score.check("ci/bench", script("ci/bench").args(bench))?;
    println!("{} passed, {} failed, {} skipped", score.passed, score.failed, score.skipped);
    Ok(if score.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The shell scripts in a directory and below it. The first line names the shell.
fn shell_scripts(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for path in with_ending(directory, "")? {
        if path.is_dir() {
            scripts.extend(shell_scripts(&path)?);
        } else if is_shell_script(&String::from_utf8_lossy(&fs::read(&path)?)) {
            scripts.push(path);
        }
    }
    Ok(scripts)
}

fn is_shell_script(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.starts_with("# shellcheck shell=") || first.starts_with("#!") && first.ends_with("sh")
}

/// A command in the project's directory.
fn script(name: &str) -> Command {
    let mut script = if name.contains('/') { Command::new(root().join(name)) } else { Command::new(name) };
    script.current_dir(root());
    script
}

impl Score {
    /// Runs a check that passes or fails as a whole. Its output is shown only if it fails.
    fn check(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let passed = match logged(command.env(MUST_RUN, "1")) {
            Ok((status, _)) if status.success() => true,
            Ok((_, mut log)) => {
                io::copy(&mut log, &mut io::stdout())?;
                false
            }
            Err(error) if interrupted() => return Err(error),
            Err(error) => {
                println!("{error}");
                false
            }
        };
        println!("{name}: {}", if passed { "passed" } else { "FAILED" });
        *if passed { &mut self.passed } else { &mut self.failed } += 1;
        Ok(())
    }

    /// Runs the tests in Rust, each of which counts. Their output is shown.
    fn tests(&mut self, cargo: &mut Command, shown: &mut impl Write) -> Result<()> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        cargo.env(MUST_RUN, "1").stdout(write.try_clone()?).stderr(write);
        let child = start(cargo)?;
        // The command would hold the pipe open.
        cargo.stdout(io::stdout()).stderr(io::stderr());
        let mut sum = Score::default();
        for line in BufReader::new(File::from(read)).split(b'\n') {
            let line = line?;
            shown.write_all(&[&line[..], b"\n"].concat())?;
            let line = String::from_utf8_lossy(&line);
            if let Some(Score { passed, failed, .. }) = Score::of_result(&line) {
                sum = Score { passed: sum.passed + passed, failed: sum.failed + failed, ..sum };
            }
            sum.skipped += usize::from(line.starts_with(SKIPPED) || line.contains(&format!(" ... {SKIPPED}")));
        }
        // A test program that does not compile, or dies, prints no summary line.
        if !finish(child)?.success() && sum.failed == 0 {
            sum.failed = 1;
        }
        self.passed += sum.passed.saturating_sub(sum.skipped);
        self.failed += sum.failed;
        self.skipped += sum.skipped;
        Ok(())
    }

    /// Parses the last line of a test program.
    fn of_result(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("test result: ")?.split("; ");
        let count = |part: &str, what: &str| part.strip_suffix(what)?.rsplit(' ').next()?.parse().ok();
        let passed = count(parts.next()?, " passed")?;
        Some(Score { passed, failed: count(parts.next()?, " failed")?, skipped: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn results_are_counted() {
        let line = "test result: FAILED. 41 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(Score::of_result(line), Some(Score { passed: 41, failed: 2, skipped: 0 }));
        let line = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Score::of_result(line), Some(Score::default()));
        for line in ["", "test result: ok.", "test a ... ok", "test result: ok. x passed; 0 failed; "] {
            assert_eq!(Score::of_result(line), None, "{line}");
        }
    }

    #[test]
    fn shell_scripts_are_known_by_their_first_lines() {
        let packaging = root().join("packaging");
        let scripts = shell_scripts(&packaging).unwrap();
        for name in ["archive", "deb/postinst", "test/common"] {
            assert!(scripts.contains(&packaging.join(name)), "{name}: {scripts:?}");
        }
        for name in ["bill", "deb/copyright", "kubernetes/daemonset.yaml"] {
            assert!(!scripts.contains(&packaging.join(name)), "{name}: {scripts:?}");
        }
    }

    #[test]
    fn tests_that_fail_or_do_not_compile_are_failures() {
        let sum = |script: &str| {
            let mut score = Score { passed: 1, ..Score::default() };
            let mut shown = Vec::new();
            score.tests(&mut shell(script), &mut shown).unwrap();
            let shown = String::from_utf8(shown).unwrap();
            assert!(script.starts_with("exit") || shown.contains("test result: ok. "), "{shown}");
            (score.passed, score.failed)
        };
        let line = |passed, failed| format!("echo 'test result: ok. {passed} passed; {failed} failed; ';");
        assert_eq!(sum(&format!("{} {}", line(2, 0), line(3, 0))), (6, 0));
        let skipped = "echo 'test a ... skipped: a: no b'; echo 'skipped: c: no d'; echo 'test e: skipped: f';";
        assert_eq!(sum(&format!("{skipped} {}", line(3, 0))), (2, 0));
        assert_eq!(sum(&format!("{} exit 101", line(2, 4))), (3, 4));
        assert_eq!(sum(&format!("{} exit 101", line(2, 0))), (3, 1));
        assert_eq!(sum("exit 101"), (1, 1));
    }

    #[test]
    fn checks_pass_or_fail() {
        let mut score = Score::default();
        score.check("one", &mut shell(&format!("((${MUST_RUN} == 1))"))).unwrap();
        score.check("two", &mut shell("exit 1")).unwrap();
        score.check("three", &mut Command::new("/nowhere/missing")).unwrap();
        assert_eq!(score, Score { passed: 1, failed: 2, skipped: 0 });
    }
}
