//! Programs with and without translations in the image: their chart.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::shares;

/// The keys of the results, and what they are called.
const WORKS: [(&str, &str); 6] = [
    ("true", "true"),
    ("bash", "bash -c :"),
    ("perl", "perl -e 1"),
    ("python3", "python3 -S -c 1"),
    ("loop", "40 × true from a shell"),
    ("gcc", "gcc -O2 -c of a small file"),
];
/// The same for the ways to run them. The first one is the measure.
const WAYS: [(&str, &str); 4] = [
    ("direct", "QEMU, directly"),
    ("without", "image"),
    ("with", "with translations"),
    ("native", "without an emulator"),
];

/// The results of `ci/translations speed`.
#[derive(Deserialize)]
pub struct Translated {
    /// CPU times in milliseconds, for each work and way.
    works: HashMap<String, HashMap<String, Vec<f64>>>,
}

impl Translated {
    /// The results in a file.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// The shares of the CPU time, by work.
    pub fn chart(&self) -> String {
        let time = |work: &str, way: &str| Some(shares::median(self.works.get(work)?.get(way)?.clone()));
        let of = |work: &str| -> Vec<(usize, f64)> {
            let share = |(index, (way, _)): (usize, &(&str, &str))| {
                Some((index - 1, time(work, way)? / time(work, WAYS[0].0)?))
            };
            WAYS.iter().enumerate().skip(1).filter_map(share).collect()
        };
        let works = WORKS.map(|(key, what)| (what, of(key)));
        let names: Vec<String> = WAYS[1..].iter().map(|(_, name)| (*name).to_owned()).collect();
        shares::chart(
            "CPU time of arm64 programs: share of that with QEMU 10.0 registered directly",
            &names,
            &works,
            "Medians; programs of Debian 13. Less is better.",
        )
    }
}
