//! The failures of the command, one variant per situation. Each is one line that ends in what to
//! do, or in the kernel's error text.

mod container;
mod group;
mod message;
mod names;
mod probe;
mod program;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anstyle::Style;
use binfmt_misc::LineFault;
use dispatch_core::NAME;
use dispatch_core::refusal::{EXIT_BROKEN, EXIT_CANNOT_RUN, EXIT_NO, EXIT_NO_EMULATOR, EXIT_USAGE, Refusal};

use crate::progress;
use crate::style::{BAD, ERRORS, WARNING, paint_if};

pub use container::ContainerFault;
pub use group::report_all;
pub use message::MAY_MOUNT;
pub use names::{listed, show, text};
pub use probe::ProbeFault;
pub use program::ProgramFault;

/// The setting that may forbid programs in memory.
const MEMFD_SETTING: &str = "vm.memfd_noexec";

/// Most symbolic links that the kernel follows (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// An operation on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Read,
    Write,
    Make,
    Find,
    Lock,
    Remove,
    Restore,
    Mount,
    Enter,
    Execute,
}

/// Why a command, or one item of it, did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// A file could not be used as needed.
    Io {
        /// The operation.
        doing: Doing,
        /// The file.
        path: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// A table of the site's own cannot be read.
    UnreadableTable {
        /// Its file.
        path: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// The command line is wrong in a way that its definitions cannot say.
    Usage(String),
    /// A helper process failed, and has reported why; this is its exit code.
    Reported(u8),
    /// The kernel has no random numbers.
    Random(io::Error),
    /// Standard output could not be written.
    Output(io::Error),
    /// A table of the site's own is wrong.
    BadTable {
        /// Its file.
        path: PathBuf,
        /// The fault.
        error: Box<dispatch_table::Error>,
    },
    /// A program is not run.
    Refused {
        /// The program.
        path: PathBuf,
        /// Why, and what to do.
        message: String,
        /// The exit code that goes with it.
        exit_code: u8,
    },
    /// No program in PATH has this name, which has no slash.
    NotInPath {
        /// The name.
        name: OsString,
        /// Whether the current directory has such a file.
        here: bool,
    },
    /// No architecture has one of these names; each with those that are similar.
    UnknownArchitectures(Vec<(String, Vec<String>)>),
    /// This machine may run the architecture's programs by itself.
    Native {
        /// The architecture.
        architecture: String,
    },
    /// The host that is asked about runs the architecture's programs by itself.
    NativeThere {
        /// The architecture.
        architecture: String,
    },
    /// The table disables the architecture.
    Disabled {
        /// The architecture.
        architecture: String,
        /// Who has disabled it: as a rule, a file.
        by: String,
    },
    /// None of an architecture's emulators is installed.
    NoEmulator {
        /// The architecture.
        architecture: String,
        /// Where they were looked for instead of the table's places, if that was asked for.
        from: Vec<PathBuf>,
        /// The paths, or with `from` the names, that were tried.
        tried: Vec<String>,
    },
    /// There is no emulator for any architecture.
    NoEmulators {
        /// Where they were looked for; empty for the table's places.
        from: Vec<PathBuf>,
    },

    /// The kernel does not have the file system type.
    NoBinfmtMisc,
    /// Nothing, or something else, is mounted where the registry should be.
    NotMounted {
        /// The place.
        directory: PathBuf,
    },
    /// The automounter is there, and did not mount.
    AutomountFailed {
        /// The place.
        directory: PathBuf,
    },
    /// The registry may not be written to.
    NotPermitted {
        /// Where it is mounted.
        directory: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// The kernel's switch for all entries is off.
    AllDisabled {
        /// Where the registry is mounted.
        directory: PathBuf,
    },
    /// A signal came that will end this program once everything is undone.
    Interrupted,
    /// There is an entry with this name already.
    EntryExists {
        /// Its name.
        entry: OsString,
    },
    /// There is no entry with this name.
    NotRegistered {
        /// The name.
        entry: OsString,
    },
    /// An entry of other software has the name.
    EntryTaken {
        /// Its name.
        entry: OsString,
        /// Its interpreter.
        interpreter: PathBuf,
    },
    /// An entry of other software is not removed.
    NotOurs {
        /// Its name.
        entry: OsString,
        /// Its interpreter.
        interpreter: PathBuf,
    },
    /// An entry cannot be written as a line.
    BadLine {
        /// Its name.
        entry: OsString,
        /// The fault.
        fault: LineFault,
    },
    /// A format cannot express an entry.
    NotInFormat {
        /// Its name.
        entry: OsString,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// There is no emulator that could be registered itself.
    NoneInstalled,
    /// The kernel does not take a line that should be right.
    LineRefused {
        /// The line.
        line: String,
        /// The kernel's error.
        error: io::Error,
    },
    /// The kernel cannot open an interpreter as it would to run it.
    InterpreterRefused {
        /// The entry's name.
        entry: OsString,
        /// The interpreter.
        interpreter: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// The kernel opens no more interpreters (Linux 7.3), and so none for the entry of this name.
    TooManyInterpreters(OsString),
    /// An entry would match a program of this machine, and every program would end in ELOOP.
    CapturesHost {
        /// The entry's name.
        entry: OsString,
        /// The program.
        program: PathBuf,
    },
    /// An entry would get programs that its host runs natively.
    CapturesPrograms {
        /// The entry's name.
        entry: OsString,
        /// The host's architecture.
        architecture: String,
    },

    /// There is no file to register.
    NoImage {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file of other software is where one of this installation belongs.
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// An image is not what its writer wrote.
    DamagedImage {
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: dispatch_core::image::ImageFault,
    },
    /// The image is for other hosts.
    ImageOfOtherHosts {
        /// The file.
        path: PathBuf,
        /// The CPU of its hosts.
        is: String,
        /// The CPU that it has to be for.
        wanted: String,
    },
    /// No image can be written for hosts of this architecture.
    NotAHost {
        /// Its name.
        name: String,
        /// Names of those that images can be for.
        hosts: Vec<String>,
    },
    /// A program is for other hosts than the image.
    OtherHost {
        /// The program.
        path: PathBuf,
        /// The CPU that it is for.
        is: String,
        /// The CPU that the image is for.
        wanted: String,
    },
    /// A file is not the command for the image's hosts.
    NotACommand {
        /// The file.
        path: PathBuf,
        /// Whether it is one of another version.
        version: bool,
    },
    /// A program cannot be embedded.
    NotForImage {
        /// The program.
        path: PathBuf,
        /// Why not.
        fault: ProgramFault,
    },
    /// The file to register is not an image.
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// A registered architecture's probe did not run.
    ProbeFailed {
        /// The architecture.
        architecture: String,
        /// The outcome.
        fault: ProbeFault,
        /// Whether the entries were there before, and still are.
        kept: bool,
    },

    /// The kernel has no `binfmt_misc` for each user namespace.
    KernelTooOld {
        /// The release that uname(2) reports.
        release: String,
    },
    /// A setting of the system forbids user namespaces.
    NamespacesForbidden {
        /// The setting, as sysctl(8) calls it.
        setting: &'static str,
        /// A value that allows them.
        allowing: &'static str,
    },
    /// A setting of the system forbids programs in memory.
    MemoryForbidden,
    /// Not one entry was made.
    NothingRegistered,
    /// The namespace could not be set up.
    Namespace {
        /// The step that failed.
        step: &'static str,
        /// The kernel's error.
        error: io::Error,
    },
    /// A command does not exist.
    CommandNotFound {
        /// Its name, or path.
        command: OsString,
    },
    /// A command exists and cannot be executed.
    CommandRefused {
        /// Its name, or path.
        command: OsString,
        /// The kernel's error.
        error: io::Error,
    },
    /// Programs of these architectures do not run through binfmt-dispatch, and should.
    NotReady(Vec<String>),
    /// A failure of `container`.
    Container(ContainerFault),
}

impl Failure {
    /// A failed operation on `path`, with the kernel's error.
    pub fn io(doing: Doing, path: &Path, error: io::Error) -> Self {
        Failure::Io { doing, path: path.to_owned(), error }
    }

    /// A program that cannot be opened; the exit code is the one that shells give.
    pub fn unusable(path: &Path, error: &io::Error) -> Self {
        let exit_code = if error.kind() == io::ErrorKind::NotFound { EXIT_NO_EMULATOR } else { EXIT_CANNOT_RUN };
        let remedy = match (error.kind(), path.read_link()) {
            // The name of the link alone would help nobody.
            (_, Ok(_)) => format!("it leads to {}: ", show(end_of_links(path).as_os_str())),
            (io::ErrorKind::PermissionDenied, _) => "make it readable or become root: ".to_owned(),
            _ => String::new(),
        };
        let message = format!("cannot be opened: {remedy}{}", text(error));
        Failure::Refused { path: path.to_owned(), message, exit_code }
    }

    /// The refusal of `path`, as the interpreter would report it.
    pub fn refused(path: &Path, refusal: &Refusal<'_>) -> Self {
        Failure::Refused { path: path.to_owned(), message: refusal.to_string(), exit_code: refusal.exit_code() }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Refused { exit_code, .. } | Failure::Reported(exit_code) => *exit_code,
            Failure::Usage(_)
            | Failure::UnknownArchitectures(_)
            | Failure::NotAHost { .. }
            | Failure::BadTable { .. }
            | Failure::UnreadableTable { .. } => EXIT_USAGE,
            Failure::LineRefused { .. } => EXIT_BROKEN,
            Failure::Container(fault) => fault.exit_code(),
            Failure::CommandRefused { .. } => EXIT_CANNOT_RUN,
            Failure::NoEmulator { .. }
            | Failure::NoEmulators { .. }
            | Failure::NoneInstalled
            | Failure::NotInPath { .. }
            | Failure::CommandNotFound { .. } => EXIT_NO_EMULATOR,
            _ => EXIT_NO,
        }
    }

    /// Reports it on standard error, for commands that continue.
    pub fn report(&self) {
        if !matches!(self, Failure::Reported(_)) {
            say(BAD, format_args!("{self}"));
        }
    }
}

/// The file that does not exist, or the last of too many links, to which the link at `path` leads.
fn end_of_links(path: &Path) -> PathBuf {
    let next = |path: &PathBuf| Some(path.parent().unwrap_or(Path::new("")).join(path.read_link().ok()?));
    std::iter::successors(Some(path.to_owned()), next).take(MOST_LINKS).last().unwrap_or_default()
}

/// Writes a line to standard error. If that fails, only the exit code is left to tell.
fn say(style: Style, line: fmt::Arguments<'_>) {
    progress::clear();
    let name = paint_if(*ERRORS, style, format_args!("{NAME}:")).to_string();
    let _ = io::Write::write_all(&mut io::stderr(), format!("{name} {line}\n").as_bytes());
}

/// Prints a line about something that is done, on standard error.
pub fn note(line: impl fmt::Display) {
    say(Style::new(), format_args!("{line}"));
}

/// Prints a warning on standard error.
pub fn warn(warning: impl fmt::Display) {
    say(WARNING, format_args!("warning: {warning}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_that_ends_with_the_kernels_word() {
        let error = || io::Error::from_raw_os_error(13);
        let path = || PathBuf::from("/p");
        for failure in [
            Failure::io(Doing::Read, &path(), error()),
            Failure::NotPermitted { directory: path(), error: error() },
            Failure::Namespace { step: "mount", error: error() },
            Failure::CommandRefused { command: "c".into(), error: error() },
        ] {
            let message = failure.to_string();
            assert!(message.ends_with(": permission denied"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn exit_codes_tell_whose_fault_it_is() {
        assert_eq!(Failure::UnknownArchitectures(vec![("z80".into(), vec![])]).exit_code(), 2);
        assert_eq!(Failure::NoBinfmtMisc.exit_code(), 1);
        assert_eq!(Failure::NoEmulator { architecture: "arm".into(), from: vec![], tried: vec![] }.exit_code(), 127);
    }
}
