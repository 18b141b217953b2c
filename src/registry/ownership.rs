//! Which entries of the registry belong to binfmt-dispatch, and may be changed.
//!
//! An entry belongs to binfmt-dispatch ("ours" in the code) if it has a name from the table and its
//! interpreter confirms it (question.rs). QEMU's packages use the same names; this is on purpose,
//! since other tools look for them. If the interpreter cannot be asked, the file at its path
//! decides, although the kernel may have another file open.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Architecture, EntryRule};

use super::question::{Identity, Said};
use super::transaction::{self, Leftover};
use crate::failure::show as show_path;
use crate::image::{OWN, OpenImage};
use crate::output::json::Bytes;
use crate::platform::memfd::DESCRIPTORS;
use binfmt_misc::{Entry, Matcher};
use dispatch_core::Rule;

/// An entry as the table describes it, and the registered entry of the same name.
#[derive(Debug)]
pub struct RegisteredRow<'t> {
    /// The architecture.
    pub architecture: &'t Architecture,
    /// Name and rule.
    pub described: EntryRule,
    /// The registered entry of this name, if there is one.
    pub registered: Option<Entry>,
    /// Whether the registered entry belongs to binfmt-dispatch.
    pub ours: bool,
    /// Its interpreter's answer.
    pub identity: Option<Identity>,
}

/// Looks up all entries that the table describes among `entries`. `ask` asks an entry's interpreter
/// ([`Asker::ask`]). If that gives no answer, an interpreter at `image` counts as an image even if
/// the file is gone.
///
/// [`Asker::ask`]: crate::registry::question::Asker::ask
pub fn look_up<'t>(
    table: &'t ArchTable,
    entries: &[Entry],
    image: &Path,
    ask: impl Fn(&Entry, &Architecture) -> Option<Said>,
) -> Vec<RegisteredRow<'t>> {
    let mut images = Images::default();
    let described = table
        .architectures()
        .iter()
        .flat_map(|architecture| architecture.rules().into_iter().map(move |rule| (architecture, rule)));
    let known = |(architecture, described): (&'t Architecture, EntryRule)| {
        let registered = entries.iter().find(|entry| *entry.name == *described.name).cloned();
        let (ours, identity) = match registered.as_ref().map(|entry| (entry, ask(entry, architecture))) {
            None | Some((_, Some(Said::Nothing))) => (false, None),
            Some((_, Some(Said::Ours(identity)))) => (true, identity),
            Some((entry, None)) => {
                let path = &entry.interpreter;
                (is_private(entry, &described) || path == image || images.at(path).is_some(), None)
            }
        };
        RegisteredRow { architecture, described, registered, ours, identity }
    };
    described.map(known).collect()
}

/// The enabled entries, except the one called `name`, that match some of the programs that `rule`
/// matches.
pub fn overlapping<'e>(name: &OsStr, rule: Option<&Rule>, entries: &'e [Entry]) -> Vec<&'e Entry> {
    let overlaps = |entry: &&Entry| {
        let rules = rule.zip(entry.rule());
        entry.enabled && entry.name != name && rules.is_some_and(|(one, other)| one.overlaps(other))
    };
    entries.iter().filter(overlaps).collect()
}

/// Whether the kernel would look the entry's interpreter up, and not find it.
pub fn is_missing(entry: &Entry) -> bool {
    let by_path = !entry.flags.fix_binary && !matches!(entry.matcher, Matcher::Handler(_));
    by_path && !entry.interpreter.exists()
}

/// An entry's interpreter, for display. A path of the process that registered it would not help a
/// reader.
pub fn show(interpreter: &Bytes, ours: bool) -> String {
    let path = Path::new(OsStr::from_bytes(interpreter.as_bytes()));
    match ours {
        true if path == Path::new(OWN) => "(image of a container)".to_owned(),
        true if !has_path(path) => "(private image of unshare)".to_owned(),
        _ => interpreter.to_string(),
    }
}

/// Whether the path of an entry's interpreter names the same file for every process. Those that
/// `unshare` and `container` register are paths of the process that registers.
pub fn has_path(interpreter: &Path) -> bool {
    !interpreter.starts_with(DESCRIPTORS) && interpreter != Path::new(OWN)
}

