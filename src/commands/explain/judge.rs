//! Says whether a program runs, and the one thing to do if it does not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_core::elf::Header;
use dispatch_core::refusal::{EXIT_CANNOT_RUN, EXIT_NO_EMULATOR, EXIT_USAGE, Refusal};
use dispatch_core::table::Argv0;
use dispatch_core::{Guest, NAME, plan};
use dispatch_table::{ArchTable, Architecture};

use super::contents::Contents;
use super::remedy::Remedies;
use super::unplanned::{Ground, Unplanned, reason_of};
use super::{Entry, Explanation, Probe, Verdict, kinds, libraries};
use crate::defaults::REGISTRY;
use crate::output::json::Bytes;
use crate::platform::host;
use crate::program::invoked::{Invoked, Obstacle};

/// The reason if no entry gets a program that needs one.
const NO_ENTRY: &str = "the kernel has no entry for it, and says `Exec format error`";

/// The reason if an unseen entry gets a program, and the kernel does not find its interpreter.
const UNREACHED: &str = "an entry that cannot be seen from here gets it, and its interpreter is not in this root \
                         directory, where the kernel looks for it, as the entry lacks flag F";

/// The input for a verdict.
pub(super) struct Judge<'e> {
    /// The explanation so far.
    pub explanation: &'e Explanation,
    /// The program.
    pub program: &'e Invoked,
    /// The contents of its file.
    pub contents: &'e Contents,
    /// Its header, if that is good.
    pub header: Option<&'e Header>,
    /// The architectures.
    pub table: &'e ArchTable,
    /// The maker of remedies.
    pub remedies: Remedies<'e>,
    /// The other machine that is asked about.
    pub host: Option<&'e Architecture>,
}

