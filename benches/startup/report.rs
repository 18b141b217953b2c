//! What was measured, for people and for programs.

use std::fmt;
use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::contest::{Contest, MEANINGS, NAMES};
use crate::statistics::Quartiles;

/// The figures.
pub struct Report {
    /// How often each contestant was run.
    pub rounds: usize,
    emulator: String,
    kernel: String,
    results: [Result; 3],
}

/// One contestant's.
struct Result {
    milliseconds: Quartiles,
    /// Its median by that of the first contestant.
    ratio: f64,
    /// The quotients of the two within each round.
    ratios: Quartiles,
}

impl Report {
    /// The figures of at least one round.
    pub fn new(contest: &Contest, rounds: &[[Duration; 3]]) -> Self {
        let milliseconds = |of: usize| rounds.iter().map(|times| times[of].as_secs_f64() * 1e3).collect();
        let direct = Quartiles::of(milliseconds(0)).median;
        let result = |of: usize| {
            let own = Quartiles::of(milliseconds(of));
            let ratios = rounds.iter().map(|times| times[of].as_secs_f64() / times[0].as_secs_f64()).collect();
            Result { milliseconds: own, ratio: own.median / direct, ratios: Quartiles::of(ratios) }
        };
        Report {
            rounds: rounds.len(),
            emulator: contest.emulator.clone(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            results: [0, 1, 2].map(result),
        }
    }

    /// How long the dispatcher takes that maps the emulator, as a multiple of the emulator alone.
    pub fn path_ratio(&self) -> f64 {
        self.results[1].ratio
    }

    /// All of it as JSON.
    pub fn json(&self) -> String {
        let quartiles = |of: Quartiles| json!({"lower": of.lower, "median": of.median, "upper": of.upper});
        let contestant = |(result, (name, meaning)): (&Result, (&str, &str))| {
            json!({
                "name": name,
                "meaning": meaning,
                "milliseconds": quartiles(result.milliseconds),
                "ratio_of_medians": result.ratio,
                "ratios_within_rounds": quartiles(result.ratios),
            })
        };
        let contestants: Vec<_> = self.results.iter().zip(NAMES.into_iter().zip(MEANINGS)).map(contestant).collect();
        let report = json!({
            "program": "aarch64 exit(0)",
            "emulator": self.emulator,
            "kernel": self.kernel,
            "rounds": self.rounds,
            "contestants": contestants,
        });
        format!("{report:#}\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "aarch64 exit(0), {} interleaved rounds, {}, Linux {}", self.rounds, self.emulator, self.kernel)?;
        writeln!(f)?;
        writeln!(f, "contestant  median ms  quartiles ms   ratio of medians  median of the rounds' ratios")?;
        for (result, name) in self.results.iter().zip(NAMES) {
            let Quartiles { lower, median, upper } = result.milliseconds;
            let (ratio, within) = (result.ratio, result.ratios.median);
            writeln!(f, "{name:10}  {median:9.3}  {lower:5.3}..{upper:5.3}  {ratio:16.3}  {within:28.3}")?;
        }
        writeln!(f)?;
        NAMES.iter().zip(MEANINGS).try_for_each(|(name, meaning)| writeln!(f, "{name:6}  {meaning}"))
    }
}
