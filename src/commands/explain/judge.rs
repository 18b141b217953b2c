//! Says whether a program runs, and the one thing to do if it does not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dispatch_core::refusal::{EXIT_CANNOT_RUN, EXIT_NO};
use dispatch_core::{NAME, plan};
use dispatch_table::ArchTable;

use super::contents::Contents;
use super::{Explanation, Verdict};
use crate::platform::host;
use crate::program::invoked::{Invoked, Obstacle, quote};

/// Files that people take for Linux programs: how they begin, what they are, and what to do with
/// them.
const OTHERS: [(&[u8], &str, &str); 8] = [
    (b"", "the file is empty", "get it again"),
    (b"MZ", "a program for Windows, not for Linux", "get its Linux build"),
    (b"\xcf\xfa\xed\xfe", "a program for macOS, not for Linux", "get its Linux build"),
    (b"\xca\xfe\xba\xbe", "a program for macOS, or a Java class", "get its Linux build, or use java"),
    (b"\0asm", "a WebAssembly module", "use a WebAssembly runtime"),
    (b"!<arch>\n", "a package or a library, not a program", "install or unpack it"),
    (b"\x1f\x8b", "a compressed file, not a program", "unpack it with gzip or tar"),
    (b"version https://git-lfs", "the place holder of a file in Git LFS", "get the file with git lfs pull"),
];

/// The input for a verdict.
pub(super) struct Judge<'e> {
    /// The explanation so far.
    pub explanation: &'e Explanation,
    /// The program.
    pub program: &'e Invoked,
    /// The contents of its file.
    pub contents: &'e Contents,
    /// The architectures.
    pub table: &'e ArchTable,
}