impl Judge<'_> {
    /// The verdict, for a file that begins with `start`. The order of checks is that of the kernel,
    /// or of `run`: an entry of other software gets the file whatever it is. Otherwise the header
    /// decides first, then whatever else prevents a start on any machine, then what is missing on
    /// this machine, and last the kernel's entry and the test program.
    pub fn verdict(&self, unplanned: Option<Unplanned>, start: &[u8]) -> Verdict {
        let explanation = self.explanation;
        let others = explanation.is_others();
        let (by_header, mut unplanned) = match unplanned {
            Some(unplanned) if unplanned.ground == Ground::Header => (Some(unplanned), None),
            other => (None, other),
        };
        if let Some(unplanned) = by_header.filter(|_| !others) {
            let kind = if explanation.header.is_none() { kinds::kind(start) } else { None };
            return match kind {
                Some(kind) => no(kind.name.to_owned(), kind.remedy.to_owned()),
                None => unplanned.verdict(),
            };
        }
        if let Some(Obstacle { problem, remedy }) = self.program.obstacle() {
            return no(problem, remedy);
        }
        if let Some(unplanned) = unplanned.take_if(|unplanned| unplanned.ground == Ground::File) {
            return unplanned.verdict();
        }
        if others {
            return self.no_program_of_an_emulator(start).unwrap_or_else(|| self.by_entry());
        }
        if explanation.header.is_some() {
            if let Some(damaged) = self.damaged() {
                return damaged;
            }
            if self.contents.library {
                return no("a shared library, not a program".to_owned(), "load it from a program".to_owned());
            }
        }
        if let Some(system) = self.contents.system {
            return no(format!("a program for {system}, not for Linux"), "get its Linux build".to_owned());
        }
        if let (Some(host), Some(row)) = (self.host, self.row()) {
            return on_another(host, row);
        }
        // What has run, or needs no emulator, counts more than what was found in files.
        let refuted = self.has_run_unseen()
            || self.is_unreached()
            || self.may_be_native_unproved()
            || self.may_be_taken_unproved();
        if let Some(unplanned) = unplanned.filter(|_| !refuted) {
            return unplanned.verdict();
        }
        self.no_handover().or_else(|| self.no_linker()).or_else(|| self.no_library()).unwrap_or_else(|| self.by_entry())
    }

    /// A program that gets to an emulator by other software's entry, and that no emulator can run.
    /// Interpreters that may be something else get whatever matches.
    fn no_program_of_an_emulator(&self, start: &[u8]) -> Option<Verdict> {
        let entry = self.explanation.kernel.winner()?;
        let interpreter = Path::new(OsStr::from_bytes(entry.interpreter.as_bytes())).file_name()?;
        let is_emulator = |row: &Architecture| {
            row.emulator_names().any(|name| interpreter == name)
                || row.rules().iter().any(|rule| rule.name.as_bytes() == entry.name.as_bytes())
        };
        let failed = self.probe().is_some_and(|probe| !probe.runs);
        if entry.missing
            || failed
            || !start.starts_with(b"\x7fELF")
            || !self.table.architectures().iter().any(is_emulator)
        {
            return None;
        }
        if let Err(fault) = Guest::identify(start) {
            let refusal = Refusal::BadHeader(fault);
            return Some(no(reason_of(&refusal), refusal.remedy().to_string()));
        }
        if let Some(damaged) = self.damaged() {
            return Some(damaged);
        }
        let linker = self.contents.linker.as_ref().filter(|_| !entry.unseen)?;
        // QEMU has a sysroot of its own, which its builders choose.
        let roots = self.row().map(Architecture::qemu_sysroots);
        let there = roots.iter().flatten().any(|root| Path::new(&format!("{root}{linker}")).exists());
        if sysroot_chosen() || there { None } else { self.no_linker() }
    }

    /// A program that no loader can load.
    fn damaged(&self) -> Option<Verdict> {
        Some(no(self.contents.damage.clone()?, "get the file again".to_owned()))
    }

    /// An entry of binfmt-dispatch that lets its interpreter take the program for a command.
    fn no_handover(&self) -> Option<Verdict> {
        let lacks = |entry: &&Entry| entry.ours && !entry.missing && !entry.flags.0.open_binary;
        let entry = self.explanation.kernel.winner().filter(lacks)?;
        let reason = format!("entry {} lacks flag O, and so does not hand the program over", entry.name);
        let remedy = self.renew_entry("register --replace");
        Some(Verdict { exit_code: EXIT_USAGE, ..no(reason, remedy) })
    }

    /// A dynamic program without one of its libraries, which its dynamic linker reports.
    fn no_library(&self) -> Option<Verdict> {
        let emulated = self.explanation.plan.is_some() || self.is_emulated_unseen();
        if sysroot_chosen() || emulated && self.row().is_none_or(decides_itself) {
            return None;
        }
        let sysroot = self.explanation.plan.as_ref().and_then(|plan| plan.sysroot.as_ref());
        let root = match sysroot {
            Some(root) => PathBuf::from(OsStr::from_bytes(root.as_bytes())),
            None => self.likely_sysroot().unwrap_or("/".into()),
        };
        let missing = libraries::missing(self.contents, self.header?, &root);
        let names: Vec<String> = missing.iter().map(Bytes::to_string).collect();
        (!names.is_empty()).then(|| {
            let reason = format!("its libraries {} are not in {}", names.join(", "), root.display());
            let remedy = format!("install the packages that have them, for {}", self.row_name());
            // Without an entry nothing gets as far as that.
            let starts = !emulated || self.explanation.kernel.winner().is_some() || self.has_run_unseen();
            let exit_code = if starts { EXIT_NO_EMULATOR } else { EXIT_CANNOT_RUN };
            Verdict { exit_code, ..no(reason, remedy) }
        })
    }

    /// Whether an emulator gets the program from an image, or by an entry, that cannot be seen.
    fn is_emulated_unseen(&self) -> bool {
        let foreign = self.row().is_some_and(|row| !host::may_be_native(row));
        self.explanation.plan.is_none() && foreign && (self.explanation.how.is_some() || self.has_run_unseen())
    }

    /// The sysroot of a program that gets to an emulator unseen: that of this command's table, as
    /// an image that cannot be seen most probably has the same. `None` if its dynamic linker is in
    /// `/`.
    fn likely_sysroot(&self) -> Option<PathBuf> {
        let linker = self.contents.linker.as_ref().filter(|_| self.is_emulated_unseen())?;
        let has = |root: &str| Path::new(&format!("{root}{linker}")).exists();
        let places = self.row().filter(|_| !has(""))?.library_places();
        places.into_iter().find(|root| has(root)).map(PathBuf::from)
    }

    /// Whether the test program ran by an entry that cannot be seen.
    fn has_run_unseen(&self) -> bool {
        self.explanation.kernel.winner().is_none() && self.probe().is_some_and(|probe| probe.runs)
    }

    /// Whether the test program got to an entry that cannot be seen, and its interpreter is not
    /// here.
    fn is_unreached(&self) -> bool {
        self.explanation.kernel.winner().is_none() && self.probe().is_some_and(|probe| probe.missing)
    }

    /// Whether it may be a program of this machine, and no test program has shown whether it is.
    fn may_be_native_unproved(&self) -> bool {
        let without = self.explanation.kernel.winner().is_none() && self.probe().is_none();
        without && self.row().is_some_and(host::may_be_native)
    }

    /// Whether an entry that cannot be seen may get it, and no test program has shown whether one
    /// does.
    fn may_be_taken_unproved(&self) -> bool {
        self.explanation.kernel.may_have_entries && self.probe().is_none() && self.host.is_none()
    }

    fn probe(&self) -> Option<&Probe> {
        self.explanation.probe.as_ref()
    }

    /// A dynamic program without its dynamic linker: the kernel and shells report that the program
    /// itself does not exist.
    fn no_linker(&self) -> Option<Verdict> {
        let linker = self.contents.linker.as_ref()?;
        let sysroot = self.explanation.plan.as_ref().and_then(|plan| plan.sysroot.as_ref());
        let emulated = self.explanation.plan.is_some();
        let here = Path::new(OsStr::from_bytes(linker.as_bytes())).exists();
        if here || sysroot.is_some() || emulated && sysroot_chosen() {
            return None;
        }
        let row = self.row()?;
        if emulated && decides_itself(row) {
            return None;
        }
        let roots: Vec<&str> = row.sysroots.iter().map(String::as_str).collect();
        if self.is_emulated_unseen() && (sysroot_chosen() || self.likely_sysroot().is_some()) {
            return None;
        }
        let (nor, into) = match roots.as_slice() {
            [] => (String::new(), "/"),
            _ if !emulated => (String::new(), "/"),
            roots => (format!(" nor in {}", roots.join(" or ")), roots[0]),
        };
        let shown = linker.to_string();
        let exit_code = match self.explanation.kernel.winner() {
            Some(entry) if !entry.ours => QEMUS_OWN,
            Some(_) => EXIT_CANNOT_RUN,
            None if emulated => EXIT_CANNOT_RUN,
            None => EXIT_NO_EMULATOR,
        };
        let reason = format!("its dynamic linker {linker} is not in /{nor}");
        let remedy = self.remedies.get_linker(row, &shown, into, host::may_be_native(row));
        Some(Verdict { exit_code, ..no(reason, remedy) })
    }

    fn row(&self) -> Option<&Architecture> {
        self.table.find(&self.explanation.architecture.as_ref()?.name)
    }

    /// The verdict by the entry that gets the program, and by the test program.
    fn by_entry(&self) -> Verdict {
        let (kernel, row) = (&self.explanation.kernel, self.row());
        let Some(entry) = kernel.winner() else { return self.without_entry() };
        let failed = self.probe().filter(|probe| !probe.runs);
        if entry.flags.0.loader {
            return self.with_another_linker(entry);
        }
        if entry.missing {
            let gone = match self.remedies.outside {
                Some(outside) => {
                    let root = Bytes::from(outside.root());
                    format!("is not in {root}, where the kernel looks for it, as the entry lacks flag F")
                }
                None => "does not exist".to_owned(),
            };
            let reason = format!("entry {} gets it, and its interpreter {} {gone}", entry.name, entry.interpreter);
            let remedy = match row {
                Some(_) => self.renew_entry("install --replace"),
                None => format!("install {}, or remove the entry", entry.interpreter),
            };
            return Verdict { exit_code: EXIT_NO_EMULATOR, ..self.no_but(reason, remedy) };
        }
        if let (Some(Probe { fault: Some(fault), exit_code, .. }), Some(row)) = (failed, row) {
            let reason = format!("entry {} gets it, and a test program of {} {fault}", entry.name, row.name);
            let remedy = self.renew_entry("install --replace");
            return Verdict { exit_code: *exit_code, ..self.no_but(reason, remedy) };
        }
        let lost = match row {
            Some(_) if !entry.flags.0.keeps_argv0() => "; argv[0] is lost, as the entry lacks flag P",
            _ => "",
        };
        if entry.ours {
            let by_entry = format!("by entry {}, through {NAME}", entry.name);
            let how = self.explanation.how.as_ref().unwrap_or(&by_entry);
            return Verdict { certain: !self.explanation.conditional, ..yes(format!("{how}{lost}")) };
        }
        if entry.unseen {
            return perhaps(format!(
                "by entry {}, if {}, which cannot be seen from here, runs it{lost}",
                entry.name, entry.interpreter
            ));
        }
        yes(format!("by entry {}, with {}, which is not {NAME}{lost}", entry.name, entry.interpreter))
    }

    /// The verdict by an entry with flag L. The kernel runs the program itself then, with the
    /// entry's dynamic linker in place of the program's, and so refuses programs of other machines.
    fn with_another_linker(&self, entry: &Entry) -> Verdict {
        let Entry { name, interpreter, .. } = entry;
        if self.row().is_some_and(|row| !host::may_be_native(row) && row.name != host::row().name) {
            let reason = format!(
                "entry {name} gets it, with flag L, which is for programs of this machine: the kernel says `Exec format \
                 error`"
            );
            return no(reason, format!("remove the entry: as root, run `echo -1 > {REGISTRY}/{name}`"));
        }
        if entry.missing {
            let reason = format!("entry {name} gets it, and its dynamic linker {interpreter} does not exist");
            let remedy = format!("install {interpreter}, or remove the entry");
            return Verdict { exit_code: EXIT_NO_EMULATOR, ..no(reason, remedy) };
        }
        let with = format!("entry {name} replaces the dynamic linker by {interpreter}, if it has one");
        yes(format!("by itself: it is a program of this machine, and {with}"))
    }

    /// The verdict for a program that no entry gets, as far as entries can be seen.
    fn without_entry(&self) -> Verdict {
        let kernel = &self.explanation.kernel;
        let Some(row) = self.row() else {
            let reason = NO_ENTRY.to_owned();
            return no(reason, "get a build for this machine".to_owned());
        };
        if host::row().name == row.name {
            return yes("by itself: it is a program of this machine".to_owned());
        }
        match self.probe() {
            Some(Probe { runs: true, .. }) if host::may_be_native(row) => {
                yes(format!("by itself: a test program of {} ran", row.name))
            }
            Some(Probe { runs: true, .. }) => {
                yes(format!("by an entry that cannot be seen from here: a test program of {} ran", row.name))
            }
            Some(Probe { refused: true, .. }) => {
                let mut reason = if kernel.disabled {
                    "all entries of the kernel are turned off, and it says `Exec format error`".to_owned()
                } else if let Some(entry) = &kernel.refused_by {
                    let appimage = self.explanation.header.as_ref().and_then(|header| header.appimage);
                    let which = if appimage.is_some() { "AppImages" } else { "this one" };
                    format!(
                        "entry {entry} gets programs of {}, but not {which}, and the kernel says `Exec format error`",
                        row.name
                    )
                } else if let Some(off) = kernel.off() {
                    format!("entry {} is turned off, and the kernel says `Exec format error`", off.name)
                } else {
                    NO_ENTRY.to_owned()
                };
                if let Some(unavailable) = &kernel.unavailable {
                    reason += &format!(" ({unavailable})");
                }
                self.no_but(reason, self.remedies.get_entry(self.explanation, row, false))
            }
            // An entry gets it that cannot be seen, and is in the way of another one.
            Some(Probe { fault: Some(fault), exit_code, missing, .. }) => {
                let reason = match missing {
                    true => UNREACHED.to_owned(),
                    false => format!("a test program of {} {fault}", row.name),
                };
                let remedy = self.remedies.get_entry(self.explanation, row, true);
                Verdict { exit_code: *exit_code, ..self.no_but(reason, remedy) }
            }
            _ if host::may_be_native(row) => perhaps("by itself, if this kernel can".to_owned()),
            _ if kernel.may_have_entries => Verdict {
                now: self.remedies.run_now(self.explanation, row),
                ..perhaps("if the kernel has an entry for it, which cannot be seen from here".to_owned())
            },
            _ => {
                let reason = NO_ENTRY.to_owned();
                self.no_but(reason, self.remedies.get_entry(self.explanation, row, false))
            }
        }
    }

    /// How the entry gets another interpreter.
    fn renew_entry(&self, command: &str) -> String {
        let renew = |row| self.remedies.renew_entry(self.explanation, row, command);
        self.row().map_or_else(|| "remove the entry".to_owned(), renew)
    }

    fn row_name(&self) -> &str {
        self.row().map_or("", |row| row.name.as_str())
    }

    /// A program that does not run by itself, but may run by `run`.
    fn no_but(&self, reason: String, remedy: String) -> Verdict {
        let now = self.row().and_then(|row| self.remedies.run_now(self.explanation, row));
        Verdict { now, ..no(reason, remedy) }
    }
}

