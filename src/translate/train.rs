//! The training run, in a helper process. Only the helper enters namespaces and another root
//! directory.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::architectures;
use crate::failure::{Failure, text};
use crate::platform::{helper, probe};
use crate::tune::Registered;
use crate::tune::arena::{self, Files, SCRATCH, SHARED, Setting};

/// The variable that tells an emulator where to keep translations.
const VARIABLE: &str = "QEMU_TB_RECORDS";
/// Time limit of one command line.
const PATIENCE: Duration = Duration::from_secs(300);
/// The part of a command line that is shown, in characters.
const SHOWN: usize = 50;
/// What the shell of the root directory exits with if it does not find a program.
const NOT_FOUND: i32 = 127;

/// The request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// What runs where.
    pub setting: Setting,
    /// Path of the directory for the records: each command line has a directory in it, which its
    /// number names.
    pub directory: Vec<u8>,
    /// Command lines for the shell of the root directory.
    pub lines: Vec<String>,
}

/// What became of the command lines, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It ended with success.
    Ran,
    /// The root directory does not have the program.
    Missing,
    /// It failed; how.
    Failed(String),
}

impl Request {
    /// Has a helper process run the command lines.
    ///
    /// # Errors
    /// The helper cannot be started, or could run nothing, and has reported why.
    pub fn trained(&self) -> Result<Vec<Outcome>, Failure> {
        helper::answer("train", self)
    }
}

/// Serves [`Request::trained`] in the helper, and returns the outcomes as JSON.
///
/// # Errors
/// The request is invalid, or nothing can be run at all.
pub fn answer() -> Result<String, Failure> {
    let request: Request = helper::request()?;
    let table = request.setting.table()?;
    let architecture = architectures::find(&table, &request.setting.architecture)?;
    let (root, emulator) = (request.setting.root(), request.setting.emulator());
    let directory = Path::new(OsStr::from_bytes(&request.directory));
    let direct = arena::direct(emulator)?;
    let image = Some(arena::image(&table, architecture, emulator, None)?);
    let files = Files { direct, image, translated: None };
    let mut arena = arena::enter(architecture, root, files, Some(directory))?;
    arena.register(Registered::Image)?;
    let outcomes: Vec<Outcome> = request.lines.iter().enumerate().map(|(number, line)| run(number, line)).collect();
    serde_json::to_string(&outcomes).map_err(|error| Failure::Output(error.into()))
}

/// Runs a command line. A program that waits for input gets none.
fn run(number: usize, line: &str) -> Outcome {
    let directory = Path::new(SHARED).join(number.to_string());
    if let Err(error) = DirBuilder::new().mode(0o700).create(&directory) {
        return Outcome::Failed(text(&error));
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.env("HOME", SCRATCH).env("PYTHONPYCACHEPREFIX", SCRATCH).env(VARIABLE, directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = command.spawn().and_then(|mut child| probe::wait(&mut child, PATIENCE));
    let outcome = match ended {
        Err(error) => Outcome::Failed(text(&error)),
        Ok(None) => Outcome::Failed(format!("did not end within {} seconds", PATIENCE.as_secs())),
        Ok(Some(status)) if status.success() => Outcome::Ran,
        Ok(Some(status)) if status.code() == Some(NOT_FOUND) => Outcome::Missing,
        Ok(Some(status)) => Outcome::Failed(status.to_string()),
    };
    let shown: String = line.chars().take(SHOWN).collect();
    match &outcome {
        Outcome::Ran => log::info!("{shown}: ran"),
        Outcome::Missing => log::info!("{shown}: the root directory does not have the program"),
        Outcome::Failed(how) => log::info!("{shown}: {how}"),
    }
    outcome
}
