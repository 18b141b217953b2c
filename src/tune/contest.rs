//! The rounds: every workload with every contestant in turn, so that a disturbance affects all of
//! them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::arena::{Arena, SCRATCH};
use super::workload::Workload;
use super::{Contestant, Measurements, Registered, Sample};
use crate::failure::{Doing, Failure, ProbeFault, text};
use crate::platform::probe;

/// The usual kind of locale; with some emulators it affects the speed of everything that follows.
const LOCALE: &str = "C.UTF-8";
/// Time limit of one run.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest part of an error message that is shown, in characters.
const LONGEST_COMPLAINT: usize = 200;

/// Limits of the measurement.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Number of rounds.
    pub rounds: usize,
    /// The time after which no workload starts.
    pub end: Instant,
}

/// The result of one run.
struct Run {
    sample: Sample,
    /// Its output: standard output, then standard error.
    output: Vec<u8>,
}

/// Measures all workloads with all contestants.
///
/// # Errors
/// Nothing can be registered. A program that cannot be run is no error; it is part of the result.
pub fn measure(
    arena: &mut Arena<'_>,
    probe: &[u8],
    contestants: Vec<Contestant>,
    workloads: &[Workload],
    bounds: Bounds,
) -> Result<Measurements, Failure> {
    let mut measured = Measurements::default();
    let probe_path = Path::new(SCRATCH).join("probe");
    write_program(&probe_path, probe)?;
    let mut present = Vec::new();
    for contestant in contestants {
        arena.register(contestant.registered)?;
        let refused = run(&probe_path, &[], &contestant).err();
        if refused.is_none() {
            present.push(contestant.clone());
        }
        measured.contestants.push((contestant, refused));
    }
    if measured.contestants.first().is_some_and(|first| first.1.is_some()) {
        return Ok(measured);
    }
    let mut chosen = Vec::new();
    for workload in workloads {
        match prepare(arena, workload)? {
            None => chosen.push(*workload),
            Some(reason) => measured.left_out.push((workload.name.into(), reason)),
        }
    }
    let mut results: Vec<_> = chosen.iter().map(|_| vec![Ok(Vec::new()); present.len()]).collect();
    for round in 0..bounds.rounds {
        for (workload, results) in chosen.iter().zip(&mut results) {
            if Instant::now() >= bounds.end {
                break;
            }
            log::info!("round {} of {}: {}", round + 1, bounds.rounds, workload.name);
            one_round(arena, workload, round, &present, results)?;
        }
    }
    for (workload, results) in chosen.iter().zip(results) {
        match results.first() {
            Some(Err(reason)) => measured.left_out.push((workload.name.into(), reason.clone())),
            Some(Ok(samples)) if samples.is_empty() => {
                measured.left_out.push((workload.name.into(), "no time was left for it".into()));
            }
            _ => measured.workloads.push((workload.name.into(), results)),
        }
    }
    Ok(measured)
}

/// Runs a workload once with every contestant that has not failed it yet, beginning with another
/// one in each round. A contestant whose output differs from that of the first one fails the
/// workload.
fn one_round(
    arena: &mut Arena<'_>,
    workload: &Workload,
    round: usize,
    contestants: &[Contestant],
    results: &mut [Result<Vec<Sample>, String>],
) -> Result<(), Failure> {
    let mut outputs = vec![None; contestants.len()];
    for turn in 0..contestants.len() {
        let index = (turn + round) % contestants.len();
        if results[index].is_err() {
            continue;
        }
        arena.register(contestants[index].registered)?;
        match run(&Path::new(SCRATCH).join(workload.name), &[], &contestants[index]) {
            Err(reason) => results[index] = Err(reason),
            Ok(Run { sample, output }) => {
                if let Ok(samples) = &mut results[index] {
                    samples.push(sample);
                }
                outputs[index] = Some(output);
            }
        }
    }
    let expected = outputs.first().cloned().flatten();
    for (result, output) in results.iter_mut().zip(outputs) {
        if output.is_some() && expected.is_some() && output != expected {
            *result = Err("prints something else".into());
        }
    }
    Ok(())
}

/// Prepares a workload. If something is missing, returns the reason why it cannot be measured.
fn prepare(arena: &mut Arena<'_>, workload: &Workload) -> Result<Option<String>, Failure> {
    if let Some(missing) = workload.needs().find(|program| !Path::new(program).exists()) {
        return Ok(Some(format!("the root directory has no {missing}")));
    }
    let Some(source) = workload.compiles() else { return Ok(None) };
    arena.register(Registered::Emulator)?;
    let program = format!("{SCRATCH}/{source}.out");
    let arguments = ["-O2", "-pthread", "-o", &program, &format!("{SCRATCH}/{source}")];
    let outcome = run(Path::new("/usr/bin/gcc"), &arguments, &Contestant::plain());
    Ok(outcome.err().map(|reason| format!("{source} is not compiled: {reason}")))
}

fn write_program(path: &Path, program: &[u8]) -> Result<(), Failure> {
    fs::write(path, program)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(|error| Failure::io(Doing::Write, path, error))
}

/// Runs a program; the error says why it did not succeed.
fn run(program: &Path, arguments: &[&str], contestant: &Contestant) -> Result<Run, String> {
    let scratch = Path::new(SCRATCH);
    let (out, err) = (scratch.join("out"), scratch.join("err"));
    let create = |path: &Path| File::create(path).map_err(|error| text(&error));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", LOCALE).env("HOME", SCRATCH);
    if let Some(cpu) = &contestant.cpu {
        command.env("QEMU_CPU", cpu);
    }
    command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
    let (before, begin) = (children_time()?, Instant::now());
    let status = wait(&mut command)?;
    let wall = begin.elapsed().as_secs_f64();
    let cpu = children_time()? - before;
    if !status.success() {
        return Err(complaint(status, &fs::read(&err).unwrap_or_default()));
    }
    // A model that makes every program print warnings is rejected too.
    let output = [&out, &err].into_iter().map(fs::read).collect::<Result<Vec<_>, _>>();
    let output = output.map_err(|error| text(&error))?.concat();
    Ok(Run { sample: Sample { cpu, wall }, output })
}

fn wait(command: &mut Command) -> Result<ExitStatus, String> {
    let mut child = command.spawn().map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOEXEC) => format!("{}: a program of another architecture", text(&error)),
        _ => text(&error),
    })?;
    let status = probe::wait(&mut child, PATIENCE).map_err(|error| text(&error))?;
    status.ok_or_else(|| ProbeFault::Hung(PATIENCE).to_string())
}

/// CPU time of all children that have ended, and of their children, in seconds.
fn children_time() -> Result<f64, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|errno| text(&errno.into()))?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// How a program ended, and the first line that it wrote on standard error.
fn complaint(status: ExitStatus, said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control());
    ProbeFault::Ended { status, said: line.take(LONGEST_COMPLAINT).collect() }.to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn complaints_are_one_short_line() {
        let said = format!("first \x1b[1m{}\nsecond\n", "x".repeat(1000));
        let complaint = complaint(ExitStatus::from_raw(127 << 8), said.as_bytes());
        assert!(complaint.starts_with("exited with 127: first [1mxxx"), "{complaint}");
        assert!(complaint.len() < 250 && !complaint.contains('\n'));
        assert_eq!(super::complaint(ExitStatus::from_raw(11), b""), "was killed by signal 11");
    }
}
