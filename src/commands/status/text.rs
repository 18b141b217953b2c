//! The status as text, which fits 80 columns.

use std::ffi::OsStr;

use dispatch_core::NAME;

use super::{Args, Image, Other, Overlap, Row, Status, Upgrade};
use crate::failure::{listed, show};
use crate::image::contents;
use crate::output::json::Bytes;
use crate::output::{self, BAD, Cell, Columns, GOOD, paint};
use crate::registry::ownership;

impl Status {
    /// One line on all of it.
    fn summary(&self) -> String {
        let registered = || self.entries.iter().filter(|row| row.registered);
        // Some architectures have several entries.
        let names = |wanted: &dyn Fn(&Row) -> bool| {
            let mut names: Vec<&str> =
                registered().filter(|row| wanted(row)).map(|row| row.architecture.as_str()).collect();
            names.dedup();
            names
        };
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
        let mut shown = 0;
        for row in self.entries.iter().filter(matters) {
            columns.push(row.cells(args.all));
            shown += 1;
        }
        for other in &self.others {
            columns.push(other.cells(args.all));
            shown += 1;
        }
        let mut text = self.summary() + "\n";
        if args.all {
            let state = if self.enabled { "enabled" } else { "disabled" };
            text += &format!("binfmt_misc on {}: {state}\n", args.mount.display());
        }
        if shown != 0 {
            text += &format!("\n{columns}");
        }
        if self.entries.iter().any(|row| row.registered && !matters(&row)) {
            let which = if shown == 0 { "All" } else { "The other" };
            text += &format!("\n{which} entries work; --all shows them.\n");
        }
        let shadowed = |entry: &str| self.entries.iter().any(|row| row.entry == entry && row.shadowed_by.is_some());
        for Overlap { entry, other, interpreter } in self.overlaps.iter().filter(|overlap| !shadowed(&overlap.entry)) {
            text += &format!(
                "\n{entry} and {other} ({interpreter}) accept some of the same programs: the newer one wins\n"
            );
        }
        for row in self.entries.iter().filter(|row| row.registered) {
            if let Some(by) = &row.disabled_by {
                let by = show(OsStr::new(by));
                text += &match row.runs {
                    Some(true) => {
                        let replace = if row.ours { "" } else { " --replace" };
                        let remedy = format!("run `{NAME} install{replace}`");
                        format!("\n{}: disabled by {by}, but its programs run: {remedy}\n", row.entry)
                    }
                    _ => format!("\n{}: {} is disabled by {by}\n", row.entry, row.architecture),
                };
            } else if let Some(fault) = &row.fault {
                text += &format!("\n{}: the test program {fault}\n", row.entry);
            }
            if let Some(newer) = &row.shadowed_by {
                text += &format!("\n{}: {newer} is newer, and gets its programs\n", row.entry);
            }
        }
        for row in self.entries.iter().filter(|row| row.ours) {
            let again = format!("run `{NAME} register --replace {}`", row.architecture);
            if row.lacks(|flags| flags.open_binary) {
                text += &format!("\n{} cannot work, as it lacks flag O: {again}\n", row.entry);
            } else if row.lacks(|flags| flags.preserve_argv0) {
                text += &format!("\n{} loses argv[0], as it lacks flag P: {again}\n", row.entry);
            }
        }
        for name in &self.interrupted {
            text +=
                &format!("\n{name} was left by an interrupted run: `{NAME} register` or `{NAME} unregister` ends it\n");
        }
        if let Some((entries, architectures)) = self.named(|row| row.outdated == Some(true)) {
            text += &format!(
                "\n{entries}: the registered image differs from the one on disk: \
                 run `{NAME} register --replace {architectures}`\n"
            );
        }
        if let Some((entries, _)) = self.named(|row| row.gone) {
            text += &format!(
                "\n{entries}: the registered image is not on disk any more, and works until the next boot: \
                 run `{NAME} install` or `{NAME} unregister`\n"
            );
        }
        if let Some((entries, _)) = self.named(|row| row.newer_emulator && row.ours) {
            let versions = self.upgrade.as_ref().map(|Upgrade { name, embedded, installed }| {
                format!(" ({name} {embedded} is embedded, {installed} is installed)")
            });
            text += &format!(
                "\n{entries}: the installed emulators differ from the embedded ones{}: run `{NAME} install`\n",
                versions.unwrap_or_default()
            );
        }
        if let (Some(Image { path, programs, .. }), true) = (&self.image, args.all) {
            text += &format!("\nin {path}:\n{}", contents::table(programs));
        }
        text
    }

    /// The entries for which `wanted` is true, and their architectures; `None` if there are none.
    fn named(&self, wanted: impl Fn(&Row) -> bool) -> Option<(String, String)> {
        let rows: Vec<&Row> = self.entries.iter().filter(|row| wanted(row)).collect();
        let entries = listed(&rows.iter().map(|row| row.entry.as_str()).collect::<Vec<_>>());
        // Some architectures have several entries, next to each other.
        let mut architectures: Vec<&str> = rows.iter().map(|row| row.architecture.as_str()).collect();
        architectures.dedup();
        (!rows.is_empty()).then(|| (entries, architectures.join(" ")))
    }
}

impl Other {
    fn cells(&self, all: bool) -> Vec<Cell> {
        let state = if self.enabled { "enabled" } else { "disabled" };
        let probe = if self.missing { Cell::new("MISSING", BAD) } else { "".into() };
        let interpreter = shorten(self.interpreter.to_string());
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
        let interpreter = self.interpreter.as_ref().map(|path| shorten(ownership::show(path, self.ours)));
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

/// The widest path that leaves a row within 80 columns.
const PATH: usize = 30;

/// The end of a path, on a terminal.
fn shorten(path: String) -> String {
    let count = path.chars().count();
    match output::width() {
        Some(width) if count > PATH.max(width.saturating_sub(80 - PATH)) => {
            let most = PATH.max(width.saturating_sub(80 - PATH));
            let rest: String = path.chars().skip(count - most + 1).collect();
            format!("…{rest}")
        }
        _ => path,
    }
}
