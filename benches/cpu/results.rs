//! What `binfmt-dispatch tune --json` wrote.

use std::error::Error;
use std::fs;
use std::path::Path;

use dispatch_table::ArchTable;
use serde::Deserialize;

/// One architecture with one emulator.
#[derive(Debug, Deserialize)]
pub struct Measured {
    /// Debian's name of the architecture, out of the file's name.
    #[serde(skip)]
    pub debian: String,
    /// The model that the table has for this version.
    #[serde(skip)]
    pub chosen: Option<String>,
    architecture: String,
    /// The emulator.
    pub emulator: Emulator,
    /// Where.
    pub machine: Machine,
    /// Who took part; the first is what the others are compared with.
    pub contestants: Vec<Contestant>,
    /// What was run.
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
    /// Why it did not take part.
    pub refused: Option<String>,
    /// Geometric mean of how many times faster it is.
    pub mean: Option<f64>,
    /// The least of these.
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
        #[expect(dead_code, reason = "it tells the variants apart")]
        failed: String,
    },
}

impl Measured {
    /// Those in the files `<prefix><architecture>-<emulator>.json` of `directory`, by architecture and version.
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

    /// How many rounds there was time for: the least and the most of all workloads.
    pub fn rounds(&self) -> String {
        let counts = || self.workloads.iter().map(Workload::rounds);
        match (counts().min().unwrap_or(0), counts().max().unwrap_or(0)) {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        }
    }

    /// Who took part.
    pub fn present(&self) -> impl Iterator<Item = &Contestant> {
        self.contestants.iter().filter(|contestant| contestant.refused.is_none())
    }

    /// Its place among them.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.present().position(|contestant| contestant.name == name)
    }
}

impl Workload {
    /// How many times faster the contestant at this place is.
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
