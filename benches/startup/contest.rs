//! The contestants, and the processes in which they run.
//!
//! Each contestant has a worker: a process in a user namespace of its own, with a binfmt_misc where only that
//! contestant is registered. What the workers run is the same files.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use dispatch_table::{ArchTable, Architecture};
use tempfile::TempDir;

use crate::sample::Sample;

/// A way to start programs.
pub struct Contestant {
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// Whether it is there for the first architecture only.
    pub once: bool,
}

const fn contestant(name: &'static str, meaning: &'static str) -> Contestant {
    Contestant { name, meaning, once: false }
}

/// All of them. The first is what the others are compared with.
pub const CONTESTANTS: [Contestant; 6] = [
    contestant("direct", "QEMU registered directly"),
    contestant("exec", "the dispatcher executes QEMU (strategy exec)"),
    contestant("path", "the dispatcher maps QEMU from its path"),
    contestant("image", "QEMU in the registered file, not prelinked"),
    contestant("prelinked", "QEMU in the registered file, prelinked"),
    Contestant { name: "single", meaning: "as prelinked, with no other emulator in the file", once: true },
];

/// The architecture of the programs that do real work.
pub const WORKER_ARCHITECTURE: &str = "aarch64";
/// The programs that the scripts start.
const APPLETS: [&str; 7] = ["cat", "expr", "grep", "sed", "test", "tr", "true"];

/// The tool that is measured.
pub const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");

/// What a worker can be asked to run.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// The probe of an architecture, which exits at once.
    Start(String),
    /// A shell loop that starts 200 programs.
    Loop,
    /// A shell script that looks for so many features.
    Configure(u32),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Start(architecture) => write!(f, "{architecture} exit(0)"),
            Subject::Loop => write!(f, "{WORKER_ARCHITECTURE} shell loop that starts 200 programs"),
            Subject::Configure(checks) => {
                write!(f, "{WORKER_ARCHITECTURE} shell script like configure, {checks} checks")
            }
        }
    }
}

impl Subject {
    /// The same with less to do, to fill caches.
    pub fn briefly(&self) -> Self {
        if let Subject::Configure(_) = self { Subject::Configure(1) } else { self.clone() }
    }

    /// One word.
    pub fn name(&self) -> &str {
        match self {
            Subject::Start(architecture) => architecture,
            Subject::Loop => "loop",
            Subject::Configure(_) => "configure",
        }
    }
}

/// Where an architecture's emulator is.
pub fn emulator(row: &Architecture) -> Result<&str, Box<dyn Error>> {
    let path = row.emulator_paths().find(|path| Path::new(path).is_file());
    path.ok_or_else(|| format!("there is no emulator for {}: run ci/setup", row.name).into())
}

/// All contestants, ready to run.
pub struct Contest {
    workers: Vec<Worker>,
    _directory: TempDir,
}

struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Contest {
    /// Writes the files that are to be registered and those that are to be run, and starts the workers.
    pub fn prepare(architectures: &[String], work: bool) -> Result<Self, Box<dyn Error>> {
        let directory = TempDir::new()?;
        let at = |name: &str| directory.path().join(name);
        let table = ArchTable::builtin();

        fs::write(at("exec.json"), table_with_strategy_exec()?)?;
        let exec = at("exec.json");
        let installed = table.architectures.iter().filter(|row| emulator(row).is_ok()).map(|row| row.name.as_str());
        let installed: Vec<&str> = installed.collect();
        image(&at("exec"), &["--no-emulators", "--table", exec.to_str().ok_or("the path is not text")?])?;
        image(&at("path"), &["--no-emulators"])?;
        image(&at("image"), &[&["--no-prelink"], &installed[..]].concat())?;
        image(&at("prelinked"), &[&["--seed", "1"], &installed[..]].concat())?;
        image(&at("single"), &["--seed", "1", &architectures[0]])?;

        for name in architectures {
            let row = table.find(name).ok_or("the table has no such row")?;
            executable(&guest(directory.path(), name), &row.probe_elf())?;
        }
        if work {
            prepare_work(directory.path())?;
        }
        let workers = CONTESTANTS.iter().map(|contestant| {
            let architectures = if contestant.once { &architectures[..1] } else { architectures };
            Worker::start(contestant, directory.path(), architectures)
        });
        Ok(Contest { workers: workers.collect::<Result<_, _>>()?, _directory: directory })
    }

    /// Runs the subject once.
    pub fn run(&mut self, contestant: usize, subject: &Subject) -> Result<Sample, Box<dyn Error>> {
        let Worker { orders, answers, .. } = &mut self.workers[contestant];
        match subject {
            Subject::Start(architecture) => writeln!(orders, "start {architecture}")?,
            Subject::Loop => writeln!(orders, "work loop")?,
            Subject::Configure(checks) => writeln!(orders, "work configure {checks}")?,
        }
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        // The worker has said on standard error what is wrong.
        answer.parse().map_err(|_| format!("{}: {subject} did not run", CONTESTANTS[contestant].name).into())
    }
}

impl Worker {
    fn start(contestant: &Contestant, directory: &Path, architectures: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--worker").arg(contestant.name).arg("--directory").arg(directory).args(architectures);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Worker { process, orders, answers })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program of an architecture. Entries of the workers match what follows the dot, so that there can be one even for
/// the machine's own architecture.
pub fn guest(directory: &Path, architecture: &str) -> PathBuf {
    directory.join(format!("guest.{architecture}"))
}

/// A script.
pub fn script(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.sh"))
}

/// The shell that runs the scripts, and beside it what they start.
pub fn shell(directory: &Path) -> PathBuf {
    directory.join("bin/busybox")
}

fn prepare_work(directory: &Path) -> Result<(), Box<dyn Error>> {
    let guests = std::env::var_os("BINFMT_DISPATCH_GUESTS").map(PathBuf::from);
    let guests = guests.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guests"));
    let busybox = guests.join("arm64/bin/busybox");
    let bytes = fs::read(&busybox)
        .map_err(|error| format!("{}: {error}; run ci/setup, or give --work-rounds 0", busybox.display()))?;
    fs::create_dir(directory.join("bin"))?;
    executable(&shell(directory), &bytes)?;
    for applet in APPLETS {
        symlink("busybox", directory.join("bin").join(applet))?;
    }
    fs::write(script(directory, "loop"), include_str!("work/loop.sh"))?;
    fs::write(script(directory, "configure"), include_str!("work/configure.sh"))?;
    Ok(())
}

fn executable(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The table, changed so that emulators are executed.
fn table_with_strategy_exec() -> Result<String, Box<dyn Error>> {
    let mut table: serde_json::Value = serde_json::from_str(include_str!("../../arch-table.json"))?;
    for row in table["architectures"].as_array_mut().ok_or("the table has no rows")? {
        row["strategy"] = "exec".into();
    }
    Ok(table.to_string())
}

/// Writes a registered file.
fn image(path: &Path, options: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(TOOL).args(["image", "--output"]).arg(path).args(options).status()?;
    if status.success() { Ok(()) } else { Err(format!("the image cannot be written: {status}").into()) }
}
