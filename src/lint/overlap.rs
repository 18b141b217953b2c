//! All entries together: which of them get the same programs, and which one wins.
//!
//! The kernel asks the newest entry first (`fs/binfmt_misc.c`, `add_entry`), so the last one that
//! is registered wins.

use binfmt_misc::Matcher;

use super::finding::{Check, Findings, Level, Other, listed};
use super::{Registered, Setting, architectures};
use crate::failure::show;

/// How many entries are compared with each other, the last ones.
const MOST: usize = 1000;

/// How many of them a finding names in JSON.
const MOST_NAMED: usize = 20;

/// How an entry meets an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meeting {
    /// It gets all programs of the earlier one.
    Hides,
    /// It gets those of these architectures.
    Shares(Vec<String>),
    /// It gets those that both accept, which are of no known kind.
    Touches,
}

/// Compares every entry with those before it.
pub fn check(entries: &[Registered], setting: &Setting<'_>, findings: &mut Findings) {
    let compared = &entries[entries.len().saturating_sub(MOST)..];
    if compared.len() < entries.len() {
        at(&compared[0], findings);
        let message = format!("there are {} entries: those before this one are not compared", entries.len());
        findings.at(Check::TooMany, compared[0].name_at.clone(), message);
    }
    let accepted: Vec<Vec<&str>> = compared.iter().map(|entry| architectures(&entry.matcher, setting.table)).collect();
    for (number, entry) in compared.iter().enumerate() {
        let mut hidden = Vec::new();
        let mut touched = Vec::new();
        let mut shared: Vec<(Vec<String>, &Registered)> = Vec::new();
        for (earlier, other) in compared[..number].iter().enumerate() {
            match meeting((entry, &accepted[number]), (other, &accepted[earlier])) {
                Some(Meeting::Hides) => hidden.push(other),
                Some(Meeting::Shares(architectures)) => shared.push((architectures, other)),
                Some(Meeting::Touches) => touched.push(other),
                None => {}
            }
        }
        at(entry, findings);
        let of = |entries: &[&Registered]| listed(&entries.iter().map(|entry| named(entry)).collect::<Vec<_>>());
        let mut tell = |check: Check, level: Level, message: String, others: &[&Registered]| {
            let others = others.iter().take(MOST_NAMED).map(|other| Other::of(other)).collect();
            findings.about(check, level, entry.name_at.clone(), message, others);
        };
        if !hidden.is_empty() {
            let message = format!("gets all programs of {}, as it is registered later", of(&hidden));
            tell(Check::Hidden, Check::Hidden.level(), message, &hidden);
        }
        if !shared.is_empty() {
            let mut names: Vec<String> = shared.iter().flat_map(|(names, _)| names.clone()).collect();
            names.dedup();
            let others: Vec<&Registered> = shared.iter().map(|(_, other)| *other).collect();
            let (names, others_named) = (listed(&names), of(&others));
            let message = format!("gets {names} programs of {others_named}, as it is registered later");
            tell(Check::Overlap, Check::Overlap.level(), message, &others);
        }
        if !touched.is_empty() {
            let message = format!("may get files of {}, as it is registered later", of(&touched));
            tell(Check::Overlap, Level::Note, message, &touched);
        }
    }
}

/// The next findings are about this entry.
fn at(entry: &Registered, findings: &mut Findings) {
    findings.file(&entry.file);
    findings.line(entry.line, entry.start, Some(entry.name.clone()));
}

fn named(entry: &Registered) -> String {
    use std::os::unix::ffi::OsStrExt;
    let name = show(std::ffi::OsStr::from_bytes(entry.name.as_bytes())).to_string();
    format!("{name} ({})", entry.place())
}

/// How an entry meets an earlier one; each with the architectures that it accepts.
fn meeting(later: (&Registered, &[&str]), earlier: (&Registered, &[&str])) -> Option<Meeting> {
    let rules = match (&later.0.matcher, &earlier.0.matcher) {
        (Matcher::Rule(later), Matcher::Rule(earlier)) => (later, earlier),
        (Matcher::Extension(later), Matcher::Extension(earlier)) => {
            return (later == earlier).then_some(Meeting::Hides);
        }
        // A file of any contents may have the extension; whoever registers one knows that.
        _ => return None,
    };
    if rules.0.covers(rules.1) {
        return Some(Meeting::Hides);
    }
    if !rules.0.overlaps(rules.1) {
        return None;
    }
    let both: Vec<String> =
        later.1.iter().filter(|name| earlier.1.contains(name)).map(|name| (*name).to_owned()).collect();
    Some(if both.is_empty() { Meeting::Touches } else { Meeting::Shares(both) })
}
