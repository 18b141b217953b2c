//! The request to measure, sent to a helper process. Only the helper enters namespaces and another
//! root directory.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dispatch_core::refusal::EXIT_NO;
use dispatch_table::ArchTable;
use serde::{Deserialize, Serialize};

use super::contest::{self, Bounds};
use super::workload::Workload;
use super::{Contestant, Measurements, arena};
use crate::architectures;
use crate::failure::{Doing, Failure};
use crate::platform::helper;

/// The name of the request stream in messages.
const STREAM: &str = "standard input";

/// The request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The table, as JSON.
    pub table: String,
    /// Name of the architecture.
    pub architecture: String,
    /// Path of the root directory.
    pub root: Vec<u8>,
    /// Path of the emulator.
    pub emulator: Vec<u8>,
    /// The contestants; the emulator's default comes first.
    pub contestants: Vec<Contestant>,
    /// Names of the workloads.
    pub workloads: Vec<String>,
    /// Rounds.
    pub rounds: usize,
    /// Seconds after which no workload starts.
    pub seconds: u32,
}

impl Request {
    /// Has a helper process measure.
    ///
    /// # Errors
    /// The helper cannot be started, or could not measure, and has reported why.
    pub fn measured(&self) -> Result<Measurements, Failure> {
        let failed = |error| Failure::io(Doing::Execute, Path::new("/proc/self/exe"), error);
        let request = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let mut command = helper::command("measure");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        // The helper reads the whole request before it does anything that may fail. Dropping the
        // stream closes it.
        if let Some(mut stream) = child.stdin.take() {
            stream.write_all(&request).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            let exit_code = output.status.code().and_then(|code| u8::try_from(code).ok());
            return Err(Failure::Reported(exit_code.unwrap_or(EXIT_NO)));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.into()))
    }
}

/// Serves [`Request::measured`] in the helper: reads a request from standard input, measures, and
/// returns the results as JSON.
///
/// # Errors
/// The request is invalid, or nothing can be run at all.
pub fn answer() -> Result<String, Failure> {
    let unreadable = |error| Failure::io(Doing::Read, Path::new(STREAM), error);
    let request: Request = serde_json::from_reader(io::stdin()).map_err(|error| unreadable(error.into()))?;
    let table = ArchTable::parse(&request.table)
        .map_err(|error| Failure::BadTable { path: STREAM.into(), error: Box::new(error) })?;
    let architecture = architectures::find(&table, &request.architecture)?;
    let workloads: Vec<Workload> = request.workloads.iter().filter_map(|name| Workload::find(name)).collect();
    let [root, emulator] = [&request.root, &request.emulator].map(|path| Path::new(OsStr::from_bytes(path)));

    let direct = arena::direct(emulator)?;
    let compared = request.contestants.iter().any(|contestant| contestant.image);
    let image = compared.then(|| arena::image(&table, architecture, emulator)).transpose()?;
    let mut arena = arena::enter(architecture, root, direct, image)?;
    let end = Instant::now() + Duration::from_secs(request.seconds.into());
    let bounds = Bounds { rounds: request.rounds, end };
    let measured = contest::measure(&mut arena, &architecture.probe_elf(), request.contestants, &workloads, bounds)?;
    serde_json::to_string(&measured).map_err(|error| Failure::Output(error.into()))
}
