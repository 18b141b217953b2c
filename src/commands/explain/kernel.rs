//! The running kernel's registry: the entry that gets the program, the image that this entry has
//! open, and what a test program of the same architecture shows.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use binfmt_misc::registry::{Executed, Role, View};
use dispatch_core::privilege::Privileges;
use dispatch_core::refusal::{EXIT_CANNOT_RUN, EXIT_NO_EMULATOR};
use dispatch_table::{ArchTable, Architecture};
use nix::errno::Errno;

use super::remedy::{Outside, Remedies};
use super::unplanned::{Ground, Unplanned};
use super::{Entry, Explanation, Kernel, Probe};
use crate::defaults;
use crate::failure::{Failure, ProbeFault, show};
use crate::image::{Effective, OpenImage};
use crate::output::json::{Bytes, Shown};
use crate::platform::memfd::DESCRIPTORS;
use crate::platform::{host, probe};
use crate::program::privilege::Process;
use crate::registry::ownership::{self, RegisteredRow};
use crate::registry::question::Asker;
use crate::registry::{self, Registry};

/// The image.
pub(super) enum Registered {
    /// It can be read.
    Image(Effective),
    /// It is an image, but cannot be read.
    Unseen(Unseen),
}

/// A registered image that cannot be read.
pub(super) struct Unseen {
    /// Why it cannot.
    why: String,
    /// Whether `unshare` registered it.
    pub private: bool,
    /// The identity of the image.
    identity: String,
}

/// The registry as this process sees it.
pub(super) struct Seen {
    /// Whether it is turned on.
    enabled: bool,
    /// Whether it applies to programs that this process starts.
    live: bool,
    entries: Vec<registry::Entry>,
}

/// Why there is no registry to see.
pub(super) struct Unavailable {
    /// The reason.
    reason: String,
    /// Whether the kernel may have entries nevertheless.
    may_have_entries: bool,
}

impl Unavailable {
    /// The registry of another machine.
    pub fn elsewhere() -> Self {
        Unavailable { reason: "they are those of another machine".to_owned(), may_have_entries: true }
    }
}

impl Seen {
    /// Reads the registry.
    ///
    /// # Errors
    /// It is not mounted, does not exist, or cannot be read.
    pub fn read() -> Result<Self, Unavailable> {
        let registry = Registry::open(Path::new(defaults::REGISTRY));
        let read = registry.and_then(|registry| {
            Ok(Seen { enabled: registry.enabled()?, live: registry.is_live()?, entries: registry.entries()? })
        });
        read.map_err(|failure| Unavailable {
            reason: match failure {
                Failure::NotMounted { .. } => format!("no binfmt_misc is mounted at {}", defaults::REGISTRY),
                Failure::NoBinfmtMisc => "it has no binfmt_misc".to_owned(),
                ref failure => failure.to_string(),
            },
            may_have_entries: !matches!(failure, Failure::NoBinfmtMisc),
        })
    }

    fn view(&self) -> View<'_> {
        View { enabled: self.enabled, entries: &self.entries }
    }

    /// Whether an entry gets `file`.
    pub fn has_winner(&self, file: Executed<'_>) -> bool {
        self.view().winner(file).is_some()
    }
}

impl Kernel {
    /// The kernel without the entries that match the file.
    pub(super) fn of(seen: Result<&Seen, &Unavailable>) -> Self {
        Kernel {
            unavailable: seen.err().map(|unavailable| unavailable.reason.clone()),
            may_have_entries: seen.is_err_and(|unavailable| unavailable.may_have_entries),
            disabled: seen.is_ok_and(|seen| !seen.enabled),
            entries: Vec::new(),
            refused_by: None,
        }
    }
}

/// The kernel's treatment of one file.
pub(super) struct Question<'q> {
    /// The registry, if it can be seen.
    pub seen: Option<&'q Seen>,
    /// The file.
    pub file: Executed<'q>,
    /// Its row of the table, if it has one.
    pub row: Option<&'q Architecture>,
    /// The architectures.
    pub table: &'q ArchTable,
    /// Whether programs may be started to find out.
    pub probing: bool,
    /// The system around the root directory; `None` if none was entered.
    pub outside: Option<&'q Outside>,
    /// The process that starts it.
    pub caller: &'q Process,
}

