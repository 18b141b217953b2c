//! The request to measure, sent to a helper process. Only the helper enters namespaces and another
//! root directory.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::arena::{Files, Setting};
use super::contest::{self, Bounds};
use super::workload::Workload;
use super::{Contestant, Measurements, Registered, arena};
use crate::architectures;
use crate::failure::{Doing, Failure};
use crate::platform::helper;

/// The request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// What runs where.
    pub setting: Setting,
    /// The contestants; the emulator's default comes first.
    pub contestants: Vec<Contestant>,
    /// Path of the translations for the contestant with translations.
    pub translations: Option<PathBuf>,
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
    let table = request.setting.table()?;
    let architecture = architectures::find(&table, &request.setting.architecture)?;
    let (root, emulator) = (request.setting.root(), request.setting.emulator());
    let workloads: Vec<Workload> = request.workloads.iter().filter_map(|name| Workload::find(name)).collect();
    let direct = arena::direct(emulator)?;
    let image = |translations| arena::image(&table, architecture, emulator, translations);
    let compared = request.contestants.iter().any(|contestant| contestant.registered == Registered::Image);
    let plain = compared.then(|| image(None)).transpose()?;
    let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::io(Doing::Read, path, error));
    let translated = request.translations.as_ref().map(|path| image(Some(read(path)?))).transpose()?;
    let files = Files { direct, image: plain, translated };
    let mut arena = arena::enter(architecture, root, files, None)?;
    let end = Instant::now() + Duration::from_secs(request.seconds.into());
    let bounds = Bounds { rounds: request.rounds, end };
    let measured = contest::measure(&mut arena, &architecture.probe_elf(), request.contestants, &workloads, bounds)?;
    serde_json::to_string(&measured).map_err(|error| Failure::Output(error.into()))
}
