//! `explain`: says what a program is, which emulator runs it and how, and what is missing.
//!
//! Collects an [`Explanation`]. JSON shows it as it is; text renders it. Nothing is carried out.

mod abi;
mod contents;
mod cpu;
mod credentials;
mod gather;
mod judge;
mod kernel;
mod kinds;
mod libraries;
mod planning;
mod remedy;
mod setting;
mod text;
mod translated;
mod unplanned;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::refusal::EXIT_NO;
use dispatch_table::{ArchTable, Architecture};
use serde::Serialize;

use self::setting::{Setting, Subject};
use self::translated::Translated;
use crate::failure::Failure;
use crate::image::Effective;
use crate::output;
use crate::output::json::{self, Bytes, Shown};
use crate::platform::files;
use crate::platform::labels::Module;
use crate::platform::memfd::DESCRIPTORS;
use crate::registry::Flags;

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The programs; - is standard input; a name without a slash is searched for in PATH, and only
    /// there
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print JSON: an object for one file, a list for several (docs/explain-json.md)
    #[arg(long)]
    pub json: bool,
    /// Start nothing: judge by files and by the kernel's registry
    #[arg(long)]
    pub no_probe: bool,
    /// Look at programs below DIR, as they run after chroot(1); their paths begin there
    ///
    /// A plain user needs user namespaces for it. If an entry without flag F gets a program, its
    /// interpreter below DIR is started, unless --no-probe is given: DIR has to be trusted.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Say whether they run by themselves on a machine of this architecture, instead of here
    #[arg(long, value_name = "ARCH")]
    pub host: Option<String>,
}

impl Args {
    /// The arguments for one file.
    pub fn of(file: PathBuf, json: bool) -> Self {
        Args { files: vec![file], json, no_probe: false, root: None, host: None }
    }
}

/// The explanation of one program.
#[derive(Debug, Serialize)]
struct Explanation {
    /// The program asked about; `-` is standard input.
    file: Bytes,
    /// The root directory that its path begins at; none for `/`.
    root: Option<Bytes>,
    /// The machine that the verdict is about; none for this one.
    host: Option<String>,
    /// The files that `#!` lines led to; the last is the ELF file that the rest describes. Empty
    /// for an ELF file.
    scripts: Vec<Bytes>,
    header: Option<Header>,
    architecture: Option<Row>,
    kernel: Kernel,
    /// What a test program of the same architecture has shown; none if none was started.
    probe: Option<Probe>,
    /// The ids and privileges that the program would have; none if it cannot be started.
    credentials: Option<Credentials>,
    /// The security modules that are on, with the labels of this process.
    security: Vec<Module>,
    /// The label that SELinux has for the file.
    label: Option<String>,
    /// Whether the kernel will mark the start as privileged (`AT_SECURE`).
    privileged: bool,
    emulators: Vec<Tried>,
    plan: Option<PlanView>,
    /// The CPU that the program finds; none if there is nothing to say about it.
    cpu: Option<Cpu>,
    /// What the image's translations have of its code; none if its emulator has no translations.
    translations: Option<Translated>,
    /// Notes that do not keep it from running.
    notes: Vec<String>,
    verdict: Verdict,
    /// How the program runs if an entry of binfmt-dispatch accepts it; none if by the plan.
    #[serde(skip)]
    how: Option<String>,
    /// Whether `how` names a condition.
    #[serde(skip)]
    conditional: bool,
    /// The words after `binfmt-dispatch run` that run it.
    #[serde(skip)]
    words: Vec<Bytes>,
}

impl Explanation {
    /// Whether an entry of other software gets the program.
    fn is_others(&self) -> bool {
        self.kernel.winner().is_some_and(|entry| !entry.ours)
    }
}

/// The ELF header, in words and numbers.
#[derive(Debug, Serialize)]
struct Header {
    class: String,
    data: String,
    osabi: u8,
    system: String,
    /// `executable` or `position-independent`.
    kind: &'static str,
    machine: u16,
    /// The constant's name in `<elf.h>`, if it has one.
    machine_name: Option<String>,
    flags: u32,
    /// The ABI, as far as `flags` tell.
    abi: Vec<String>,
    entry: u64,
    /// The type of the AppImage, if it is one.
    appimage: Option<u8>,
    /// The dynamic linker; none for a static program.
    dynamic_linker: Option<Bytes>,
    /// The libraries that it needs.
    libraries: Vec<Bytes>,
}