impl Judge<'_> {
    /// The verdict, for a file that begins with `start`. The order of checks is that of `run`:
    /// first the header, then whatever else prevents a start on any machine, then what is missing
    /// on this machine, and last the kernel's entry.
    pub fn verdict(&self, unplanned: Option<Unplanned>, start: &[u8]) -> Verdict {
        let explanation = self.explanation;
        let others = explanation.kernel.entries.iter().any(|entry| !entry.ours);
        let (by_header, unplanned) = match unplanned {
            Some(unplanned) if unplanned.by_header => (Some(unplanned), None),
            other => (None, other),
        };
        if let Some(unplanned) = by_header.filter(|_| !others) {
            let not_elf = if explanation.header.is_none() { not_elf(start) } else { None };
            return not_elf.unwrap_or_else(|| unplanned.verdict());
        }
        if let Some(Obstacle { problem, remedy }) = self.program.obstacle() {
            return no(problem, remedy);
        }
        if explanation.header.is_some() {
            if let Some(damage) = &self.contents.damage {
                return no(damage.clone(), "get the file again".to_owned());
            }
        }
        if others {
            return self.by_entry();
        }
        if let Some(system) = self.contents.system {
            return no(format!("a program for {system}, not for Linux"), "get its Linux build".to_owned());
        }
        if let Some(unplanned) = unplanned {
            return unplanned.verdict();
        }
        self.no_linker().unwrap_or_else(|| self.by_entry())
    }

    /// A dynamic program without its dynamic linker: the kernel and shells report that the program
    /// itself does not exist.
    fn no_linker(&self) -> Option<Verdict> {
        let linker = self.contents.linker.as_ref()?;
        let sysroot = self.explanation.plan.as_ref().and_then(|plan| plan.sysroot.as_ref());
        let emulated = self.explanation.plan.is_some();
        let here = Path::new(std::ffi::OsStr::from_bytes(linker.as_bytes())).exists();
        if here || sysroot.is_some() || emulated && sysroot_chosen() {
            return None;
        }
        let name = self.name();
        let row = self.table.find(name);
        let roots: Vec<&str> = row.iter().flat_map(|row| &row.sysroots).map(String::as_str).collect();
        // An image that cannot be seen most probably has the same sysroots.
        let below = |root: &&str| Path::new(&format!("{root}{linker}")).exists();
        if self.explanation.how.is_some() && (sysroot_chosen() || roots.iter().any(below)) {
            return None;
        }
        let (nor, into) = match roots.as_slice() {
            [] => (String::new(), "/".to_owned()),
            _ if !emulated => (String::new(), "/".to_owned()),
            roots => (format!(" nor in {}", roots.join(" or ")), roots[0].to_owned()),
        };
        Some(no(
            format!("its dynamic linker {linker} is not in /{nor}"),
            format!("install the C library of {name} into {into}, or get a static build"),
        ))
    }

    fn name(&self) -> &str {
        self.explanation.architecture.as_ref().map_or("", |row| row.name.as_str())
    }

    fn by_entry(&self) -> Verdict {
        let kernel = &self.explanation.kernel;
        let row = self.table.find(self.name());
        let run = format!("{NAME} run {}", quote(self.explanation.file.as_bytes()));
        let native = row.is_some_and(|row| host::row().name == row.name);
        let reason = match kernel.entries.as_slice() {
            [] if native => "by itself: it is a program of this machine".to_owned(),
            [] if row.is_some_and(host::may_be_native) => "by itself, if this kernel can".to_owned(),
            [] if kernel.may_have_entries => {
                let reason = "as planned, if the kernel has an entry for it, which cannot be seen from here".to_owned();
                return yes(reason, Some(format!("if it does not: {run}")));
            }
            [] => {
                return Verdict {
                    runs: false,
                    exit_code: EXIT_NO,
                    reason: "the kernel has no entry for it, and says `Exec format error`".to_owned(),
                    remedy: Some(format!("as root, {NAME} register {}; or, without it, {run}", self.name())),
                };
            }
            [entry] if entry.ours && !entry.flags.0.open_binary => {
                let reason = format!("entry {} lacks flag O, and so does not hand the program over", entry.name);
                return no(reason, format!("as root, {NAME} register --replace {}", self.name()));
            }
            [entry] if entry.ours => {
                let how = self.explanation.how.as_deref().unwrap_or("as planned");
                let kept = entry.flags.0.preserve_argv0;
                format!("{how}{}", if kept { "" } else { ", but with argv[0] lost, as the entry lacks flag P" })
            }
            [entry] if self.explanation.plan.is_some() => {
                format!("by entry {}, which belongs to another tool; the plan is what {NAME} would do", entry.name)
            }
            [entry] => format!("by entry {}, which belongs to another tool", entry.name),
            [..] => "by the entry that was registered last".to_owned(),
        };
        yes(reason, None)
    }
}

/// Why there is no plan.
pub(super) struct Unplanned {
    /// The problem.
    pub reason: String,
    /// The remedy.
    pub remedy: String,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// Whether the header alone decides so.
    pub by_header: bool,
}

impl Unplanned {
    fn verdict(self) -> Verdict {
        Verdict { runs: false, exit_code: self.exit_code, reason: self.reason, remedy: Some(self.remedy) }
    }
}

/// Whether the caller has chosen a sysroot.
fn sysroot_chosen() -> bool {
    std::env::var_os(OsStr::from_bytes(plan::LD_PREFIX)).is_some()
}

fn yes(reason: String, remedy: Option<String>) -> Verdict {
    Verdict { runs: true, exit_code: 0, reason, remedy }
}

fn no(reason: String, remedy: String) -> Verdict {
    Verdict { runs: false, exit_code: EXIT_CANNOT_RUN, reason, remedy: Some(remedy) }
}

/// Describes a file without ELF magic.
fn not_elf(start: &[u8]) -> Option<Verdict> {
    if start.starts_with(b"\x7f") {
        return None;
    }
    let begins = |magic: &[u8]| if magic.is_empty() { start.is_empty() } else { start.starts_with(magic) };
    if let Some((_, reason, remedy)) = OTHERS.iter().find(|(magic, ..)| begins(magic)) {
        return Some(no((*reason).to_owned(), (*remedy).to_owned()));
    }
    let text = std::str::from_utf8(start).is_ok_and(|text| !text.contains('\0'));
    text.then(|| {
        no("a text without #! in its first line".to_owned(), "begin it with #! and the interpreter's path".to_owned())
    })
}
