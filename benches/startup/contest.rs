//! The processes in which the contestants run.
//!
//! Each contestant has a worker: a process in its own user namespace, with a `binfmt_misc` where
//! only that contestant is registered. For Debian's programs it has a second worker, in their root
//! directory. The workers of all contestants run the same files. The native programs come from the
//! same packages.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use dispatch_table::{ArchTable, Architecture};
use tempfile::TempDir;

use crate::roots::Roots;
use crate::sample::Sample;
use crate::subject::{CONTESTANTS, Contestant, DEFAULT, NATIVE, Subject, WORKER_ARCHITECTURE, model, row};

/// The programs that the scripts start.
const APPLETS: [&str; 7] = ["cat", "expr", "grep", "sed", "test", "tr", "true"];

/// The tool to measure.
pub const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");

/// The requested measurements.
pub struct Wanted<'w> {
    /// The architectures whose probes to start.
    pub architectures: &'w [String],
    /// Whether to run scripts.
    pub work: bool,
    /// Whether to run Debian's programs.
    pub programs: bool,
    /// Whether to ask the command.
    pub questions: bool,
}

/// The path of an architecture's emulator.
pub fn emulator(row: &Architecture) -> Result<&str, Box<dyn Error>> {
    let path = row.emulator_paths().find(|path| Path::new(path).is_file());
    path.ok_or_else(|| format!("there is no emulator for {}: run ci/setup", row.name).into())
}

/// The version that an emulator reports.
pub fn version(emulator: &str) -> Result<String, Box<dyn Error>> {
    let said = String::from_utf8(Command::new(emulator).arg("--version").output()?.stdout)?;
    let version = said.lines().next().and_then(|line| line.split_once(" version "));
    Ok(version.map(|(_, version)| version.to_owned()).unwrap_or_default())
}

/// All contestants, with running workers.
pub struct Contest {
    /// For each contestant, its worker in this machine's root directory, its worker in Debian's, and
    /// the one with an entry for every row.
    workers: Vec<[Option<Worker>; 3]>,
    _directory: TempDir,
}

struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Contest {
    /// Writes the files to register and the files to run, and starts the workers.
    pub fn prepare(wanted: &Wanted<'_>) -> Result<Self, Box<dyn Error>> {
        let directory = TempDir::new()?;
        let table = ArchTable::builtin();
        write_images(directory.path(), &table, wanted)?;

        let own = [WORKER_ARCHITECTURE, std::env::consts::ARCH].map(str::to_owned);
        for name in wanted.architectures.iter().chain(&own) {
            executable(&guest(directory.path(), name), &row(&table, name)?.probe_elf())?;
        }
        if wanted.work {
            prepare_work(directory.path())?;
        }
        let roots =
            if wanted.programs { Some(Roots::prepare(emulator(row(&table, WORKER_ARCHITECTURE)?)?)?) } else { None };

        let mut models = Vec::new();
        for name in wanted.architectures.iter().chain(&own[..1]) {
            let row = row(&table, name)?;
            let model = model(row, &version(emulator(row)?)?);
            models.extend(model.map(|model| format!("{name}={model}")));
        }
        let start = |contestant: &Contestant| -> Result<[Option<Worker>; 3], Box<dyn Error>> {
            let new = |options: &[&str], root: Option<&Path>| {
                let mut command = Command::new("/proc/self/exe");
                command.args(["--worker", contestant.name, "--directory"]).arg(directory.path()).args(options);
                if let Some(root) = root {
                    command.arg("--root").arg(root);
                }
                if ![DEFAULT, NATIVE].contains(&contestant.name) {
                    models.iter().for_each(|model| _ = command.args(["--model", model]));
                }
                Worker::start(command)
            };
            let count = if contestant.is_for_the_first() { 1 } else { wanted.architectures.len() };
            let names: Vec<&str> = wanted.architectures[..count].iter().map(String::as_str).collect();
            let outside = contestant.starts_elsewhere().then(|| new(&names, None)).transpose()?;
            let roots = roots.as_ref().filter(|_| contestant.starts_programs());
            let root = roots.map(|roots| if contestant.name == NATIVE { &roots.native } else { &roots.foreign });
            let inside = root.map(|root| new(&[WORKER_ARCHITECTURE], Some(root))).transpose()?;
            let asked = (wanted.questions && contestant.answers())
                .then(|| new(&[WORKER_ARCHITECTURE, "--every-row"], None))
                .transpose()?;
            Ok([outside, inside, asked])
        };
        let workers = CONTESTANTS.iter().map(start).collect::<Result<_, _>>()?;
        Ok(Contest { workers, _directory: directory })
    }

    /// Runs the subject once.
    pub fn run(&mut self, contestant: usize, subject: &Subject) -> Result<Sample, Box<dyn Error>> {
        let [outside, inside, asked] = &mut self.workers[contestant];
        let (worker, order) = match subject {
            Subject::Start(architecture) => (outside, format!("start {architecture}")),
            Subject::Loop => (outside, "work loop".to_owned()),
            Subject::Configure(checks) => (outside, format!("work configure {checks}")),
            Subject::Program(program) => (inside, format!("program {}", program.name)),
            Subject::Question(question) => (asked, format!("ask {}", question.name)),
        };
        let answer = worker.as_mut().ok_or("there is no such worker")?.ask(&order)?;
        // The worker has reported the cause on standard error.
        answer.parse().map_err(|_| format!("{}: {subject} did not run", CONTESTANTS[contestant].name).into())
    }

    /// How many system calls it takes to start the architecture's program, and to end it.
    pub fn calls(&mut self, contestant: usize, architecture: &str) -> Result<u64, Box<dyn Error>> {
        let worker = self.workers[contestant][0].as_mut().ok_or("there is no such worker")?;
        let answer = worker.ask(&format!("calls {architecture}"))?;
        answer.trim().parse().map_err(|_| format!("{}: no calls were counted", CONTESTANTS[contestant].name).into())
    }
}

impl Worker {
    fn start(mut command: Command) -> Result<Self, Box<dyn Error>> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Worker { process, orders, answers })
    }

    /// Gives an order, and returns the answer.
    fn ask(&mut self, order: &str) -> std::io::Result<String> {
        writeln!(self.orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Path of an architecture's program. Entries of the workers match its extension, so that there can
/// be an entry even for the machine's own architecture.
pub fn guest(directory: &Path, architecture: &str) -> PathBuf {
    directory.join(format!("guest.{architecture}"))
}

/// A script.
pub fn script(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.sh"))
}

/// The shell that runs the scripts, and the programs that they start.
pub fn shell(directory: &Path) -> PathBuf {
    directory.join("bin/busybox")
}

/// The images of all contestants.
fn write_images(directory: &Path, table: &ArchTable, wanted: &Wanted<'_>) -> Result<(), Box<dyn Error>> {
    let at = |name: &str| directory.join(name);
    fs::write(at("exec.json"), table_with_strategy_exec()?)?;
    let exec = at("exec.json");
    let installed = table.architectures().iter().filter(|row| emulator(row).is_ok()).map(|row| row.name.as_str());
    let installed: Vec<&str> = installed.collect();
    image(&at("exec"), &["--no-emulators", "--table", exec.to_str().ok_or("the path is not text")?])?;
    image(&at("path"), &["--no-emulators"])?;
    image(&at("image"), &[&["--no-prelink"], &installed[..]].concat())?;
    image(&at("prelinked"), &[&["--seed", "1"], &installed[..]].concat())?;
    image(&at("single"), &["--seed", "1", &wanted.architectures[0]])
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

/// Writes an image.
fn image(path: &Path, options: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(TOOL).args(["image", "--output"]).arg(path).args(options).status()?;
    if status.success() { Ok(()) } else { Err(format!("the image cannot be written: {status}").into()) }
}
