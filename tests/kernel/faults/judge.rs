//! Compares the result of a run with the expected one.

use nix::errno::Errno;

use super::calls::Outcome::{Lost, Nothing, Refused, Runs, WithoutSysroot};
use super::calls::{Call, FORBIDDEN, Outcome, Role, entry, nr};
use super::injector::{End, Injection, Run};
use super::scenarios::Scenario;
use crate::handover::clear_registers;
use crate::support::Report;

/// `AT_SECURE`, and the ids: `AT_UID`, `AT_EUID`, `AT_GID`, `AT_EGID`.
const CREDENTIALS: [&str; 5] = ["aux.23", "aux.11", "aux.12", "aux.13", "aux.14"];
const MAP_FIXED_NOREPLACE: i64 = 0x10_0000;
/// An address where nothing is mapped, and which programs have on every kernel.
const ELSEWHERE: i64 = 0x12_3400_0000;
/// The number of bytes for a call that does only a part of its work.
const PART: i64 = 7;

/// Ways in which the call may do something else than requested, without failing.
pub fn partly(index: usize, call: &Call, role: Role) -> Vec<Injection> {
    match role {
        // The end of the file, and fewer bytes than there are.
        Role::GuestStart | Role::GuestHeaders | Role::EmulatorHeaders | Role::Line => {
            vec![Injection::Returns(index, 0), Injection::With(index, 2, PART)]
        }
        // Kernels before 4.17 take the address as a hint.
        Role::Prelinked | Role::Room if call.arguments[3] & MAP_FIXED_NOREPLACE != 0 => {
            vec![Injection::With(index, 0, ELSEWHERE)]
        }
        Role::Payload => vec![Injection::Returns(index, 0)],
        _ => Vec::new(),
    }
}

/// The outcome of that.
fn outcome_of_part(role: Role, call: &Call, injection: Injection) -> Outcome {
    match (role, injection) {
        // The interpreter takes the bytes that it has read as the whole file.
        (Role::GuestStart, Injection::Returns(..)) if call.arguments[3] > 0 => Runs,
        (Role::GuestStart, Injection::Returns(..)) => Refused(126, "not an ELF file"),
        (Role::GuestHeaders, Injection::Returns(..)) => WithoutSysroot,
        (Role::EmulatorHeaders, Injection::Returns(..)) => Refused(126, "is damaged (not an ELF file)"),
        (Role::Line, Injection::Returns(..)) => Lost,
        (Role::Room, Injection::With(..)) => Refused(126, "its addresses are taken"),
        _ => Runs,
    }
}

/// The outcome of the calls that look for the dynamic linker: all of them decide.
fn linker(run: &Run, roles: &[Role]) -> Outcome {
    let calls = run.calls.iter().zip(roles).filter(|(_, role)| **role == Role::Linker);
    let errors: Vec<i64> = calls.map(|(call, _)| -call.result.expect("it returns")).collect();
    let absent = |error: &i64| [Errno::ENOENT as i64, Errno::ENOTDIR as i64].contains(error);
    match errors.iter().find(|error| !absent(error)) {
        _ if errors.contains(&0) => Runs,
        Some(_) => entry(Role::Linker).outcome,
        None => entry(Role::Linker).outcome_of(Errno::ENOENT),
    }
}

impl Scenario {
    /// Asserts that the run went as the table says, given its fault. `baseline` is the run without
    /// any fault.
    #[track_caller]
    pub fn judge(&self, baseline: &Run, run: &Run, injections: &[Injection]) {
        self.keeps_the_rules(run);
        let (outcome, lost) = self.expected(run, injections);
        if let Refused(code, words) = outcome {
            let words = if self.command { words.replace("map the emulator", "start") } else { words.to_owned() };
            assert!(!run.entered && run.end == End::Exit(code), "expected exit code {code}, not started\n{run}");
            assert!(run.stdout.is_empty(), "expected nothing on standard output\n{run}");
            let name = if self.command { "" } else { "./guest: " };
            let line = run.stderr.strip_suffix('\n').unwrap_or_default();
            let good = line.starts_with(&format!("binfmt-dispatch: {name}")) && line.contains(&words);
            let one = good && !line.contains('\n');
            assert!(if lost { run.stderr.is_empty() } else { one }, "expected {words:?} (lost: {lost})\n{run}");
            return;
        }
        assert!(run.entered && run.end == End::Exit(0), "expected it to run\n{run}");
        assert!(run.stderr.is_empty(), "expected nothing on standard error\n{run}");
        if self.command {
            assert_eq!(run.stdout, baseline.stdout, "{run}");
            return;
        }
        self.compare(baseline, run, outcome == WithoutSysroot);
    }