/// The verdict for a program of `row` on a machine of the architecture `host`, whose entries are
/// not known.
fn on_another(host: &Architecture, row: &Architecture) -> Verdict {
    if row.name == host.name {
        return yes(format!("by itself: it is a program of {}", host.name));
    }
    if row.native_on.contains(&host.name) {
        return perhaps(format!("by itself, if the CPU and the kernel of that machine can run {}", row.name));
    }
    let reason = format!("it needs an emulator on {}", host.name);
    let remedy = match host.name == host::row().name {
        true => format!("there, as root, run {NAME} install {}", row.name),
        false => format!("there, register an emulator of {}", row.name),
    };
    no(reason, remedy)
}

/// The exit code of QEMU if it finds no dynamic linker.
const QEMUS_OWN: u8 = 255;

/// Whether the emulator of `row` alone knows where libraries are: the row's options or variables
/// tell it, or it is not QEMU and may bring its own.
fn decides_itself(row: &Architecture) -> bool {
    row.argv0 != Argv0::DashZero || row.library_places().is_empty()
}

/// Whether the caller has chosen a sysroot.
fn sysroot_chosen() -> bool {
    std::env::var_os(OsStr::from_bytes(plan::LD_PREFIX)).is_some()
}

fn yes(reason: String) -> Verdict {
    Verdict { runs: Some(true), certain: true, exit_code: 0, reason, remedy: None, now: None }
}

/// The program runs on a condition, which the reason names.
fn perhaps(reason: String) -> Verdict {
    Verdict { certain: false, ..yes(reason) }
}

fn no(reason: String, remedy: String) -> Verdict {
    Verdict { runs: Some(false), certain: true, exit_code: EXIT_CANNOT_RUN, reason, remedy: Some(remedy), now: None }
}