/// The matching row of the table.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    aliases: Vec<String>,
    notes: String,
}

/// The running kernel's entries.
#[derive(Debug, Serialize)]
struct Kernel {
    /// Why no entries can be seen, if so.
    unavailable: Option<String>,
    /// Whether the kernel may have entries nevertheless: in a container, those of the host.
    #[serde(skip)]
    may_have_entries: bool,
    /// Whether all entries are turned off.
    disabled: bool,
    /// The entries that match the file, the newest first.
    entries: Vec<Entry>,
    /// The entry that gets other programs of the architecture, if none gets this one.
    refused_by: Option<Bytes>,
}

impl Kernel {
    /// The newest entry that would get the file if it were turned on, and could start its
    /// interpreter.
    fn off(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.role == "off" && !entry.missing)
    }

    /// Whether other software may have registered an entry with a name of `row`.
    fn has_others(&self, row: Option<&Architecture>) -> bool {
        let rules = || row.iter().flat_map(|row| row.rules());
        let named = |entry: &&Entry| rules().any(|rule| rule.name.as_bytes() == entry.name.as_bytes());
        self.refused_by.is_some() || self.entries.iter().filter(named).any(|entry| !entry.ours)
    }

    /// The entry that gets the file.
    fn winner(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.role == "wins")
    }
}

/// An entry that matches the file.
#[derive(Debug, Serialize)]
struct Entry {
    name: Bytes,
    interpreter: Bytes,
    flags: Shown<Flags>,
    /// Whether its interpreter is an image, so that it would carry out the plan.
    ours: bool,
    /// `wins` if it gets the file, `shadowed` if a newer one gets it, `off` if it is turned off.
    role: &'static str,
    /// `magic` or `extension`.
    matches: &'static str,
    /// Whether the kernel would look its interpreter up, and not find it.
    missing: bool,
    /// Whether the entry itself is turned on.
    #[serde(skip)]
    enabled: bool,
    /// Whether nothing is known of its interpreter: it is open, and was not asked, and there is no
    /// file at its path.
    #[serde(skip)]
    unseen: bool,
}

impl Entry {
    /// Whether `unshare` registered it, with an image that has no path.
    fn is_private(&self) -> bool {
        self.ours && Path::new(OsStr::from_bytes(self.interpreter.as_bytes())).starts_with(DESCRIPTORS)
    }
}

/// What a test program of the same architecture has shown.
#[derive(Debug, Serialize)]
struct Probe {
    architecture: String,
    /// Whether it ran.
    runs: bool,
    /// Why it did not, if so.
    fault: Option<String>,
    /// Whether the kernel had no format for it: `Exec format error`.
    #[serde(skip)]
    refused: bool,
    /// Whether the kernel did not find the interpreter of an entry.
    #[serde(skip)]
    missing: bool,
    /// The exit code that goes with the fault.
    #[serde(skip)]
    exit_code: u8,
}

/// The ids and privileges that the program would have.
#[derive(Debug, Serialize)]
struct Credentials {
    /// The effective user id.
    uid: u32,
    /// The effective group id.
    gid: u32,
    /// What the file asks for: `set-id`, `capabilities`.
    asks: Vec<&'static str>,
    /// Why that has no effect, if so.
    taken_away: Option<String>,
}

/// A path that was tried for the emulator.
#[derive(Debug, Serialize)]
struct Tried {
    path: Bytes,
    /// Whether this one is used.
    chosen: bool,
    /// Why it cannot be opened.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct PlanView {
    emulator: Bytes,
    /// The version that it reported when it was asked; none if it was not, or has been replaced.
    version: Option<String>,
    /// The directory whose row of the table was used; none for the architecture's own row.
    below: Option<String>,
    /// `image` if the emulator is embedded, else `map` or `exec`.
    strategy: &'static str,
    /// Whether that is so in a private image that embeds emulators, as far as this command knows.
    #[serde(skip)]
    private: bool,
    argv: Vec<Bytes>,
    environment: Environment,
    sysroot: Option<Bytes>,
}

