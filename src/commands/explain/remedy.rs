//! The remedy that works in the state that was found: never a command that would fail next.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::NAME;
use dispatch_table::{ArchTable, Architecture};
use nix::unistd::geteuid;

use super::Explanation;
use crate::defaults::REGISTRY;
use crate::image::Effective;
use crate::platform::distribution::Family;
use crate::platform::host;
use crate::program::invoked::quote;
use crate::program::privilege::root_is_another;

/// Commands that need root, one after the other. Root of a user namespace that an ordinary user has
/// made cannot run them.
pub(super) fn as_root(commands: &[String]) -> String {
    let outside = root_is_another();
    let sudo = if geteuid().is_root() && !outside { "" } else { "sudo " };
    let commands = commands.iter().map(|command| format!("{sudo}{command}")).collect::<Vec<_>>().join(" && ");
    if outside { format!("outside this user namespace: {commands}") } else { commands }
}

/// Writes to a file of the registry.
fn turn_on(file: &[u8]) -> String {
    let path = quote(Path::new(REGISTRY).join(OsStr::from_bytes(file)).as_os_str().as_bytes());
    if geteuid().is_root() { format!("echo 1 > {path}") } else { format!("echo 1 | sudo tee {path}") }
}

/// The system around the root directory that is looked at.
#[derive(Debug)]
pub(super) struct Outside {
    /// The path of the root directory there.
    root: PathBuf,
    /// Its own root directory.
    around: File,
    family: Option<Family>,
    /// Names of the architectures whose emulators are installed there.
    emulators: BTreeSet<String>,
}

impl Outside {
    /// The path of the root directory in this system.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path by which a file of the system around is reached from the root directory, if that has
    /// a /proc. Paths below /proc/self/fd stand for private images, so it begins differently.
    pub fn reach(&self, path: &Path) -> PathBuf {
        let around = PathBuf::from(format!("/proc/thread-self/fd/{}", self.around.as_raw_fd()));
        path.strip_prefix("/").map_or_else(|_| path.to_owned(), |path| around.join(path))
    }

    /// This system, before the root directory `root` is entered.
    pub fn look(root: &Path, table: &ArchTable) -> io::Result<Self> {
        let installed = table.architectures().iter().filter(|row| host::installed(row).is_some());
        Ok(Outside {
            root: std::path::absolute(root)?,
            around: File::open("/")?,
            family: Family::of(Path::new("/")),
            emulators: installed.map(|row| row.name.clone()).collect(),
        })
    }
}

/// Makes remedies.
#[derive(Clone, Copy)]
pub(super) struct Remedies<'r> {
    /// The image of this command.
    pub image: &'r Effective,
    /// The system around the root directory; `None` if none was entered.
    pub outside: Option<&'r Outside>,
}

impl Remedies<'_> {
    /// Whether the image of this command embeds the emulator of `row`.
    fn embeds(self, row: &Architecture) -> bool {
        matches!(self.image, Effective::Image(image) if image.embedded().is_ok_and(|names| names.contains(&row.name)))
    }

    /// Whether an emulator for `row` is at hand: embedded, or installed.
    fn has_emulator(self, row: &Architecture) -> bool {
        let installed = match self.outside {
            Some(outside) => outside.emulators.contains(&row.name),
            None => host::installed(row).is_some(),
        };
        installed || self.embeds(row)
    }

    /// The command that installs an emulator of `row`.
    pub fn get_emulator(self, row: &Architecture) -> String {
        let family = self.outside.map_or_else(|| Family::of(Path::new("/")), |outside| outside.family);
        match family {
            Some(family) => as_root(&[family.emulator(&row.name)]),
            None => "install the package qemu-user-static".to_owned(),
        }
    }

    /// How to get an entry for a program of `row`.
    pub fn get_entry(self, explanation: &Explanation, row: &Architecture) -> String {
        let kernel = &explanation.kernel;
        if kernel.disabled {
            return turn_on(b"status");
        }
        if let Some(off) = kernel.off() {
            return turn_on(off.name.as_bytes());
        }
        if root_is_another() {
            return self.get_namespace(explanation, row);
        }
        let mut steps = Vec::new();
        let mut replace = if kernel.refused_by.is_some() { "--replace " } else { "" };
        if !self.has_emulator(row) {
            steps.push(self.get_emulator(row));
            // The package registers its own entries.
            replace = "--replace ";
        }
        let install = as_root(&[format!("{NAME} install {replace}{}", row.name)]);
        if kernel.unavailable.is_some() {
            steps.push(match kernel.may_have_entries {
                true => as_root(&[format!("mount -t binfmt_misc binfmt_misc {REGISTRY}")]),
                false => as_root(&["modprobe binfmt_misc".to_owned()]),
            });
        }
        steps.push(install);
        steps.join(" && ")
    }

    /// How to get an entry in a user namespace whose root cannot install anything: a further
    /// namespace has them.
    fn get_namespace(self, explanation: &Explanation, row: &Architecture) -> String {
        let words: Vec<String> = explanation.words.iter().map(|word| quote(word.as_bytes())).collect();
        let program = if words.is_empty() { "it".to_owned() } else { words.join(" ") };
        let start = format!("{NAME} unshare -- {program}");
        if self.has_emulator(row) { start } else { format!("{}, then {start}", self.get_emulator(row)) }
    }

    /// The command that runs the program at once, without an entry.
    pub fn run_now(self, explanation: &Explanation, row: &Architecture) -> Option<String> {
        let words: Vec<String> = explanation.words.iter().map(|word| quote(word.as_bytes())).collect();
        let possible = match self.outside {
            Some(_) => self.embeds(row),
            None => self.has_emulator(row),
        };
        let words = Some(words).filter(|words| possible && !words.is_empty())?.join(" ");
        Some(match self.outside {
            Some(outside) => format!("{NAME} unshare -- chroot {} {words}", quote(outside.root.as_os_str().as_bytes())),
            None => format!("{NAME} run {words}"),
        })
    }

    /// How to get the C library of a program of `row`, whose dynamic linker is `linker`. It belongs
    /// into `into`.
    pub fn get_linker(self, row: &Architecture, linker: &str, into: &str, native: bool) -> String {
        let into = match self.outside {
            Some(outside) => &outside.root.to_string_lossy(),
            None => into,
        };
        if linker.starts_with("/system/") {
            return "run it on Android".to_owned();
        }
        if linker.contains("ld-musl") {
            return format!("run it in a root directory of Alpine, or install musl of {} into {into}", row.name);
        }
        // Packages put their files below /usr, or, for programs that run natively, below /.
        let packaged =
            self.outside.is_none() && if native { row.name != host::row().name } else { into.starts_with("/usr/") };
        let family = Family::of(Path::new("/")).filter(|_| packaged);
        let package = family.and_then(|family| family.c_library(&row.name, linker, native));
        package.map_or_else(
            || format!("install the C library of {} into {into}, or get a static build", row.name),
            |commands| as_root(&commands),
        )
    }
}