impl Question<'_> {
    /// Completes `explanation.kernel` and `explanation.probe`, and returns the image of the entry
    /// that gets the file.
    pub fn answer(&self, explanation: &mut Explanation) -> Option<Registered> {
        let Some(seen) = self.seen else {
            explanation.probe = self.probe(None, None);
            return None;
        };
        let asker = self.probing.then(|| Asker::with(seen.live, &seen.entries, self.table));
        let matching = seen.view().matching(self.file);
        let ask = |entry: &registry::Entry, architecture: &Architecture| asker.as_ref()?.ask(entry, architecture);
        // The files of other entries' interpreters do not matter.
        let reached = |entry: &registry::Entry| registry::Entry { interpreter: self.reached(entry), ..entry.clone() };
        let entries: Vec<registry::Entry> = matching.iter().map(|(entry, _)| reached(entry)).collect();
        let known = ownership::look_up(self.table, &entries, Path::new(defaults::IMAGE), ask);
        let identified = |entry: &registry::Entry| {
            known.iter().find(|known| known.registered.as_ref().is_some_and(|known| known.name == entry.name))
        };
        for (entry, role) in &matching {
            let ours = identified(entry).is_some_and(|known| known.ours);
            let unseen = !ours && !self.probing && entry.flags.fix_binary && !self.reached(entry).exists();
            explanation.kernel.entries.push(Entry { unseen, ..described(entry, role, ours) });
        }
        for (entry, handler) in seen.view().handlers(self.file) {
            explanation.conditional = true;
            let (entry, handler) = (show(&entry.name), show(handler));
            explanation.notes.push(format!(
                "entry {entry} comes first: its handler {handler} in the kernel (type B) may take the program, and \
                 nothing tells which programs it takes"
            ));
        }
        let (winner, _) = matching.iter().find(|(_, role)| *role == Role::Wins).copied().unzip();
        // A newer entry for the same programs compares more bytes.
        if let (None, Some(row)) = (winner, self.row) {
            let usual = seen.view().winner(Executed::unnamed(&row.probe_elf()));
            explanation.kernel.refused_by = usual.map(|entry| Bytes::from(&entry.name));
        }
        explanation.probe = self.probe(asker.as_ref(), winner);
        registered(winner?, (&self.reached(winner?), self.outside), identified(winner?))
    }

    /// The path of the interpreter of `entry`, from here. With flag F the kernel has it open.
    fn reached(&self, entry: &registry::Entry) -> PathBuf {
        match self.outside.filter(|_| entry.flags.fix_binary) {
            Some(outside) => outside.reach(&entry.interpreter),
            None => entry.interpreter.clone(),
        }
    }

    /// The test program of `row`, for a file that no entry gets, as far as entries can be seen. It
    /// has those bytes of the file that entries may compare although no loader does. If an entry
    /// gets it nevertheless, it has the file's type, too; `None` if that does not help.
    fn similar(&self, row: &Architecture) -> Option<Vec<u8>> {
        let mut program = row.probe_elf();
        let is_taken = |program: &[u8]| self.seen.is_some_and(|seen| seen.has_winner(Executed::unnamed(program)));
        for part in [UNREAD, TYPE] {
            if let (Some(to), Some(from)) = (program.get_mut(part.clone()), self.file.start.get(part)) {
                to.copy_from_slice(from);
            }
            if !is_taken(&program) {
                return Some(program);
            }
        }
        None
    }

    /// Starts the architecture's test program as the kernel would start the file.
    fn probe(&self, asker: Option<&Asker<'_>>, winner: Option<&registry::Entry>) -> Option<Probe> {
        let row = self.row.filter(|row| self.probing && row.name != host::row().name)?;
        // Such a caller's programs are privileged, unless, before Linux 6.16, the program's own ids
        // end that. The test program has none.
        if self.caller.start().privileges != Privileges::Ordinary {
            return None;
        }
        let outcome = match winner {
            Some(entry) => asker?.try_probe(entry, row)?,
            None => probe::run(&self.similar(row)?),
        };
        log::info!("{}: the test program {}", row.name, if outcome.is_ok() { "ran" } else { "did not run" });
        let is = |errno: Errno| matches!(&outcome, Err(ProbeFault::NotStarted(error)) if error.raw_os_error() == Some(errno as i32));
        let missing = is(Errno::ENOENT);
        Some(Probe {
            architecture: row.name.clone(),
            runs: outcome.is_ok(),
            // The kernel has no format for it.
            refused: is(Errno::ENOEXEC),
            missing,
            exit_code: match &outcome {
                _ if missing => EXIT_NO_EMULATOR,
                Err(ProbeFault::Ended { status, .. }) => status.code().map_or(EXIT_CANNOT_RUN, |code| code as u8),
                _ => EXIT_CANNOT_RUN,
            },
            fault: outcome.err().map(|fault| fault.to_string()),
        })
    }
}

