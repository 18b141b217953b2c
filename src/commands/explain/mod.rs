//! `explain`: says what a program is, which emulator runs it and how, and what is missing.
//!
//! Collects an [`Explanation`]. JSON shows it as it is; text renders it. Nothing is carried out.

mod contents;
mod cpu;
mod gather;
mod judge;
mod kernel;
mod text;

use std::path::PathBuf;

use dispatch_table::ArchTable;
use serde::Serialize;

use crate::failure::Failure;
use crate::image::Effective;
use crate::output;
use crate::output::json::{self, Bytes, Shown};
use crate::registry::Flags;

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program; a name without a slash is searched for in PATH, and only there
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The explanation of one program.
#[derive(Debug, Serialize)]
struct Explanation {
    /// The program asked about.
    file: Bytes,
    /// The files that `#!` lines led to; the last is the ELF file that the rest describes. Empty
    /// for an ELF file.
    scripts: Vec<Bytes>,
    header: Option<Header>,
    architecture: Option<Row>,
    kernel: Kernel,
    /// Whether the kernel will mark the start as privileged (`AT_SECURE`).
    privileged: bool,
    emulators: Vec<Tried>,
    plan: Option<PlanView>,
    /// The CPU that the program finds; none if there is nothing to say about it.
    cpu: Option<Cpu>,
    /// Notes that do not keep it from running.
    notes: Vec<String>,
    verdict: Verdict,
    /// How the program runs if an entry of binfmt-dispatch accepts it; none if that is as planned.
    #[serde(skip)]
    how: Option<String>,
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
    entry: u64,
    /// The dynamic linker; none for a static program.
    dynamic_linker: Option<Bytes>,
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
    /// The enabled entries that accept the file. If there are several, the newest wins, and the
    /// kernel does not say which that is.
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: Bytes,
    interpreter: Bytes,
    flags: Shown<Flags>,
    /// Whether its interpreter is an image, so that it would carry out the plan.
    ours: bool,
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
    /// `image` if the emulator is embedded, else `map` or `exec`.
    strategy: &'static str,
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
    runs: bool,
    /// 0 if it runs; 1 if only the kernel's entry is missing; otherwise the exit code of `run`.
    exit_code: u8,
    /// How, or why not.
    reason: String,
    /// The remedy.
    remedy: Option<String>,
}

/// Explains a program.
///
/// # Errors
/// [`Failure::Refused`] when there is nothing to explain, and [`Failure::Output`].
pub fn run(args: &Args, image: &Effective, table: &ArchTable) -> Result<u8, Failure> {
    let explanation = gather::explain(args.file.as_os_str(), image, table)?;
    if args.json {
        json::print(&explanation)?;
    } else {
        output::print(text::render(&explanation))?;
    }
    Ok(explanation.verdict.exit_code)
}
