//! The remedy that works in the state that was found: never a command that would fail next.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Architecture};

use super::{Entry, Explanation};
use crate::defaults::REGISTRY;
use crate::image::Effective;
use crate::platform::distribution::Family;
use crate::platform::host;
use crate::platform::memfd::DESCRIPTORS;
use crate::program::authority::{Authority, Place};
use crate::program::invoked::quote;

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
    /// a /proc. Paths below /proc/self/fd stand for private images, which no path reaches.
    pub fn reach(&self, path: &Path) -> PathBuf {
        if path.starts_with(DESCRIPTORS) {
            return path.to_owned();
        }
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
    /// Where the system can be changed.
    pub authority: &'r Authority,
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

    /// The command of root's that installs an emulator of `row`; `None` if the distribution is
    /// unknown.
    fn package(self, row: &Architecture) -> Option<String> {
        let family = self.outside.map_or_else(|| Family::of(Path::new("/")), |outside| outside.family);
        family.map(|family| family.emulator(&row.name))
    }

    /// The command that installs an emulator of `row`.
    pub fn get_emulator(self, row: &Architecture) -> String {
        match self.package(row) {
            Some(command) => self.authority.install(&[command]),
            None => "install the package qemu-user-static".to_owned(),
        }
    }

    /// How to get an entry for a program of `row`. `replace` if one is in the way that cannot be seen.
    pub fn get_entry(self, explanation: &Explanation, row: &Architecture, replace: bool) -> String {
        let kernel = &explanation.kernel;
        let off = kernel.off();
        if kernel.disabled || off.is_some() {
            let all = kernel.disabled.then_some(&b"status"[..]);
            let one = off.filter(|entry| !entry.enabled).map(|entry| entry.name.as_bytes());
            let path = |file: &[u8]| quote(Path::new(REGISTRY).join(OsStr::from_bytes(file)).as_os_str().as_bytes());
            return self.authority.turn_on(&all.into_iter().chain(one).map(path).collect::<Vec<_>>());
        }
        let replace = replace || kernel.refused_by.is_some();
        if let Some(elsewhere) = self.elsewhere(explanation, row, if replace { "install --replace" } else { "install" })
        {
            return elsewhere;
        }
        let mut steps = Vec::new();
        let lacking = !self.has_emulator(row);
        if lacking {
            steps.push(self.get_emulator(row));
        }
        if kernel.unavailable.is_some() {
            steps.push(self.authority.change(&[match kernel.may_have_entries {
                true => format!("mount -t binfmt_misc binfmt_misc {REGISTRY}"),
                false => "modprobe binfmt_misc".to_owned(),
            }]));
        }
        // The package registers its own entries.
        let replace = if replace || lacking { "--replace " } else { "" };
        steps.push(self.authority.change(&[self.authority.command(&format!("install {replace}{}", row.name))]));
        steps.join(" && ")
    }

    /// How the entry of `row` gets an interpreter that can start its programs: by `command`, as
    /// `install --replace`.
    pub fn renew_entry(self, explanation: &Explanation, row: &Architecture, command: &str) -> String {
        self.elsewhere(explanation, row, command)
            .unwrap_or_else(|| self.authority.change(&[self.authority.command(&format!("{command} {}", row.name))]))
    }

    /// How to get an emulator of `row` for programs below the root directory: an image that embeds it.
    pub fn embed(self, explanation: &Explanation, row: &Architecture) -> String {
        let embed = self.renew_entry(explanation, row, "install");
        let lacking = self.authority.place == Place::Here && !self.has_emulator(row);
        if lacking { format!("{} && {embed}", self.get_emulator(row)) } else { embed }
    }

    /// How to have programs of `row` run again, which the table disables.
    pub fn enable(self, explanation: &Explanation, row: &Architecture) -> String {
        let kernel = &explanation.kernel;
        let private = kernel.winner().is_some_and(Entry::is_private);
        let again = match self.authority.place {
            Place::OutsideNamespace if private => format!("{} unshare", self.authority.called),
            _ => {
                let replace = if kernel.has_others(Some(row)) { " --replace" } else { "" };
                let install = self.authority.command(&format!("install{replace} {}", row.name));
                self.authority.change(&[install])
            }
        };
        let then = if again.starts_with("outside") || again.starts_with("on the host") { "" } else { "run " };
        format!("enable it there, then {then}{again}")
    }

    /// How a program of `row` gets an entry if none can be made here; `None` if one can.
    fn elsewhere(self, explanation: &Explanation, row: &Architecture, command: &str) -> Option<String> {
        let command = || self.authority.command(&format!("{command} {}", row.name));
        match self.authority.place {
            Place::Here => None,
            Place::OnHost => Some(self.authority.change(&[command()])),
            // A further namespace has entries of its own.
            Place::OutsideNamespace if self.authority.may_unshare => Some(self.get_namespace(explanation, row)),
            Place::OutsideNamespace => {
                let package = self.package(row).filter(|_| !self.has_emulator(row));
                Some(self.authority.change(&package.into_iter().chain([command()]).collect::<Vec<_>>()))
            }
        }
    }

    /// The command that starts a program of `row` in a further user namespace.
    fn get_namespace(self, explanation: &Explanation, row: &Architecture) -> String {
        let program = program(explanation).unwrap_or_else(|| "it".to_owned());
        let start = self.in_namespace(row, &program);
        if self.has_emulator(row) { start } else { format!("{}, then {start}", self.get_emulator(row)) }
    }

    fn in_namespace(self, row: &Architecture, program: &str) -> String {
        let chroot = self
            .outside
            .map_or_else(String::new, |outside| format!("chroot {} ", quote(outside.root.as_os_str().as_bytes())));
        format!("{} unshare -a {} -- {chroot}{program}", self.authority.called, row.name)
    }

    /// The command that runs the program at once, without an entry.
    pub fn run_now(self, explanation: &Explanation, row: &Architecture) -> Option<String> {
        let program = program(explanation).filter(|_| self.has_emulator(row))?;
        match self.outside {
            Some(_) => self.authority.may_unshare.then(|| self.in_namespace(row, &program)),
            None => Some(format!("{} run {program}", self.authority.called)),
        }
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
            |commands| self.authority.install(&commands),
        )
    }
}

/// The words that start the program, if a command can.
fn program(explanation: &Explanation) -> Option<String> {
    let words: Vec<String> = explanation.words.iter().map(|word| quote(word.as_bytes())).collect();
    (!words.is_empty()).then(|| words.join(" "))
}
