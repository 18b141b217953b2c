//! The request to measure, sent to a helper process. Only the helper enters namespaces and another
//! root directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use dispatch_table::ArchTable;
use serde::{Deserialize, Serialize};

use super::contest::{self, Bounds};
use super::workload::Workload;
use super::{Contestant, Measurements, arena};
use crate::architectures;
use crate::failure::Failure;
use crate::platform::helper;

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
        helper::answer("measure", self)
    }
}

/// Serves [`Request::measured`] in the helper: reads a request from standard input, measures, and
/// returns the results as JSON.
///
/// # Errors
/// The request is invalid, or nothing can be run at all.
pub fn answer() -> Result<String, Failure> {
    let request: Request = helper::request()?;
    let table = ArchTable::parse(&request.table)
        .map_err(|error| Failure::BadTable { path: helper::STREAM.into(), error: Box::new(error) })?;
    let architecture = architectures::find(&table, &request.architecture)?;
    let workloads: Vec<Workload> = request.workloads.iter().filter_map(|name| Workload::find(name)).collect();
    let [root, emulator] = [&request.root, &request.emulator].map(|path| Path::new(OsStr::from_bytes(path)));

    let direct = arena::direct(emulator)?;
    let compared = request.contestants.iter().any(|contestant| contestant.image);
    let image = compared.then(|| arena::image(&table, architecture, emulator)).transpose()?;
    let mut arena = arena::enter(architecture, root, direct, image, None)?;
    let end = Instant::now() + Duration::from_secs(request.seconds.into());
    let bounds = Bounds { rounds: request.rounds, end };
    let measured = contest::measure(&mut arena, &architecture.probe_elf(), request.contestants, &workloads, bounds)?;
    serde_json::to_string(&measured).map_err(|error| Failure::Output(error.into()))
}