/// The emulated CPU, and what the program says it needs.
#[derive(Debug, Serialize)]
struct Cpu {
    /// The model that the emulator is given; none if it uses its default.
    model: Option<Bytes>,
    /// Features that the program says it needs, or can use.
    property: Vec<String>,
    /// Whether it needs them.
    required: bool,
    /// Those that the model lacks, as far as the table knows.
    lacks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Environment {
    removed: Vec<Bytes>,
    added: Vec<Bytes>,
}

/// Whether the program runs when it is executed.
#[derive(Debug, Serialize)]
struct Verdict {
    /// None if that cannot be told, as the file may be executed and not read.
    runs: Option<bool>,
    /// Whether that is certain; if not, the reason names the condition.
    certain: bool,
    /// The exit code that a shell or `run` gives for the attempt; 0 if the program runs.
    exit_code: u8,
    /// How, or why not.
    reason: String,
    /// The remedy.
    remedy: Option<String>,
    /// A command that runs the program at once, without the remedy.
    now: Option<String>,
}

/// The answer for a file that cannot be explained.
#[derive(Debug, Serialize)]
struct Unexplained {
    file: Bytes,
    verdict: Verdict,
}

/// The answer for one file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there are as many as files on the command line")]
enum Answer {
    Explained(Explanation),
    Unexplained(Unexplained),
}

impl Answer {
    fn runs(&self) -> bool {
        matches!(self, Answer::Explained(explanation) if explanation.verdict.runs == Some(true))
    }
}

/// Prints the answers as JSON, if that is wanted.
fn show(args: &Args, answers: &[Answer]) -> Result<(), Failure> {
    match answers {
        [answer] if args.json => json::print(answer),
        answers if args.json => json::print(&answers),
        _ => Ok(()),
    }
}

/// Prints the answers if no file can be explained.
///
/// # Errors
/// [`Failure::Output`].
pub fn failed(args: &Args, failure: &Failure) -> Result<(), Failure> {
    let unexplained = |file: &PathBuf| {
        Answer::Unexplained(Unexplained { file: Bytes::from(file), verdict: Verdict::failed(failure, file) })
    };
    show(args, &args.files.iter().map(unexplained).collect::<Vec<_>>())
}

/// Explains programs. The exit code is 0 if all of them run, and 1 otherwise.
///
/// # Errors
/// [`Failure::Output`]; the root directory cannot be entered; the other machine is unknown.
pub fn run(args: &Args, image: &Effective, table: &ArchTable) -> Result<u8, Failure> {
    let setting = match Setting::prepare(args, image, table) {
        Ok(setting) => setting,
        Err(failure) => {
            failed(args, &failure)?;
            return Err(failure);
        }
    };
    let mut answers = Vec::new();
    for file in &args.files {
        let explained = Subject::named(file)
            .and_then(|subject| gather::explain(&subject, &setting).map_err(|failure| subject.rename(failure)));
        let answer = match explained {
            Ok(explanation) => Answer::Explained(explanation),
            Err(failure) => {
                let verdict = Verdict::failed(&failure, file);
                if !args.json {
                    failure.report();
                }
                Answer::Unexplained(Unexplained { file: Bytes::from(file), verdict })
            }
        };
        if let (Answer::Explained(explanation), false) = (&answer, args.json) {
            let gap = if answers.iter().any(|answer| matches!(answer, Answer::Explained(_))) { "\n" } else { "" };
            output::print(format!("{gap}{}", text::render(explanation)))?;
        }
        answers.push(answer);
    }
    show(args, &answers)?;
    Ok(if answers.iter().all(Answer::runs) { 0 } else { EXIT_NO })
}

impl Verdict {
    /// The verdict on a file that could not be explained.
    fn failed(failure: &Failure, file: &Path) -> Self {
        let message = match failure {
            Failure::Refused { path, message, .. } if path == file => message.clone(),
            failure => failure.to_string(),
        };
        // The kernel can hand it to an interpreter, which gets it open (flag O).
        let runs = (!files::is_for_execution_alone(file)).then_some(false);
        Verdict {
            runs,
            certain: runs.is_some(),
            exit_code: failure.exit_code(),
            reason: message,
            remedy: None,
            now: None,
        }
    }
}