    /// Promises for every run.
    #[track_caller]
    fn keeps_the_rules(&self, run: &Run) {
        self.roles(run);
        if self.secure {
            // Security rule 1: with AT_SECURE set, the emulator comes from the image, and not from
            // a path.
            let path = run.calls.iter().any(|call| [nr::OPENAT, nr::EXECVE].contains(&call.nr));
            assert!(!path, "a privileged guest's emulator by a path\n{run}");
            // The emulator is not at the address that is publicly known, unless it has no other.
            let known = run.calls.iter().any(|call| {
                call.nr == nr::MMAP && call.arguments[3] & MAP_FIXED_NOREPLACE != 0 && call.arguments[0] >= 1 << 32
            });
            assert!(!known, "a privileged guest's emulator at addresses that are known\n{run}");
        }
    }

    /// The expected outcome of the run, and whether the line of a refusal is lost.
    fn expected(&self, run: &Run, injections: &[Injection]) -> (Outcome, bool) {
        let roles = self.roles(run);
        let (mut injected, mut lost) = (Runs, false);
        for (index, (call, role)) in run.calls.iter().zip(&roles).enumerate() {
            for &injection in injections {
                let outcome = match injection {
                    Injection::Returns(at, _) | Injection::With(at, ..) if at == index => {
                        outcome_of_part(*role, call, injection)
                    }
                    _ => match injection.errno(index, call) {
                        // Another path of the row may have an emulator.
                        Some(errno) if *role == Role::Emulator && roles.get(index + 1) == Some(role) => {
                            let outcome = entry(*role).outcome_of(errno);
                            assert!(matches!(outcome, Refused(127, _)), "passed over silently\n{run}");
                            Runs
                        }
                        Some(_) if *role == Role::Linker => linker(run, &roles),
                        Some(errno) => entry(*role).outcome_of(errno),
                        None => continue,
                    },
                };
                match outcome {
                    Lost => lost = true,
                    Nothing | Runs => {}
                    outcome if !matches!(injected, Refused(..)) => injected = outcome,
                    _ => {}
                }
            }
        }
        match (injected, self.refused) {
            (Refused(..), _) | (_, None) => (injected, lost),
            (_, Some((code, words))) => (Refused(code, words), lost),
        }
    }

    /// Asserts that the emulator was started as in the baseline.
    #[track_caller]
    fn compare(&self, baseline: &Run, run: &Run, perhaps_without_sysroot: bool) {
        let [expected, found] = [baseline, run].map(|run| Report::read(&run.stdout, run.to_string()));
        // A descriptor that was not closed is still open.
        let unclosed = run
            .calls
            .iter()
            .any(|call| call.nr == nr::CLOSE && FORBIDDEN.iter().any(|errno| call.result == Some(-(*errno as i64))));
        // Then / takes the place of the guest's own path, which follows the dashes.
        let unread = |call: &Call| call.nr == nr::READLINKAT && call.result.is_none_or(|len| len < 0);
        let pathless = self.secure && run.calls.iter().any(unread);
        let executed = run.calls.iter().any(|call| call.nr == nr::EXECVE);
        let differs = |key: &str| match key {
            "descriptors" => unclosed,
            "proc-comm" => false,
            // The emulator's dynamic linker has run before.
            "rflags" => executed,
            // Addresses differ from run to run, and /proc shows others when the kernel was not
            // told. The stack pointer is an address, and so is a register for the jump.
            "base" => true,
            _ if key.starts_with("register.") => executed || clear_registers().all(|clear| clear != key),
            _ => key.starts_with("proc-") || key.starts_with("aux.") && !CREDENTIALS.contains(&key),
        };
        assert!(expected.keys().eq(found.keys()), "the report has other lines\n{run}");
        for key in expected.keys().filter(|key| !differs(key)) {
            let mut wanted = expected.all(key).to_vec();
            if perhaps_without_sysroot && ["argv", "argc"].contains(&key) && expected.all(key) != found.all(key) {
                let sysroot = self.sysroot();
                match key {
                    "argv" => wanted.retain(|argument| *argument != "-L" && *argument != sysroot),
                    _ => wanted = vec![(wanted[0].parse::<usize>().expect("a number") - 2).to_string()],
                }
            }
            if let (true, "argv", Some(dashes)) = (pathless, key, wanted.iter().position(|word| word == "--")) {
                "/".clone_into(&mut wanted[dashes + 1]);
            }
            assert_eq!(found.all(key), wanted, "{key}\n{run}");
        }
        if self.secure {
            found.is("aux.23", "1");
            let steering = found.all("env").iter().any(|variable| variable.starts_with("QEMU_"));
            assert!(!steering, "security rule 2: no QEMU_* reaches the emulator\n{run}");
        }
    }
}
