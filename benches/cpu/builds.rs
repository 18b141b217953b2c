//! Longer work: its table and its chart.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::chart::COLOURS;
use crate::shares;

/// The keys of the results, and what they are called.
const WORKS: [(&str, &str); 5] = [
    ("root", "root directory by mmdebstrap"),
    ("install", "apt-get install of gcc and make"),
    ("pip", "pip install of Django and Sphinx"),
    ("npm", "npm install of Express, TypeScript"),
    ("project", "configure and make of GNU hello"),
];

/// Compares two ways to do the same work.
#[derive(Deserialize)]
struct Pair {
    direct: Vec<Took>,
    image: Vec<Took>,
}

#[derive(Deserialize)]
struct Took {
    cpu: f64,
    wall: f64,
}

impl Took {
    fn cpu(&self) -> f64 {
        self.cpu
    }

    fn wall(&self) -> f64 {
        self.wall
    }
}

impl Pair {
    /// The share of the time of QEMU registered directly.
    fn share(&self, of: fn(&Took) -> f64) -> f64 {
        median(&self.image, of) / median(&self.direct, of)
    }
}

/// What was measured for one architecture with one emulator.
pub struct Builds {
    /// The architecture, and the emulator's version.
    name: String,
    works: HashMap<String, Pair>,
}

impl Builds {
    /// All results of a directory.
    pub fn all(directory: &Path) -> Result<Vec<Self>, Box<dyn Error>> {
        let mut all = Vec::new();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(name) = name.strip_prefix("builds-").and_then(|name| name.strip_suffix(".json")) {
                let works = serde_json::from_str(&fs::read_to_string(&path)?)?;
                all.push(Builds { name: name.replacen('-', ", QEMU ", 1), works });
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }
}

/// A table for each architecture with an emulator.
pub fn tables(text: &mut String, all: &[Builds]) -> std::fmt::Result {
    text.push_str("## Longer work\n\n![Shares of the CPU time](builds.svg)\n\n");
    for one in all {
        writeln!(text, "{}, seconds from start to end (of the CPU), medians:\n", one.name)?;
        text.push_str("| work | rounds | QEMU directly | binfmt-dispatch | share |\n|---|---|---|---|---|\n");
        for (key, what) in WORKS {
            let Some(pair) = one.works.get(key) else { continue };
            writeln!(
                text,
                "| {what} | {} | {:.1} ({:.1}) | {:.1} ({:.1}) | {:.2} ({:.2}) |",
                pair.image.len(),
                median(&pair.direct, Took::wall),
                median(&pair.direct, Took::cpu),
                median(&pair.image, Took::wall),
                median(&pair.image, Took::cpu),
                pair.share(Took::wall),
                pair.share(Took::cpu),
            )?;
        }
        text.push('\n');
    }
    Ok(())
}

/// The shares of the CPU time, by work.
pub fn chart(all: &[Builds]) -> String {
    let shares = |key| {
        let shares = all.iter().enumerate().take(COLOURS.len());
        let shares = shares.filter_map(|(index, one)| Some((index, one.works.get(key)?.share(Took::cpu))));
        shares.collect::<Vec<_>>()
    };
    let works = WORKS.map(|(key, what)| (what, shares(key)));
    let names: Vec<String> = all.iter().take(COLOURS.len()).map(|one| one.name.clone()).collect();
    shares::chart(
        "CPU time of longer work: share of that with QEMU registered directly",
        &names,
        &works,
        "Medians; the emulators are Debian's. Less is better.",
    )
}

fn median(took: &[Took], of: fn(&Took) -> f64) -> f64 {
    shares::median(took.iter().map(of).collect())
}
