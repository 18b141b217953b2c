//! What `install` says: what it found, which entries work, and where everything went.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dispatch_table::Architecture;

use super::NewImage;
use crate::architectures;
use crate::failure::show;
use crate::image::emulators::{Source, distinct};
use crate::install;
use crate::install::place::Place;
use crate::output::{BAD, Cell, Columns, GOOD, size};
use crate::platform::host;
use crate::registry::RegisterLine;
use crate::registry::registration::Outcome;
use crate::registry::selection::Skipped;

/// The emulators that were found, and where.
pub fn found(sources: &[Source<'_>]) -> String {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for source in distinct(sources) {
        let place = match (&source.from_image, source.path.parent()) {
            (Some(from), _) => from.place.to_owned(),
            (None, Some(directory)) if !directory.as_os_str().is_empty() => show(directory.as_os_str()).to_string(),
            _ => "this directory".to_owned(),
        };
        *places.entry(place).or_default() += 1;
    }
    let places = places.into_iter().map(|(place, count)| {
        let emulators = if count == 1 { "emulator" } else { "emulators" };
        format!("{count} {emulators} in {place}")
    });
    let places: Vec<String> = places.collect();
    if places.is_empty() {
        return "Embedding no emulators: programs use those at their paths.\n".to_owned();
    }
    format!("Found {}.\n", places.join(", "))
}

/// The architectures that were installed before; empty if there are none but the requested ones.
pub fn kept(kept: &[&Architecture]) -> String {
    let names: Vec<&str> = kept.iter().map(|row| row.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("Kept, as installed before: {}.\n", names.join(", ")) }
}

/// The entries, and what their probes have shown; then the architectures that have none.
pub fn entries(
    entries: &[(&Architecture, Vec<RegisterLine>)],
    outcomes: &BTreeMap<&str, Outcome>,
    new_image: &NewImage,
    skipped: &[(&Architecture, Skipped)],
) -> String {
    let mut columns = Columns::new(&["ENTRY", "FLAGS", "EMULATOR", "PROBE"]);
    for (architecture, lines) in entries {
        let probe = match outcomes.get(architecture.name.as_str()) {
            None => Cell::from("not registered"),
            Some(Outcome::Failed) => Cell::new("failed", BAD),
            Some(Outcome::Disabled) => Cell::from("disabled"),
            Some(_) => Cell::new("ok", GOOD),
        };
        let emulator = new_image.emulators.get(&architecture.name).cloned();
        let emulator =
            if architecture.disabled.is_some() { Some(architectures::disabled(architecture)) } else { emulator };
        let emulator = emulator.or_else(|| host::installed(architecture).map(|path| path.display().to_string()));
        for line in lines {
            let name = line.name().to_string_lossy().into_owned();
            let emulator = emulator.clone().unwrap_or_default();
            columns.push([name.into(), line.flags().to_string().into(), emulator.into(), probe.clone()]);
        }
    }
    let left_out = |wanted: Skipped, why: &str| {
        let names = skipped.iter().filter(|(_, skipped)| *skipped == wanted);
        let names: Vec<&str> = names.map(|(architecture, _)| architecture.name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!("{why}: {}\n", names.join(", ")) }
    };
    let native = left_out(Skipped::Native, "Left out, as this machine runs them natively");
    columns.to_string() + &native + &left_out(Skipped::NoEmulator, "Left out, as they have no emulator")
}

/// The files that were written.
pub fn files(place: &Place, lasting: usize, documents: &[PathBuf]) -> String {
    let [image, link, snippet] = place.files();
    let bytes = image.metadata().map_or(0, |metadata| metadata.len());
    let at_boot = match lasting {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    let path = |path: &Path| show(path.as_os_str()).to_string();
    format!(
        "{}: written, {}\n{}: the command, a link to it\n{}: written, {at_boot} at each boot\n{}",
        path(&image),
        size(bytes),
        path(&link),
        path(&snippet),
        install::documents::counts(documents.iter().map(PathBuf::as_path), "written"),
    )
}

/// The entries that the kernel has now.
pub fn registered(works: &[(&Architecture, Vec<RegisterLine>)], mount: &Path) -> String {
    let entries: usize = works.iter().map(|(_, lines)| lines.len()).sum();
    let architectures: BTreeSet<&str> = works.iter().map(|(architecture, _)| architecture.name.as_str()).collect();
    let one = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    format!(
        "Registered {} for {} in {}.\n",
        one(entries, "entry", "entries"),
        one(architectures.len(), "architecture", "architectures"),
        show(mount.as_os_str()),
    )
}
