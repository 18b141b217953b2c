//! The status as text, which fits 80 columns.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dispatch_core::NAME;

use super::image_on_disk::{Image, Upgrade};
use super::remedy::{Group, REPLACE, architectures, entries};
use super::{Args, Other, Overlap, Row, Status};
use crate::failure::{listed, show};
use crate::image::{OpenImage, contents};
use crate::output::json::Bytes;
use crate::output::{BAD, Cell, Columns, GOOD, Narrow, paint};
use crate::program::invoked::quote;
use crate::registry::ownership;

impl Status {
    /// One line on all of it.
    fn summary(&self) -> String {
        let registered = || self.entries.iter().filter(|row| row.registered);
        let names =
            |wanted: &dyn Fn(&Row) -> bool| architectures(&registered().filter(|row| wanted(row)).collect::<Vec<_>>());
        let version = registered().find_map(|row| row.version.as_deref()).unwrap_or_default();
        let good = names(&|row| self.enabled && row.is_good() && row.disabled_by.is_none());
        let disabled = names(&|row| self.enabled && row.is_good() && row.disabled_by.is_some());
        let bad = names(&|row| !(self.enabled && row.is_good()) && row.ours);
        let others = names(&|row| !row.ours);
        let mut parts = Vec::new();
        if !self.enabled {
            parts.push(paint(BAD, "All entries are turned off.").to_string());
        }
        let plural = |count: usize| if count == 1 { "architecture runs" } else { "architectures run" };
        if !good.is_empty() {
            let text = format!("{} {} through {NAME} {version}", good.len(), plural(good.len()));
            parts.push(paint(GOOD, format!("{}.", text.trim_end())).to_string());
        } else if disabled.is_empty() && registered().next().is_none() && self.others.is_empty() {
            parts.push("Nothing is registered.".to_owned());
        }
        if !disabled.is_empty() {
            let are = if disabled.len() == 1 { "is" } else { "are" };
            parts.push(format!("{} {are} disabled: {}.", disabled.len(), listed(&disabled)));
        }
        if !bad.is_empty() {
            parts.push(
                paint(
                    BAD,
                    format!("{} {} not run: {}.", bad.len(), if bad.len() == 1 { "does" } else { "do" }, listed(&bad)),
                )
                .to_string(),
            );
        }
        if !others.is_empty() {
            let owned = if others.len() == 1 { "belongs" } else { "belong" };
            parts.push(
                paint(BAD, format!("{} {owned} to other software: {}.", others.len(), listed(&others))).to_string(),
            );
        }
        parts.join(" ")
    }

    pub(super) fn text(&self, args: &Args) -> String {
        let mut text = self.summary() + "\n";
        if args.all {
            let state = if self.enabled { "enabled" } else { "disabled" };
            text += &format!("binfmt_misc on {}: {state}\n", args.mount.display());
        }
        text += &self.table(args);
        let remarks = [
            self.turned_off(),
            self.overlapping(),
            self.troubles(),
            self.taken(),
            self.flags(),
            self.unfinished(),
            self.stale(),
        ];
        for remark in remarks.iter().flatten() {
            text += &format!("\n{remark}\n");
        }
        if let (Some(Image { path, programs, .. }), true) = (&self.image, args.all) {
            text += &format!("\nin {path}:\n{}", contents::table(programs));
        }
        let translations = self.image.as_ref().map(|image| contents::translations(&image.programs));
        if let Some(translations) = translations.filter(|lines| !lines.is_empty()) {
            text += &format!("\n{translations}");
        }
        text
    }