/// The temporary entries that interrupted runs left in `entries`, in which `known` was looked up.
/// Entries of other software with such names are left out. `ask` is as for [`look_up`]; it is
/// needed because the path may have named another file for the run that made the entry.
pub fn leftovers(
    known: &[RegisteredRow<'_>],
    entries: &[Entry],
    image: &Path,
    ask: impl Fn(&Entry, &Architecture) -> Option<Said>,
) -> Vec<Leftover> {
    let mut images = Images::default();
    let ours = known.iter().filter(|known| known.ours).filter_map(|known| known.registered.as_ref());
    let ours: BTreeSet<&Path> = ours.map(|entry| entry.interpreter.as_path()).chain([image]).collect();
    let mut found = Vec::new();
    for known in known {
        let name = OsString::from(&known.described.name);
        for entry in entries {
            let mut left = Leftover { entry: entry.clone(), name: name.clone(), covers: false, elsewhere: false };
            if transaction::is_temporary(entry, &name) {
                let at_path = images.at(&entry.interpreter).cloned();
                let is_ours = match ask(entry, known.architecture) {
                    Some(Said::Nothing) => false,
                    Some(Said::Ours(identity)) => {
                        left.elsewhere = at_path.is_none() || identity.is_some_and(|said| at_path != Some(said.image));
                        true
                    }
                    None => {
                        left.elsewhere = at_path.is_none();
                        let path = entry.interpreter.as_path();
                        at_path.is_some() || ours.contains(path) || is_private(entry, &known.described)
                    }
                };
                left.covers = true;
                found.extend(is_ours.then_some(left));
            } else if transaction::is_trial(entry, &name) {
                found.push(left);
            }
        }
    }
    found
}

/// Whether `unshare` or `container` made the entry: the path of its image was one of their
/// processes, which have ended.
fn is_private(entry: &Entry, described: &EntryRule) -> bool {
    !has_path(&entry.interpreter) && entry.flags.fix_binary && entry.rule() == Some(&described.rule)
}

/// Files that were read already, each with its identity if it is an image. Many entries share a
/// file, and images are large.
#[derive(Default)]
struct Images(BTreeMap<PathBuf, Option<String>>);

impl Images {
    /// The identity of the image at `path`; `None` if there is none, or it cannot be read.
    fn at(&mut self, path: &Path) -> Option<&String> {
        let read = || {
            let image = OpenImage::open(path).ok().flatten();
            log::info!(
                "{}: {} an image, as an entry's interpreter",
                show_path(path.as_os_str()),
                if image.is_some() { "is" } else { "is not" }
            );
            image.map(|image| image.identity())
        };
        self.0.entry(path.to_owned()).or_insert_with(read).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use binfmt_misc::Flags;

    fn known(interpreter: &str, credentials: bool, said: Option<Said>) -> RegisteredRow<'static> {
        let table: &'static ArchTable = Box::leak(Box::new(ArchTable::builtin()));
        let described = table.architectures()[0].rules().remove(0);
        let entry = Entry {
            name: described.name.clone().into(),
            enabled: true,
            interpreter: interpreter.into(),
            flags: Flags::of_image(credentials),
            matcher: Matcher::Rule(described.rule),
        };
        look_up(table, &[entry], Path::new("/gone/image"), |_, _| said.clone()).remove(0)
    }

    #[test]
    fn an_entry_is_ours_by_its_interpreters_path() {
        assert!(known("/gone/image", false, None).ours);
        assert!(known("/proc/self/fd/3", true, None).ours);
        assert!(known(OWN, true, None).ours);
        for foreign in ["/bin/true", "/bin/sh", "/etc/passwd", "/gone", "/proc/self/fdx"] {
            let known = known(foreign, false, None);
            assert!(!known.ours && known.registered.is_some(), "{foreign}");
        }
    }

    #[test]
    fn what_the_interpreter_says_counts_more_than_its_path() {
        let identity = Identity { version: "1".into(), image: "00".into() };
        let found = known("/bin/true", false, Some(Said::Ours(Some(identity.clone()))));
        assert_eq!((found.ours, found.identity), (true, Some(identity)));
        for path in ["/gone/image", "/proc/self/fd/3"] {
            assert!(!known(path, true, Some(Said::Nothing)).ours);
        }
    }
}