/// The part of `e_ident` that no loader of Linux reads, but that entries may compare: system, ABI
/// version, padding.
const UNREAD: Range<usize> = 7..16;

/// `e_type`.
const TYPE: Range<usize> = 16..18;

fn described(entry: &registry::Entry, role: &Role<'_>, ours: bool) -> Entry {
    log::debug!("{}: matches the program: {role:?}", Bytes::from(&entry.name));
    Entry {
        name: Bytes::from(&entry.name),
        interpreter: Bytes::from(entry.starts()),
        flags: Shown(entry.flags),
        ours,
        role: match role {
            Role::Wins => "wins",
            Role::Shadowed(_) => "shadowed",
            Role::Off => "off",
        },
        matches: entry.matcher.kind(),
        missing: ownership::is_missing(entry),
        enabled: entry.enabled,
        unseen: false,
    }
}

/// The image of `entry`, which gets the file; `None` if its interpreter is not binfmt-dispatch.
/// It is at `reached` from here. `known` is how the entry was identified.
fn registered(
    entry: &registry::Entry,
    (reached, outside): (&Path, Option<&Outside>),
    known: Option<&RegisteredRow<'_>>,
) -> Option<Registered> {
    let path = entry.interpreter.as_path();
    let there = OpenImage::open(reached);
    let identity = match known {
        // The interpreter's answer counts more than the file.
        Some(known) if !known.ours => return None,
        Some(RegisteredRow { identity: Some(identity), .. }) => &identity.image,
        // Its path would lead to a file of this process.
        Some(_) if !ownership::has_path(path) => "",
        _ => return there.ok().flatten().map(Effective::Image).map(Registered::Image),
    };
    let why = match there {
        Ok(Some(image)) if image.identity() == *identity => {
            return Some(Registered::Image(Effective::Image(image)));
        }
        _ if is_private(path) => "the registered image is private to unshare".to_owned(),
        _ if !ownership::has_path(path) => "the registered image is that of a container".to_owned(),
        Err(Failure::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => match outside {
            Some(_) => "the registered image is outside of the root directory, which has no /proc".to_owned(),
            None => "the registered image is gone".to_owned(),
        },
        _ => format!("the registered image is another one than the one at {}", show(path.as_os_str())),
    };
    Some(Registered::Unseen(Unseen { why, private: is_private(path), identity: identity.to_owned() }))
}

fn is_private(path: &Path) -> bool {
    path.starts_with(PathBuf::from(DESCRIPTORS))
}

impl Unseen {
    /// Notes that the plan is that of this command, unless the image is the same. A private image
    /// embeds emulators that this command would map.
    pub fn note(&self, explanation: &mut Explanation, effective: &Effective) {
        if !matches!(effective, Effective::Image(image) if image.identity() == self.identity) {
            explanation.notes.push(format!("{}, and cannot be seen: the plan is that of this command", self.why));
        }
    }

    /// Describes a program of `row` as far as possible.
    pub fn tell(&self, explanation: &mut Explanation, row: &Architecture, remedies: Remedies<'_>) -> Option<Unplanned> {
        let (why, name) = (&self.why, &row.name);
        explanation
            .notes
            .push(format!("the emulator, its arguments and its environment cannot be seen from here: {why}"));
        let privileged =
            if explanation.privileged { ", if the emulator is embedded in the image: it is privileged" } else { "" };
        explanation.conditional |= explanation.privileged || explanation.probe.is_none();
        explanation.how = Some(match &explanation.probe {
            Some(Probe { runs: true, .. }) => format!("as the test program of {name} does{privileged}"),
            None => format!("if its interpreter has an emulator for it{privileged}"),
            Some(Probe { fault, exit_code, .. }) => {
                let reason = format!("the test program {}", fault.as_deref().unwrap_or_default());
                let exit_code = *exit_code;
                let remedy = remedies.renew_entry(explanation, row, "install --replace");
                let now = remedies.run_now(explanation, row);
                return Some(Unplanned { reason, remedy, exit_code, ground: Ground::Host, now });
            }
        });
        None
    }
}
