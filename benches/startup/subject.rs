//! The programs to run, and the ways to run them that are compared.

use std::fmt;

use dispatch_table::{ArchTable, Architecture, Version};

/// The architecture of the programs that do real work.
pub const WORKER_ARCHITECTURE: &str = "aarch64";

/// A way to start programs.
pub struct Contestant {
    /// Name.
    pub name: &'static str,
    /// How programs are started.
    pub meaning: &'static str,
    /// The measurements that it takes part in.
    part: Part,
}

/// The measurements that a contestant takes part in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of them.
    All,
    /// The start of the first architecture's program.
    FirstStart,
    /// Everything for [`WORKER_ARCHITECTURE`], except its start.
    Work,
    /// Debian's programs.
    Programs,
}

const fn contestant(name: &'static str, meaning: &'static str, part: Part) -> Contestant {
    Contestant { name, meaning, part }
}

/// All contestants. The first is the baseline.
pub const CONTESTANTS: [Contestant; 8] = [
    contestant("direct", "QEMU registered directly", Part::All),
    contestant(DEFAULT, "QEMU registered directly, with the CPU model that it chooses itself", Part::Work),
    contestant("exec", "the dispatcher executes QEMU (strategy exec)", Part::All),
    contestant("path", "the dispatcher maps QEMU from its path", Part::All),
    contestant("image", "QEMU embedded in the image, not prelinked", Part::All),
    contestant("prelinked", "QEMU embedded in the image, prelinked", Part::All),
    contestant("single", "as prelinked, with no other emulator in the image", Part::FirstStart),
    contestant(NATIVE, "the same program of this machine's own architecture, without QEMU", Part::Programs),
];

/// The contestant without a CPU model. All others have the table's, so that only the way to start
/// QEMU differs.
pub const DEFAULT: &str = "default";
/// The contestant without an emulator.
pub const NATIVE: &str = "native";

impl Contestant {
    /// Whether it runs `subject`, which may be the first one.
    pub fn runs(&self, subject: &Subject, first: bool) -> bool {
        let start = matches!(subject, Subject::Start(_));
        match self.part {
            Part::All => true,
            Part::FirstStart => start && first,
            Part::Work => !start && !matches!(subject, Subject::Question(_)),
            Part::Programs => matches!(subject, Subject::Program(_)),
        }
    }

    /// Whether it runs anything but Debian's programs.
    pub fn starts_elsewhere(&self) -> bool {
        self.part != Part::Programs
    }

    /// Whether it is asked.
    pub fn answers(&self) -> bool {
        self.part == Part::All
    }

    /// Whether it runs Debian's programs.
    pub fn starts_programs(&self) -> bool {
        self.part != Part::FirstStart
    }

    /// Whether it runs the starts of the first architecture only.
    pub fn is_for_the_first(&self) -> bool {
        self.part == Part::FirstStart
    }

    /// Whether the kernel starts QEMU itself.
    pub fn is_direct(&self) -> bool {
        matches!(self.name, "direct" | DEFAULT)
    }
}

/// A program in Debian's root directory.
#[derive(PartialEq, Eq)]
pub struct Program {
    /// One word.
    pub name: &'static str,
    /// Its path in the root directory; `None` for the probe, which is static and exits at once.
    pub path: Option<&'static str>,
    /// Its arguments.
    pub arguments: &'static [&'static str],
}

/// All of Debian's programs that are run.
pub const PROGRAMS: [Program; 5] = [
    Program { name: "exit", path: None, arguments: &[] },
    Program { name: "true", path: Some("/usr/bin/true"), arguments: &[] },
    Program { name: "bash", path: Some("/usr/bin/bash"), arguments: &["-c", ":"] },
    Program { name: "perl", path: Some("/usr/bin/perl"), arguments: &["-e", "1"] },
    Program { name: "python3", path: Some("/usr/bin/python3"), arguments: &["-S", "-c", "1"] },
];

impl Program {
    /// The command line, as a person would write it.
    pub fn label(&self) -> String {
        if self.path.is_none() { "static, exits".to_owned() } else { [&[self.name], self.arguments].concat().join(" ") }
    }
}

/// A program or script that a worker can run.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// The probe of an architecture, which exits at once.
    Start(String),
    /// One of Debian's programs, with its shared libraries.
    Program(&'static Program),
    /// A shell loop that starts 200 programs.
    Loop,
    /// A shell script that looks for this many features.
    Configure(u32),
    /// A command of binfmt-dispatch, with its probes.
    Question(&'static Question),
}

/// A command that says what runs, where every architecture is registered.
#[derive(PartialEq, Eq)]
pub struct Question {
    /// The command.
    pub name: &'static str,
    /// What it is asked.
    meaning: &'static str,
    /// Most time that it may take, in milliseconds.
    pub limit: u32,
}

/// All these commands.
pub const QUESTIONS: [Question; 2] = [
    Question { name: "explain", meaning: "explain of a program of aarch64, with its probe", limit: 20 },
    Question { name: "status", meaning: "status of all rows, with all probes", limit: 500 },
];

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Start(architecture) => write!(f, "{architecture} exit(0)"),
            Subject::Program(program) if program.path.is_none() => {
                write!(f, "{WORKER_ARCHITECTURE} exit(0), static, among Debian's programs")
            }
            Subject::Program(program) => write!(f, "{WORKER_ARCHITECTURE} `{}` of Debian, dynamic", program.label()),
            Subject::Loop => write!(f, "{WORKER_ARCHITECTURE} shell loop that starts 200 programs"),
            Subject::Configure(checks) => {
                write!(f, "{WORKER_ARCHITECTURE} shell script like configure, {checks} checks")
            }
            Subject::Question(question) => f.write_str(question.meaning),
        }
    }
}

impl Subject {
    /// The same subject with less to do, to fill caches.
    pub fn briefly(&self) -> Self {
        if let Subject::Configure(_) = self { Subject::Configure(1) } else { self.clone() }
    }

    /// Its name, in one word.
    pub fn name(&self) -> &str {
        match self {
            Subject::Start(architecture) => architecture,
            Subject::Program(program) => program.name,
            Subject::Loop => "loop",
            Subject::Configure(_) => "configure",
            Subject::Question(question) => question.name,
        }
    }
}

/// The row of an architecture.
pub fn row<'t>(table: &'t ArchTable, name: &str) -> Result<&'t Architecture, String> {
    table.find(name).ok_or_else(|| format!("{name}: the table has no such row"))
}

/// The table's CPU model for an emulator of the row that reports this version.
pub fn model(row: &Architecture, version: &str) -> Option<String> {
    let version: Option<Version> = version.parse().ok();
    row.tuned(version.as_ref()).cpu.map(str::to_owned)
}
