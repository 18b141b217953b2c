//! The running kernel's entries for the program, and the image that they have open.

use std::io;
use std::path::{Path, PathBuf};

use dispatch_core::NAME;
use dispatch_core::refusal::{EXIT_CANNOT_RUN, EXIT_NO_EMULATOR};
use dispatch_table::{ArchTable, Architecture};

use super::judge::Unplanned;
use super::{Entry, Explanation};
use crate::defaults;
use crate::failure::{Failure, ProbeFault, show};
use crate::image::{Effective, OpenImage};
use crate::output::json::{Bytes, Shown};
use crate::platform::memfd::DESCRIPTORS;
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
    /// The outcome of the architecture's probe, if the entry accepts that.
    probe: Option<Result<(), ProbeFault>>,
}

/// Finds the running kernel's entries that accept the program, and the image of the entry if there
/// is only one.
pub(super) fn kernel(explanation: &mut Explanation, start: &[u8], table: &ArchTable) -> Option<Registered> {
    let Explanation { kernel, notes, .. } = explanation;
    let registry = Registry::open(Path::new(defaults::REGISTRY));
    let entries = registry.and_then(|registry| Ok((registry.enabled()?, registry.entries()?, registry)));
    let (enabled, entries, registry) = match entries {
        Ok(found) => found,
        Err(failure) => {
            kernel.unavailable = Some(match failure {
                Failure::NotMounted { .. } => format!("no binfmt_misc is mounted at {}", defaults::REGISTRY),
                Failure::NoBinfmtMisc => "it has no binfmt_misc".to_owned(),
                ref failure => failure.to_string(),
            });
            kernel.may_have_entries = !matches!(failure, Failure::NoBinfmtMisc);
            return None;
        }
    };
    if !enabled {
        let status = Path::new(defaults::REGISTRY).join("status");
        kernel.unavailable = Some(format!("all are turned off (`echo 1 > {}` turns them on)", status.display()));
        return None;
    }
    let asker = Asker::new(&registry, &entries, table).ok();
    let ask = |entry: &registry::Entry, architecture: &Architecture| {
        asker.as_ref().filter(|_| entry.accepts(start))?.ask(entry, architecture)
    };
    let known = ownership::look_up(table, &entries, Path::new(defaults::IMAGE), ask);
    let ours =
        |entry: &registry::Entry| known.iter().any(|known| known.ours && known.registered.as_ref() == Some(entry));
    for entry in &entries {
        let accepts = entry.accepts(start);
        log::debug!("{}: {} the program", Bytes::from(&entry.name), if accepts { "takes" } else { "does not take" });
        if accepts {
            kernel.entries.push(Entry {
                name: Bytes::from(&entry.name),
                interpreter: Bytes::from(&entry.interpreter),
                flags: Shown(entry.flags),
                ours: ours(entry),
            });
        } else if entry.rule().is_some_and(|rule| rule.accepts(start)) {
            notes.push(format!("the kernel's entry {} would take it, and is turned off", Bytes::from(&entry.name)));
        }
    }
    let mut taking = entries.iter().filter(|entry| entry.accepts(start));
    let entry = taking.next().filter(|_| taking.next().is_none())?;
    let known = known.iter().find(|known| known.registered.as_ref() == Some(entry));
    registered(entry, known, asker.as_ref())
}

/// The image of `entry`, the only one that accepts the program; `None` if its interpreter is not
/// binfmt-dispatch. `known` is how the entry was identified.
fn registered(
    entry: &registry::Entry,
    known: Option<&RegisteredRow<'_>>,
    asker: Option<&Asker<'_>>,
) -> Option<Registered> {
    let path = entry.interpreter.as_path();
    let there = OpenImage::open(path);
    let (known, identity) = match known {
        // The interpreter's answer counts more than the file.
        Some(known) if !known.ours => return None,
        Some(RegisteredRow { identity: Some(identity), .. }) => (known?, identity),
        _ => return there.ok().flatten().map(Effective::Image).map(Registered::Image),
    };
    let why = match there {
        Ok(Some(image)) if image.identity() == identity.image => {
            return Some(Registered::Image(Effective::Image(image)));
        }
        _ if is_private(path) => "the registered image is private to unshare".to_owned(),
        Err(Failure::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            "the registered image is gone".to_owned()
        }
        _ => format!("the registered image is another one than the one at {}", show(path.as_os_str())),
    };
    let probe = asker.and_then(|asker| asker.try_probe(entry, known.architecture));
    let identity = identity.image.clone();
    Some(Registered::Unseen(Unseen { why, private: is_private(path), identity, probe }))
}

fn is_private(path: &Path) -> bool {
    path.starts_with(PathBuf::from(DESCRIPTORS))
}

impl Unseen {
    /// Notes that the plan is that of this command, unless the image is the same.
    pub fn note(&self, explanation: &mut Explanation, effective: &Effective) {
        if !matches!(effective, Effective::Image(image) if image.identity() == self.identity) {
            explanation.notes.push(format!("{}, and cannot be seen: the plan is that of this command", self.why));
        }
    }

    /// Describes a program of the architecture `name` as far as possible.
    pub fn tell(&self, explanation: &mut Explanation, name: &str) -> Option<Unplanned> {
        let Unseen { why, probe, .. } = self;
        explanation
            .notes
            .push(format!("the emulator, its arguments and its environment cannot be seen from here: {why}"));
        let privileged =
            if explanation.privileged { ", if the emulator is embedded in the image: it is privileged" } else { "" };
        explanation.how = Some(match probe {
            Some(Ok(())) => format!("as the probe of {name} does{privileged}"),
            None => format!("if its interpreter has an emulator for it{privileged}"),
            Some(Err(fault)) => {
                let exit_code = match fault {
                    ProbeFault::Ended { status, .. } if status.code() == Some(EXIT_NO_EMULATOR.into()) => {
                        EXIT_NO_EMULATOR
                    }
                    _ => EXIT_CANNOT_RUN,
                };
                let remedy = format!("as root, {NAME} register --replace {name}");
                return Some(Unplanned { reason: format!("the probe {fault}"), remedy, exit_code, by_header: false });
            }
        });
        None
    }
}