    /// The entries that matter, and whether there are others.
    fn table(&self, args: &Args) -> String {
        let matters = |row: &&Row| {
            args.all
                || !args.architectures.is_empty()
                || row.registered && (!(self.enabled && row.is_good()) || row.disabled_by.is_some())
        };
        let mut titles = vec!["ENTRY", "STATE", "OWNER", "FLAGS", "PROBE", "INTERPRETER"];
        if args.all {
            titles.push("EMULATOR");
        }
        let mut columns = Columns::new(&titles);
        let ours = self.entries.iter().filter(matters).map(|row| row.cells(args.all));
        let cells: Vec<Vec<Cell>> = ours.chain(self.others.iter().map(|other| other.cells(args.all))).collect();
        let shown = cells.len();
        cells.into_iter().for_each(|cells| columns.push(cells));
        // Where there is no room for both, the path of the image, which is the interpreter of nearly
        // all entries, stands below.
        let columns = columns.fitting(&[
            Narrow::Beginning("INTERPRETER", 12),
            Narrow::Beginning("EMULATOR", 16),
            Narrow::Drop(if args.all { "INTERPRETER" } else { "" }),
            Narrow::Beginning("EMULATOR", 8),
        ]);
        let mut text = if shown == 0 { String::new() } else { format!("\n{columns}") };
        if self.entries.iter().any(|row| row.registered && !matters(&row)) {
            let which = if shown == 0 { "All" } else { "The other" };
            text += &format!("\n{which} entries work; --all shows them.\n");
        }
        text
    }

    /// Entries of others that accept some of the same programs, and are not said to be newer anyway.
    fn overlapping(&self) -> Vec<String> {
        let shadowed = |entry: &str| self.entries.iter().any(|row| row.entry == entry && row.shadowed_by.is_some());
        let overlaps = self.overlaps.iter().filter(|overlap| !shadowed(&overlap.entry));
        let remark = |Overlap { entry, other, interpreter }: &Overlap| {
            format!("{entry} and {other} ({interpreter}) accept some of the same programs: the newer one wins")
        };
        overlaps.map(remark).collect()
    }

    /// Why programs do not run, or why they do although they are disabled.
    fn troubles(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for row in self.entries.iter().filter(|row| row.registered) {
            if let Some(by) = &row.disabled_by {
                let by = show(OsStr::new(by));
                remarks.push(match row.runs {
                    Some(true) => {
                        let replace = if row.ours { "" } else { REPLACE };
                        let remedy = self.install(self.image_of(row), replace, &[&row.architecture]);
                        format!("{}: disabled by {by}, but its programs run: run `{remedy}`", row.entry)
                    }
                    _ => format!("{}: {} is disabled by {by}", row.entry, row.architecture),
                });
            } else if let Some(fault) = &row.fault {
                remarks.push(format!("{}: the test program {fault}", row.entry));
            }
            if let Some(newer) = &row.shadowed_by {
                remarks.push(format!("{}: {newer} is newer, and gets its programs", row.entry));
            }
        }
        remarks
    }

    /// Flags that the entries of binfmt-dispatch lack.
    fn flags(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for row in self.entries.iter().filter(|row| row.ours) {
            let again = format!("run `{}`", self.register(self.image_of(row), &[&row.architecture]));
            if row.lacks(|flags| flags.open_binary) {
                remarks.push(format!("{} cannot work, as it lacks flag O: {again}", row.entry));
            } else if row.lacks(|flags| flags.keeps_argv0()) {
                remarks.push(format!("{} loses argv[0], as it lacks flag P: {again}", row.entry));
            }
        }
        remarks
    }

    /// Temporary entries.
    fn unfinished(&self) -> Vec<String> {
        let remark = |name: &Bytes| {
            format!("{name} was left by an interrupted run: `{NAME} register` or `{NAME} unregister` ends it")
        };
        self.interrupted.iter().map(remark).collect()
    }

    /// What is registered, or embedded, and is not the newest.
    fn stale(&self) -> Vec<String> {
        let differs = |lost| self.groups(move |row| row.outdated == Some(true) && row.lost == lost);
        let registered = differs(false).into_iter().map(|Group { entries, names, image }| {
            let again = self.register(image, &names);
            format!("{entries}: the registered image differs from the one on disk: run `{again}`")
        });
        let lost = differs(true).into_iter().map(|Group { entries, names, image }| {
            // Another program's file is not overwritten.
            let again = self.install(if OpenImage::is_at(image) { image } else { &self.paths.asked }, "", &names);
            format!(
                "{entries}: the registered image is not on disk any more, and the file there does not embed the \
                 emulator: run `{again}`"
            )
        });
        let gone = self.groups(|row| row.gone).into_iter().map(|Group { entries, names, image }| {
            let again = self.install(image, "", &names);
            format!(
                "{entries}: the registered image is not on disk any more, and works until the next boot: run `{again}` \
                 or `{NAME} unregister {}`",
                names.join(" ")
            )
        });
        registered.chain(lost).chain(gone).chain(self.upgraded()).collect()
    }

