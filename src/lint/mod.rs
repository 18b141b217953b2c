//! Checks files of binfmt.d before a machine does: what systemd-binfmt and the kernel would refuse,
//! and what they would take although it does harm.
//!
//! The files are read in the order in which systemd-binfmt reads them ([`sources`]), line by line
//! ([`text`]). Each line is judged by itself ([`line`]), then with the file of its interpreter
//! ([`interpreter`]), and at last all entries together ([`overlap`]).

pub mod finding;
mod interpreter;
mod line;
mod overlap;
pub mod sources;
mod text;

use std::ops::Range;
use std::path::{Path, PathBuf};

use binfmt_misc::{Flags, Matcher};
use dispatch_table::{ArchTable, Architecture};
use serde::{Serialize, Serializer};

use crate::output::json::Bytes;
use crate::registry::own_programs::HostPrograms;
use finding::{Finding, Findings};
use interpreter::Interpreters;
use sources::{Source, Standing};

/// What files are checked against.
#[derive(Debug)]
pub struct Setting<'t> {
    /// The architectures that are known.
    pub table: &'t ArchTable,
    /// The machine that the entries are for.
    pub host: &'t Architecture,
    /// All programs that it runs natively.
    pub own: HostPrograms,
    /// The root directory of the system that the entries are for; `None` if the files of
    /// interpreters are not looked at.
    pub root: Option<PathBuf>,
}

/// An entry that is there after all files have been read.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The file that it is in.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: usize,
    /// How many bytes are in front of its text in the line.
    pub start: usize,
    /// Its name.
    pub name: Bytes,
    /// The bytes of its text that are the name.
    pub name_at: Range<usize>,
    /// What it matches.
    pub matcher: Matcher,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// Its flags.
    pub flags: Flags,
}

/// What is known of all files.
#[derive(Debug)]
pub struct Report {
    /// The files, in the order of reading.
    pub sources: Vec<Source>,
    /// The entries that are registered, the first one first: of those that match a file, the last
    /// one gets it.
    pub entries: Vec<Registered>,
    /// What was found, in the order of files and lines.
    pub findings: Vec<Finding>,
}

/// Checks files.
pub fn check(sources: Vec<Source>, setting: &Setting<'_>) -> Report {
    let mut findings = Findings::default();
    let mut entries: Vec<Registered> = Vec::new();
    let mut interpreters = Interpreters::new(setting);
    for source in &sources {
        findings.file(&source.path);
        match &source.standing {
            Standing::Read => {}
            standing => {
                findings.of_file(standing.check(), standing.message());
                continue;
            }
        }
        let Some(bytes) = text::read(source, &mut findings) else { continue };
        for found in text::lines(&bytes, &mut findings) {
            line::check(&found, setting, &mut entries, &mut interpreters, &mut findings);
        }
    }
    overlap::check(&entries, setting, &mut findings);
    Report { entries, findings: findings.sorted(&sources), sources }
}

impl Registered {
    /// For `file:line`, in messages.
    pub fn place(&self) -> String {
        format!("{}:{}", crate::failure::show(self.file.as_os_str()), self.line)
    }
}

/// The architectures of the table whose tiny program a matcher accepts.
pub fn architectures<'t>(matcher: &Matcher, table: &'t ArchTable) -> Vec<&'t str> {
    let Matcher::Rule(rule) = matcher else { return Vec::new() };
    let accepted = table.architectures().iter().filter(|row| rule.accepts(&row.probe_elf()));
    accepted.map(|row| row.name.as_str()).collect()
}

impl Serialize for Registered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'r> {
            name: &'r Bytes,
            file: Bytes,
            line: usize,
            interpreter: Bytes,
            flags: String,
            extension: Option<Bytes>,
        }
        let Registered { file, line, name, interpreter, flags, .. } = self;
        let extension = match &self.matcher {
            Matcher::Extension(extension) => Some(Bytes::from(extension)),
            Matcher::Rule(_) | Matcher::Handler(_) => None,
        };
        let path = |path: &Path| Bytes::from(path.as_os_str());
        let (file, interpreter) = (path(file), path(interpreter));
        Shown { name, file, line: *line, interpreter, flags: flags.to_string(), extension }.serialize(serializer)
    }
}
