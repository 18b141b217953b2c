//! What can go wrong on the command line, situation by situation; each is one line that ends in what to do or in what
//! the kernel said.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::NAME;
use dispatch_core::refusal::{EXIT_BROKEN, EXIT_CANNOT_RUN, EXIT_NO, EXIT_NO_EMULATOR, EXIT_USAGE, Refusal};
use dispatch_core::say::Text;

use crate::probe;
use crate::registry::LineFault;

/// Why a command, or one item of it, did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// A file could not be used as needed.
    Io {
        /// What was to be done with it: "read", "write".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// A table of the site's own cannot be read.
    UnreadableTable {
        /// Its file.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// The command line is wrong in a way that its definitions cannot say.
    Usage(String),
    /// Standard output could not be written.
    Output(io::Error),
    /// A table of the site's own is wrong.
    BadTable {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        error: dispatch_table::Error,
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
    /// No architecture has this name or alias.
    UnknownArchitecture(String),
    /// This machine may run the architecture's programs by itself.
    Native {
        /// The architecture.
        architecture: String,
    },
    /// None of an architecture's emulators is installed.
    NoEmulator {
        /// The architecture.
        architecture: String,
        /// The paths that were tried.
        tried: Vec<String>,
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
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel's switch for all entries is off.
    AllDisabled {
        /// Where the registry is mounted.
        directory: PathBuf,
    },
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
    /// An entry belongs to somebody else and is in the way.
    EntryTaken {
        /// Its name.
        entry: OsString,
        /// What is registered there.
        interpreter: PathBuf,
    },
    /// An entry belongs to somebody else and is not removed.
    NotOurs {
        /// Its name.
        entry: OsString,
        /// What is registered there.
        interpreter: PathBuf,
    },
    /// An entry cannot be written as a line.
    BadLine {
        /// Its name.
        entry: OsString,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// The kernel does not take a line that should be right.
    LineRefused {
        /// The line.
        line: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel cannot open an interpreter as it would to run it.
    InterpreterRefused {
        /// The entry's name.
        entry: OsString,
        /// The interpreter.
        interpreter: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// An entry would be asked for a program of this machine, and every program would end in ELOOP.
    CapturesHost {
        /// The entry's name.
        entry: OsString,
        /// The program.
        program: PathBuf,
    },

    /// An entry would get programs that its host runs by itself.
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
    /// A file of somebody else's is where one of ours belongs.
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// An image is not what its writer wrote.
    DamagedImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: dispatch_core::image::Fault,
    },
    /// A program cannot be inside an image.
    NotForImage {
        /// The program.
        path: PathBuf,
        /// Why not.
        fault: crate::image::layout::Fault,
    },
    /// A file to register was not made for it.
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// A registered architecture's probe did not run.
    ProbeFailed {
        /// The architecture.
        architecture: String,
        /// What happened instead.
        fault: probe::Fault,
        /// Whether the entries were there before, and still are.
        kept: bool,
    },

    /// The kernel has no binfmt_misc of one's own.
    KernelTooOld {
        /// What uname(2) says.
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
        /// What the kernel said.
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
        /// What the kernel said.
        error: io::Error,
    },
}

impl Failure {
    /// What was to be done with `path`, and what the kernel said.
    pub fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Failure::Io { doing, path: path.to_owned(), error }
    }

    /// A program that cannot be opened; the exit code is the one that shells give.
    pub fn unusable(path: &Path, error: &io::Error) -> Self {
        let exit_code = if error.kind() == io::ErrorKind::NotFound { EXIT_NO_EMULATOR } else { EXIT_CANNOT_RUN };
        Failure::Refused { path: path.to_owned(), message: format!("cannot be opened: {}", text(error)), exit_code }
    }

    /// What the kernel's door would say of `path`.
    pub fn refused(path: &Path, refusal: &Refusal<'_>) -> Self {
        Failure::Refused { path: path.to_owned(), message: refusal.to_string(), exit_code: refusal.exit_code() }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Refused { exit_code, .. } => *exit_code,
            Failure::Usage(_)
            | Failure::UnknownArchitecture(_)
            | Failure::BadTable { .. }
            | Failure::UnreadableTable { .. } => EXIT_USAGE,
            Failure::LineRefused { .. } => EXIT_BROKEN,
            Failure::CommandRefused { .. } => EXIT_CANNOT_RUN,
            Failure::NoEmulator { .. } | Failure::CommandNotFound { .. } => EXIT_NO_EMULATOR,
            _ => EXIT_NO,
        }
    }

    /// Says it on standard error, for commands that go on.
    pub fn report(&self) {
        say(format_args!("{self}"));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io { doing, path, error } => {
                write!(f, "{}: cannot {doing}: {}{}", show(path.as_os_str()), remedy(doing, error), text(error))
            }
            Failure::UnreadableTable { path, error } => {
                write!(f, "{}: cannot read: {}{}", show(path.as_os_str()), remedy("read", error), text(error))
            }
            Failure::Output(error) => write!(f, "standard output cannot be written: {}", text(error)),
            Failure::Usage(message) => f.write_str(message),
            Failure::BadTable { path, error } => write!(f, "{}: {error}", show(path.as_os_str())),
            Failure::Refused { path, message, .. } => write!(f, "{}: {message}", show(path.as_os_str())),
            Failure::UnknownArchitecture(name) => {
                write!(f, "{name}: is no known architecture: see `{NAME} list`")
            }
            Failure::Native { architecture } => {
                write!(f, "{architecture}: not registered, as this machine runs such programs by itself: leave it out")
            }
            Failure::NoEmulator { architecture, tried } => {
                write!(f, "{architecture}: no emulator: install one of {}", tried.join(", "))
            }
            Failure::NoBinfmtMisc => f.write_str("this kernel has no binfmt_misc: as root, run `modprobe binfmt_misc`"),
            Failure::NotMounted { directory } => write!(
                f,
                "{0}: no binfmt_misc is mounted: as root, run `mount -t binfmt_misc binfmt_misc {0}`, or use `{NAME} unshare`",
                show(directory.as_os_str()),
            ),
            Failure::AutomountFailed { directory } => write!(
                f,
                "{}: the automounter did not mount binfmt_misc: run `systemctl restart proc-sys-fs-binfmt_misc.automount`",
                show(directory.as_os_str()),
            ),
            Failure::NotPermitted { directory, error } => write!(
                f,
                "{}: may not be written: become root, or use `{NAME} unshare`: {}",
                show(directory.as_os_str()),
                text(error),
            ),
            Failure::AllDisabled { directory } => {
                let status = directory.join("status");
                write!(f, "all entries are off: as root, run `echo 1 > {}`", show(status.as_os_str()))
            }
            Failure::EntryExists { entry } => {
                write!(f, "{}: was registered by somebody else meanwhile: see `{NAME} status`", show(entry))
            }
            Failure::NotRegistered { entry } => write!(f, "{}: is not registered", show(entry)),
            Failure::EntryTaken { entry, interpreter } => write!(
                f,
                "{}: is registered for {}: remove that package, or use `--replace`",
                show(entry),
                show(interpreter.as_os_str()),
            ),
            Failure::NotOurs { entry, interpreter } => write!(
                f,
                "{}: left alone, as it is registered for {}: use what registered it",
                show(entry),
                show(interpreter.as_os_str()),
            ),
            Failure::BadLine { entry, fault } => write!(f, "{}: {fault}", show(entry)),
            Failure::LineRefused { line, error } => {
                write!(f, "the kernel refused `{line}`: please report this: {}", text(error))
            }
            Failure::InterpreterRefused { entry, interpreter, error } => write!(
                f,
                "{}: the kernel cannot open {}: make it executable and nobody write to it: {}",
                show(entry),
                show(interpreter.as_os_str()),
                text(error),
            ),
            Failure::CapturesHost { entry, program } => write!(
                f,
                "{}: would capture this machine's own {}: leave this architecture out",
                show(entry),
                show(program.as_os_str()),
            ),
            Failure::CapturesPrograms { entry, architecture } => write!(
                f,
                "{}: would capture programs that {architecture} hosts run by themselves: leave this architecture out",
                show(entry),
            ),
            Failure::NoImage { path } => {
                write!(f, "{0}: there is no such image: make it with `{NAME} image -o {0}`", show(path.as_os_str()))
            }
            Failure::InTheWay { path } => {
                write!(f, "{}: left alone, as it is not ours: move it away", show(path.as_os_str()))
            }
            Failure::DamagedImage { path, fault } => {
                write!(f, "{}: the image {fault}: write it again with `{NAME} image`", show(path.as_os_str()))
            }
            Failure::NotForImage { path, fault } => {
                let path = show(path.as_os_str());
                write!(f, "{path}: cannot be inside an image, as it {fault}: leave it out, or get a static one")
            }
            Failure::NotAnImage { path } => {
                write!(f, "{}: is no image: make one with `{NAME} image -o FILE`", show(path.as_os_str()))
            }
            Failure::ProbeFailed { architecture, fault, kept: true } => {
                write!(f, "{architecture}: registered before, but its probe {fault}: use `--replace`")
            }
            Failure::ProbeFailed { architecture, fault, kept: false } => {
                write!(f, "{architecture}: taken back, as its probe {fault}")
            }
            Failure::KernelTooOld { release } => write!(
                f,
                "Linux {release} has one binfmt_misc for all: use Linux 6.7 or newer, or `{NAME} register` as root",
            ),
            Failure::NamespacesForbidden { setting, allowing } => {
                write!(f, "{setting} forbids user namespaces: as root, run `sysctl -w {setting}={allowing}`")
            }
            Failure::MemoryForbidden => {
                write!(f, "{0} forbids programs in memory: as root, run `sysctl -w {0}=1`", crate::memory::SETTING)
            }
            Failure::NothingRegistered => {
                write!(f, "nothing was registered: install an emulator, `{NAME} list` shows which there are")
            }
            Failure::Namespace { step, error } => {
                write!(f, "cannot {step}: leave the container, sandbox or chroot that forbids it: {}", text(error),)
            }
            Failure::CommandNotFound { command } => write!(f, "{}: there is no such command", show(command)),
            Failure::CommandRefused { command, error } => {
                write!(f, "{}: cannot be executed: {}", show(command), text(error))
            }
        }
    }
}

/// What to do about an error of a file, in front of what the kernel said; empty if that is all there is to say.
fn remedy(doing: &str, error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match (doing, error.kind()) {
        (_, Kind::IsADirectory) => "name a file: ",
        ("write", Kind::NotFound | Kind::NotADirectory) => "create the directory first: ",
        (_, Kind::NotFound | Kind::NotADirectory) => "check the path: ",
        ("write", Kind::StorageFull | Kind::QuotaExceeded) => "free some space or choose another directory: ",
        ("write", Kind::ReadOnlyFilesystem) => "choose another directory: ",
        ("write", Kind::PermissionDenied) => "choose another directory or become root: ",
        (_, Kind::PermissionDenied) => "make it readable or become root: ",
        _ => "",
    }
}

/// A line on standard error. That it cannot be written there is nowhere to be said; the exit code remains.
fn say(line: fmt::Arguments<'_>) {
    let _ = io::Write::write_all(&mut io::stderr(), format!("{NAME}: {line}\n").as_bytes());
}

/// Says on standard error what a person should know, though nothing failed.
pub fn warn(warning: impl fmt::Display) {
    say(format_args!("warning: {warning}"));
}

/// A name for a terminal: it need not be UTF-8, and may hold what steers one.
pub fn show(name: &OsStr) -> Text<'_> {
    Text(name.as_bytes())
}

/// An error as strerror(3) has it, but in lower case; Rust's own form adds the number.
pub fn text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_that_ends_with_the_kernels_word() {
        let error = || io::Error::from_raw_os_error(13);
        let path = || PathBuf::from("/p");
        for failure in [
            Failure::io("read", &path(), error()),
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
        assert_eq!(Failure::UnknownArchitecture("z80".into()).exit_code(), 2);
        assert_eq!(Failure::NoBinfmtMisc.exit_code(), 1);
        assert_eq!(Failure::NoEmulator { architecture: "arm".into(), tried: vec![] }.exit_code(), 127);
    }
}
