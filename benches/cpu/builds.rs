//! Longer work: its table and its chart.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::chart::{BAR, COLOURS, GAP, TOP, WIDTH, bar, begin, legend};

/// The keys of the results, and what they are called.
const WORKS: [(&str, &str); 5] = [
    ("root", "root directory by mmdebstrap"),
    ("install", "apt-get install of gcc and make"),
    ("pip", "pip install of Django and Sphinx"),
    ("npm", "npm install of Express, TypeScript"),
    ("project", "configure and make of GNU hello"),
];

/// In pixels.
const LEFT: f64 = 260.0;
const RIGHT: f64 = 60.0;
/// End of the axis.
const MOST: f64 = 1.2;

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
    let bars: u32 = works.iter().map(|(_, shares)| shares.len() as u32 * BAR + GAP).sum();
    let height = TOP + bars + 40;
    let mut svg = begin("CPU time of longer work: share of that with QEMU registered directly", height);
    legend(&mut svg, 170, all.iter().take(COLOURS.len()).map(|one| one.name.clone()));
    let position = |share: f64| LEFT + share.min(MOST) / MOST * (f64::from(WIDTH) - LEFT - RIGHT);
    for mark in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, class) = (position(mark), if mark == 1.0 { "one" } else { "grid" });
        svg.add(format_args!(r#"<text class="small" x="{x:.1}" y="74" text-anchor="middle">{mark}</text>"#));
        svg.add(format_args!(r#"<line class="{class}" x1="{x:.1}" y1="80" x2="{x:.1}" y2="{}"/>"#, height - 34));
    }
    let mut top = TOP;
    for (what, shares) in works.iter().filter(|(_, shares)| !shares.is_empty()) {
        let middle = top + shares.len() as u32 * BAR / 2 + 4;
        svg.add(format_args!(r#"<text x="{}" y="{middle}" text-anchor="end">{what}</text>"#, LEFT - 10.0));
        for (row, (index, share)) in (0..).zip(shares) {
            bar(&mut svg, (*index, top + row * BAR), (LEFT, position(*share)), *share);
        }
        top += shares.len() as u32 * BAR + GAP;
    }
    svg.note(height - 12, "Medians; the emulators are Debian's. Less is better.");
    svg.end()
}

fn median(took: &[Took], of: fn(&Took) -> f64) -> f64 {
    let mut values: Vec<f64> = took.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(values.len().saturating_sub(1) / 2), middle(values.len() / 2))
}
