//! Reads the output of `binfmt-dispatch tune --json`.

use std::error::Error;
use std::fs;
use std::path::Path;

use dispatch_table::ArchTable;
use serde::Deserialize;

/// One architecture with one emulator.
#[derive(Debug, Deserialize)]
pub struct Measured {
    /// Debian's name of the architecture, from the file's name.
    #[serde(skip)]
    pub debian: String,
    /// The table's model for this version.
    #[serde(skip)]
    pub chosen: Option<String>,
    architecture: String,
    /// The emulator.
    pub emulator: Emulator,
    /// The host.
    pub machine: Machine,
    /// The contestants; the first is the baseline.
    pub contestants: Vec<Contestant>,
    /// The workloads.
    pub workloads: Vec<Workload>,
}

#[derive(Debug, Deserialize)]
pub struct Emulator {
    pub version: String,
}

#[derive(Debug, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cpus: usize,
    pub kernel: String,
}

#[derive(Debug, Deserialize)]
pub struct Contestant {
    pub name: String,
    /// Why it could not take part.
    pub refused: Option<String>,
    /// Geometric mean of the speed-ups.
    pub mean: Option<f64>,
    /// The smallest speed-up.
    pub least: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub struct Workload {
    pub name: String,
    results: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Measured {
        median: f64,
        ratio: f64,
        samples: Vec<serde_json::Value>,
    },
    Failed {
        #[expect(dead_code, reason = "it distinguishes the variants")]
        failed: String,
    },
}

impl Measured {
    /// Reads the files `<prefix><architecture>-<emulator>.json` in `directory`, sorted by
    /// architecture and version.
    pub fn all(directory: &Path, prefix: &str) -> Result<Vec<Self>, Box<dyn Error>> {
        let table = ArchTable::builtin();
        let mut all = Vec::new();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let Some((debian, _)) = name.strip_prefix(prefix).and_then(|rest| rest.split_once('-')) else { continue };
            let text = fs::read_to_string(&path)?;
            let mut measured: Measured =
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            debian.clone_into(&mut measured.debian);
            let version = measured.emulator.version.parse().ok();
            let row = table.find(&measured.architecture).ok_or("a result for no known architecture")?;
            measured.chosen = row.tuned(version.as_ref()).cpu.map(str::to_owned);
            all.push(measured);
        }
        all.sort_by_cached_key(|one| (one.debian.clone(), one.order()));
        Ok(all)
    }

    fn order(&self) -> Vec<u32> {
        self.version().split('.').filter_map(|number| number.parse().ok()).collect()
    }

    /// Version of the emulator, its numbers only.
    pub fn version(&self) -> &str {
        self.emulator.version.split(' ').next().unwrap_or_default()
    }

    /// Number of completed rounds: the fewest and the most of all workloads.
    pub fn rounds(&self) -> String {
        let counts = || self.workloads.iter().map(Workload::rounds);
        match (counts().min().unwrap_or(0), counts().max().unwrap_or(0)) {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        }
    }

    /// The contestants that took part.
    pub fn present(&self) -> impl Iterator<Item = &Contestant> {
        self.contestants.iter().filter(|contestant| contestant.refused.is_none())
    }

    /// Its index among the contestants.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.present().position(|contestant| contestant.name == name)
    }
}

impl Workload {
    /// The speed-up of the contestant at this index.
    pub fn ratio(&self, place: usize) -> Option<f64> {
        if let Some(Outcome::Measured { ratio, .. }) = self.results.get(place) { Some(*ratio) } else { None }
    }

    /// How often the first contestant ran it.
    fn rounds(&self) -> usize {
        if let Some(Outcome::Measured { samples, .. }) = self.results.first() { samples.len() } else { 0 }
    }

    /// Its median, in seconds.
    pub fn median(&self, place: usize) -> Option<f64> {
        if let Some(Outcome::Measured { median, .. }) = self.results.get(place) { Some(*median) } else { None }
    }
}
