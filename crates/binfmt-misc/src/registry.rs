//! The registry as exec(2) uses it: which entry gets a file.
//!
//! The kernel asks the entries one after the other, the newest first, and the first one that is
//! enabled and matches gets the file (`fs/binfmt_misc.c`, `search_binfmt_handler`). It asks before
//! it tries its own formats, so an entry gets scripts and native programs too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{Entry, Matcher};

/// A file as exec(2) sees it.
#[derive(Clone, Copy, Debug)]
pub struct Executed<'f> {
    /// The path that it is executed by, which need not be its only one.
    pub path: &'f Path,
    /// Its first bytes. The kernel looks at the first 256; more do no harm.
    pub start: &'f [u8],
}

/// The state of a registry.
#[derive(Clone, Copy, Debug)]
pub struct View<'e> {
    /// Whether it is in use at all: the file `status`.
    pub enabled: bool,
    /// All entries, the newest first, as the directory lists them.
    pub entries: &'e [Entry],
}

/// How the kernel treats an entry that matches a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'e> {
    /// It gets the file.
    Wins,
    /// This newer entry gets the file.
    Shadowed(&'e Entry),
    /// It is turned off, by itself or together with all others.
    Off,
}

impl<'f> Executed<'f> {
    /// A file that begins with `start`, and that no entry matches by its extension.
    pub fn unnamed(start: &'f [u8]) -> Self {
        Executed { path: Path::new(""), start }
    }
}

impl Entry {
    /// Whether it matches `file`, turned on or off.
    pub fn matches(&self, file: Executed<'_>) -> bool {
        match &self.matcher {
            Matcher::Rule(rule) => rule.accepts(file.start),
            Matcher::Extension(extension) => after_last_dot(file.path) == Some(extension),
            // A program in the kernel decides, and cannot be asked.
            Matcher::Handler(_) => false,
        }
    }

    /// Whether the kernel would match a file that begins with `file`, if this were the only entry.
    /// The path is unknown here, so an extension matches nothing.
    pub fn accepts(&self, file: &[u8]) -> bool {
        self.enabled && self.matches(Executed::unnamed(file))
    }
}

/// The text after the last dot of the whole path (`strrchr`), which may contain a slash.
fn after_last_dot(path: &Path) -> Option<&OsStr> {
    let bytes = path.as_os_str().as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.')?;
    bytes.get(dot + 1..).map(OsStr::from_bytes)
}

impl<'e> View<'e> {
    /// The entry that gets `file`; `None` if it is left to the kernel's own formats.
    pub fn winner(&self, file: Executed<'_>) -> Option<&'e Entry> {
        self.entries.iter().find(|entry| self.enabled && entry.enabled && entry.matches(file))
    }

    /// The handlers that the kernel asks for `file` before [`View::winner`], the newest first. What
    /// they match cannot be known.
    pub fn handlers(&self, file: Executed<'_>) -> Vec<(&'e Entry, &'e OsStr)> {
        let before = self.entries.iter().take_while(|entry| !(entry.enabled && entry.matches(file)));
        let enabled = before.filter(|entry| self.enabled && entry.enabled);
        let handler = |entry: &'e Entry| match &entry.matcher {
            Matcher::Handler(name) => Some((entry, name.as_os_str())),
            _ => None,
        };
        enabled.filter_map(handler).collect()
    }

    /// All entries that match `file`, the newest first.
    pub fn matching(&self, file: Executed<'_>) -> Vec<(&'e Entry, Role<'e>)> {
        let winner = self.winner(file);
        let role = |entry: &'e Entry| match winner {
            _ if !self.enabled || !entry.enabled => Role::Off,
            Some(winner) if winner.name != entry.name => Role::Shadowed(winner),
            _ => Role::Wins,
        };
        self.entries.iter().filter(|entry| entry.matches(file)).map(|entry| (entry, role(entry))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flags;
    use dispatch_core::Rule;

    fn entry(name: &str, enabled: bool, matcher: Matcher) -> Entry {
        Entry { name: name.into(), enabled, interpreter: "/i".into(), flags: Flags::default(), matcher }
    }

    fn magic(bytes: &[u8]) -> Matcher {
        Matcher::Rule(Rule::new(0, bytes, b"").unwrap())
    }

    #[test]
    fn the_newest_entry_that_is_on_wins() {
        let entries = [
            entry("off", false, magic(b"a")),
            entry("other", true, magic(b"b")),
            entry("new", true, magic(b"a")),
            entry("old", true, magic(b"a")),
        ];
        let file = Executed { path: Path::new("/p"), start: b"abc" };
        let view = View { enabled: true, entries: &entries };
        assert_eq!(view.winner(file), Some(&entries[2]));
        let roles = [(&entries[0], Role::Off), (&entries[2], Role::Wins), (&entries[3], Role::Shadowed(&entries[2]))];
        assert_eq!(view.matching(file), roles);
        let off = View { enabled: false, entries: &entries };
        assert_eq!(off.winner(file), None);
        assert!(off.matching(file).iter().all(|(_, role)| *role == Role::Off));
    }

    #[test]
    fn handlers_are_asked_in_their_turn() {
        let handler = |name: &str, enabled| entry(name, enabled, Matcher::Handler("h".into()));
        let entries =
            [handler("new", true), handler("off", false), entry("magic", true, magic(b"a")), handler("old", true)];
        let asked = |start: &[u8], enabled| {
            let view = View { enabled, entries: &entries };
            view.handlers(Executed::unnamed(start)).iter().map(|(entry, _)| entry.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(asked(b"a", true), ["new"]);
        assert_eq!(asked(b"b", true), ["new", "old"]);
        assert_eq!(asked(b"a", false), [""; 0]);
    }

    #[test]
    fn an_extension_is_behind_the_last_dot_of_the_whole_path() {
        let matches = |extension: &str, path: &str| {
            let entry = entry("e", true, Matcher::Extension(extension.into()));
            entry.matches(Executed { path: Path::new(path), start: b"" })
        };
        assert!(matches("jar", "/a.b/c.jar") && matches("gz", "x.tar.gz") && matches("d/p", "/c.d/p"));
        assert!(!matches("jar", "/a/jar") && !matches("jar", "/a/b.JAR") && !matches("tar", "x.tar.gz"));
    }
}
