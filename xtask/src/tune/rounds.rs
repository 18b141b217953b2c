//! Runs the same work in several ways, in interleaved rounds, and measures the time.

use std::process::Command;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Serialize, Serializer};

use crate::Result;
use crate::program::quietly;

/// Times of a run, in seconds, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Took {
    /// CPU time of the program and all its children, in user and kernel mode.
    cpu: f64,
    /// From start to end.
    wall: f64,
}

/// Named values, in order; an object in JSON.
#[derive(Debug, Default)]
pub struct Named<T>(pub Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Measures `what` in each of the `ways`, as often as asked. `command` prepares a run and returns
/// the command to time, whose output is shown only if it fails.
pub fn measure(
    what: &str,
    ways: &[&'static str],
    rounds: usize,
    mut command: impl FnMut(&'static str) -> Result<Command>,
) -> Result<Named<Vec<Took>>> {
    let mut all = Named(ways.iter().map(|way| (*way, Vec::new())).collect());
    for (way, place) in turns(ways, rounds) {
        let took = timed(&mut command(way)?).map_err(|error| format!("{what}, {way}: {error}"))?;
        eprintln!("{way}: {what}: {:.3} s, of the CPU {:.3} s", took.wall, took.cpu);
        all.0[place].1.push(took);
    }
    Ok(all)
}

/// The ways with their indexes, round by round; each round begins with another way.
fn turns<'w>(ways: &'w [&'static str], rounds: usize) -> impl Iterator<Item = (&'static str, usize)> + 'w {
    let count = ways.len();
    let places = (0..rounds).flat_map(move |round| (0..count).map(move |turn| (round + turn) % count));
    places.map(|place| (ways[place], place))
}

fn timed(command: &mut Command) -> Result<Took> {
    let (before, begin) = (children_time()?, Instant::now());
    quietly(command)?;
    let wall = begin.elapsed().as_secs_f64();
    Ok(Took { cpu: milliseconds(children_time()? - before), wall: milliseconds(wall) })
}

/// CPU time of all children that have ended, and of their children, in seconds.
fn children_time() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = usage.user_time() + usage.system_time();
    Ok(time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
}

fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// The median of the CPU time, in seconds; `None` without runs.
pub fn median(took: &[Took]) -> Option<f64> {
    let mut values: Vec<f64> = took.iter().map(|took| took.cpu).collect();
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(cpu: &[f64]) -> Vec<Took> {
        cpu.iter().map(|cpu| Took { cpu: *cpu, wall: 9.0 }).collect()
    }

    #[test]
    fn every_round_begins_with_another_way() {
        let turns: Vec<_> = turns(&["a", "b", "c"], 4).collect();
        assert_eq!(turns.iter().map(|(way, _)| *way).collect::<String>(), "abcbcacababc");
        assert_eq!(turns[3], ("b", 1));
    }

    #[test]
    fn medians() {
        assert_eq!(median(&took(&[])), None);
        assert_eq!(median(&took(&[3.0])), Some(3.0));
        assert_eq!(median(&took(&[9.0, 1.0, 2.0])), Some(2.0));
        assert_eq!(median(&took(&[4.0, 1.0, 3.0, 9.0])), Some(3.5));
    }

    #[test]
    fn the_file_is_what_the_charts_are_drawn_from() {
        let runs = Named(vec![("image", took(&[0.5])), ("direct", took(&[1.5, 2.25]))]);
        let text = serde_json::to_string(&Named(vec![("root", runs)])).unwrap();
        let expected =
            r#"{"root":{"image":[{"cpu":0.5,"wall":9.0}],"direct":[{"cpu":1.5,"wall":9.0},{"cpu":2.25,"wall":9.0}]}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn time_is_that_of_the_children() {
        let mut busy = Command::new("bash");
        busy.args(["-c", "bash -c 'for ((i = 0; i < 100000; i++)); do :; done'; sleep 0.2"]);
        let took = timed(&mut busy).unwrap();
        // Other tests' children may count too.
        assert!(took.wall >= 0.2 && took.cpu > 0.01, "{took:?}");
        assert_eq!(milliseconds(0.123_456), 0.123);
        assert!(timed(&mut Command::new("false")).is_err());
    }

    #[test]
    fn all_ways_are_measured() {
        let runs = measure("nothing", &["a", "b"], 3, |_| Ok(Command::new("true"))).unwrap();
        assert_eq!(runs.0.iter().map(|(way, took)| (*way, took.len())).collect::<Vec<_>>(), [("a", 3), ("b", 3)]);
        let error = measure("it", &["a"], 1, |_| Ok(Command::new("false"))).unwrap_err().to_string();
        assert_eq!(error, "it, a: false has failed: exit status: 1");
    }
}
