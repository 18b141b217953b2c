//! `explain`: what a program is, which emulator runs it and how, and what is missing.
//!
//! Gathers an [`Explanation`], a value that JSON shows as it is and text renders; it carries out nothing.

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
    /// The program; a name without a slash is looked for in PATH, and only there
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Everything there is to say about one program.
#[derive(Debug, Serialize)]
struct Explanation {
    /// The program that was asked for.
    file: Bytes,
    /// What `#!` lines led to, last the ELF file that the rest is about; empty for an ELF file.
    scripts: Vec<Bytes>,
    header: Option<Header>,
    architecture: Option<Row>,
    kernel: Kernel,
    /// Whether the kernel will mark the start as privileged (`AT_SECURE`).
    privileged: bool,
    emulators: Vec<Tried>,
    plan: Option<PlanView>,
    /// Which CPU the program finds; none if nothing is to be said of it.
    cpu: Option<Cpu>,
    /// What does not keep it from running, but deserves to be known.
    notes: Vec<String>,
    verdict: Verdict,
    /// How the program runs if an entry of ours takes it; none if that is as planned.
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

/// What the running kernel has registered.
#[derive(Debug, Serialize)]
struct Kernel {
    /// Why there are no entries that can be seen, if so.
    unavailable: Option<String>,
    /// Whether the kernel may have entries nevertheless: those of the host, seen from inside a container.
    #[serde(skip)]
    may_have_entries: bool,
    /// The enabled entries that accept the file. Of several the newest wins, and the kernel does not tell which that is.
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: Bytes,
    interpreter: Bytes,
    flags: Shown<Flags>,
    /// Whether its interpreter is an image of ours, so that the plan is what it would carry out.
    ours: bool,
}

/// An emulator that was looked for.
#[derive(Debug, Serialize)]
struct Tried {
    path: Bytes,
    /// Whether this one is taken.
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

/// The emulated CPU, and what the program says of it.
#[derive(Debug, Serialize)]
struct Cpu {
    /// The model that the emulator is given; none if it chooses itself.
    model: Option<Bytes>,
    /// What the program says that it needs, or can use.
    property: Vec<String>,
    /// Whether it needs that.
    required: bool,
    /// What of it the model lacks, as far as the table knows.
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
    /// 0; 1 if only the kernel's entry is missing; or else what `run` would end with.
    exit_code: u8,
    /// How, or why not.
    reason: String,
    /// What to do about it.
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
