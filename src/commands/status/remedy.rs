//! The commands that put right what `status` found.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use binfmt_misc::STATUS;
use dispatch_core::NAME;

use super::{Row, Status};
use crate::defaults;
use crate::failure::listed;
use crate::install::place;
use crate::output::json::Bytes;
use crate::program::invoked::quote;

/// The images that the commands work on.
pub(super) struct Paths {
    /// The one that the command line names, or the usual one.
    pub asked: PathBuf,
    /// The one that commands use if none is named.
    pub usual: PathBuf,
}

/// Rows with a remedy in common.
pub(super) struct Group<'s> {
    /// Names of their entries, for display.
    pub entries: String,
    /// Names of their architectures, each once.
    pub names: Vec<&'s str>,
    /// The path of their image.
    pub image: &'s Path,
}

impl Status {
    /// The rows for which `wanted` is true, by the paths of their interpreters.
    pub(super) fn groups<'s>(&'s self, wanted: impl Fn(&Row) -> bool) -> Vec<Group<'s>> {
        let mut groups: BTreeMap<&Path, Vec<&'s Row>> = BTreeMap::new();
        for row in self.entries.iter().filter(|row| wanted(row)) {
            let path = row.interpreter.as_ref().map(Bytes::as_bytes).unwrap_or_default();
            groups.entry(Path::new(OsStr::from_bytes(path))).or_default().push(row);
        }
        let group = |(image, rows): (&'s Path, Vec<&'s Row>)| Group {
            entries: entries(&rows),
            names: architectures(&rows),
            image,
        };
        groups.into_iter().map(group).collect()
    }

    /// Registers the image at `image` again.
    pub(super) fn register(&self, image: &Path, names: &[&str]) -> String {
        let image = if image == self.paths.usual { String::new() } else { format!(" --image {}", path(image)) };
        format!("{NAME} register --replace{image} {}", names.join(" "))
    }

    /// Writes the image at `image` again, with these architectures and what it has besides, and
    /// registers it. `options` begin with a space.
    pub(super) fn install(&self, image: &Path, options: &str, names: &[&str]) -> String {
        let Some(prefix) = place::prefix_of(image) else {
            let again = self.register(image, names);
            let options = options.replace(REPLACE, "");
            return format!("{NAME} image -o {}{options} {} && {again}", path(image), names.join(" "));
        };
        let prefix =
            if prefix == Path::new(defaults::PREFIX) { String::new() } else { format!(" --prefix {}", path(prefix)) };
        let names = if self.are_all(names) { String::new() } else { format!(" {}", names.join(" ")) };
        format!("{NAME} install{prefix}{options}{names}")
    }

    /// Whether `install` chooses these architectures by itself, and none whose entry belongs to
    /// other software.
    fn are_all(&self, names: &[&str]) -> bool {
        let is_chosen = |row: &Row| !row.native && row.emulator.is_some() && row.disabled_by.is_none();
        !self.is_part && self.entries.iter().all(|row| is_chosen(row) == names.contains(&row.architecture.as_str()))
    }

    /// Turns entries on.
    pub(super) fn turned_off(&self) -> Vec<String> {
        let file =
            |name: &[u8]| path(&Path::new(OsStr::from_bytes(self.directory.as_bytes())).join(OsStr::from_bytes(name)));
        if self.mounted && !self.enabled {
            return vec![format!("all entries are turned off: as root, run `echo 1 > {}`", file(STATUS.as_bytes()))];
        }
        let off = self.entries.iter().filter(|row| row.registered && row.ours && !row.enabled);
        let remark =
            |row: &Row| format!("{} is turned off: as root, run `echo 1 > {}`", row.entry, file(row.entry.as_bytes()));
        let missing = self.others.iter().filter(|other| other.missing);
        let missing = missing.map(|other| {
            let (entry, interpreter) = (&other.entry, &other.interpreter);
            let file = file(entry.as_bytes());
            format!(
                "{entry}: there is no {interpreter}: install it, or remove the entry: as root, run `echo -1 > {file}`"
            )
        });
        off.map(remark).chain(missing).collect()
    }

    /// Takes entries of other software over.
    pub(super) fn taken(&self) -> Vec<String> {
        let taken = |row: &Row| row.registered && !row.ours && row.disabled_by.is_none() && row.emulator.is_some();
        let rows: Vec<&Row> = self.entries.iter().filter(|row| taken(row)).collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let (entries, names) = (entries(&rows), architectures(&rows));
        let (belong, them) = if rows.len() == 1 { ("belongs", "it") } else { ("belong", "them") };
        let image = self.image.as_ref().filter(|image| names.iter().all(|name| image.embedded.contains(*name)));
        let take = match image {
            Some(_) => self.register(&self.paths.asked, &names),
            None => self.install(&self.paths.asked, REPLACE, &names),
        };
        vec![format!("{entries}: {belong} to other software: to take {them} over, run `{take}`")]
    }
}

/// The names of the rows' entries, for display.
pub(super) fn entries(rows: &[&Row]) -> String {
    listed(&rows.iter().map(|row| row.entry.as_str()).collect::<Vec<_>>())
}

/// The names of the rows' architectures, each once. Some architectures have several entries, next to
/// each other.
pub(super) fn architectures<'s>(rows: &[&'s Row]) -> Vec<&'s str> {
    let mut names: Vec<&str> = rows.iter().map(|row| row.architecture.as_str()).collect();
    names.dedup();
    names
}

/// The option that lets `install` replace entries of other software.
pub(super) const REPLACE: &str = " --replace";

fn path(path: &Path) -> String {
    quote(path.as_os_str().as_bytes())
}