    /// Emulators that were upgraded after they had been embedded.
    fn upgraded(&self) -> Option<String> {
        let image = self.image.as_ref()?;
        let rows: Vec<&Row> = self.entries.iter().filter(|row| row.newer_emulator && row.ours).collect();
        if rows.is_empty() {
            return None;
        }
        let entries = entries(&rows);
        let versions = self.upgrade.as_ref().map_or(String::new(), |Upgrade { name, embedded, installed }| {
            format!(" ({name} {embedded} is embedded, {installed} is installed)")
        });
        let from: String = image.from.iter().map(|place| format!(" --from {}", quote(place.as_bytes()))).collect();
        // An emulator that `--from` names is not looked for anywhere else, so all are named.
        let embedded = self.entries.iter().filter(|row| image.embedded.contains(&row.architecture));
        let names = architectures(&embedded.collect::<Vec<_>>());
        let again = self.install(&self.paths.asked, &from, &names);
        Some(format!("{entries}: the installed emulators differ from the embedded ones{versions}: run `{again}`"))
    }

    /// The image to use for `row`: the one that is registered, if it has a path.
    fn image_of<'s>(&'s self, row: &'s Row) -> &'s Path {
        let own =
            row.interpreter.as_ref().filter(|_| row.ours).map(|path| Path::new(OsStr::from_bytes(path.as_bytes())));
        own.filter(|path| ownership::has_path(path)).unwrap_or(&self.paths.asked)
    }
}

impl Other {
    fn cells(&self, all: bool) -> Vec<Cell> {
        let state = if self.enabled { "enabled" } else { "disabled" };
        let probe = if self.missing { Cell::new("MISSING", BAD) } else { "".into() };
        let what = match self.matches {
            "handler" => "a handler in the kernel (type B): ",
            _ if self.flags.0.loader => "a dynamic linker for native programs (flag L): ",
            _ => "",
        };
        let interpreter = format!("{what}{}", self.interpreter);
        let name = self.entry.to_string();
        let mut cells: Vec<Cell> =
            vec![name.into(), state.into(), "other".into(), self.flags.0.to_string().into(), probe, interpreter.into()];
        if all {
            cells.push("".into());
        }
        cells
    }
}

impl Row {
    fn cells(&self, all: bool) -> Vec<Cell> {
        let state = match (self.registered, self.enabled) {
            (false, _) if self.native => "native",
            (false, _) => "",
            (true, true) => "enabled",
            (true, false) => "disabled",
        };
        let owner = match (self.registered, self.ours) {
            (false, _) => String::new(),
            (true, true) => format!("ours {}", self.version.as_deref().unwrap_or_default()).trim_end().to_owned(),
            (true, false) => "other".to_owned(),
        };
        let probe = match (&self.shadowed_by, self.runs) {
            (Some(_), _) => Cell::new("shadowed", BAD),
            (None, Some(false)) if self.disabled_by.is_some() => "refused".into(),
            (None, Some(true)) if self.disabled_by.is_some() => Cell::new("RUNS", BAD),
            (None, Some(true)) => Cell::new("runs", GOOD),
            (None, Some(false)) => Cell::new("FAILS", BAD),
            (None, None) => "".into(),
        };
        let flags = self.flags.map(|flags| flags.0.to_string()).unwrap_or_default();
        let interpreter = self.interpreter.as_ref().map(|path| ownership::show(path, self.ours));
        let mut cells: Vec<Cell> = vec![
            self.entry.clone().into(),
            state.into(),
            owner.into(),
            flags.into(),
            probe,
            interpreter.unwrap_or_default().into(),
        ];
        if all {
            let emulator = self.emulator.as_ref().map(Bytes::to_string).unwrap_or_default();
            cells.push(if self.embedded { "embedded in the image".into() } else { emulator.into() });
        }
        cells
    }
}
