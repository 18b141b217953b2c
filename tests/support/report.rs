//! The output of emulators/report.c.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Observation;

/// The values of lines "key value", by key and in order.
#[derive(Debug)]
pub struct Report {
    lines: BTreeMap<String, Vec<String>>,
    shown: String,
}

impl Report {
    /// Parses the standard output of a run that must have succeeded.
    #[track_caller]
    pub fn of(observation: &Observation) -> Self {
        observation.succeeded();
        Self::read(observation.out(), observation.to_string())
    }

    /// Parses the text; `shown` is for messages.
    #[track_caller]
    pub fn read(text: &str, shown: String) -> Self {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            lines.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        assert!(lines.contains_key("end"), "the report is cut short\n{shown}");
        Report { lines, shown }
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// All values of `key`. Control characters, backslashes, and bytes outside ASCII are written as
    /// `\xHH`.
    pub fn all(&self, key: &str) -> &[String] {
        self.lines.get(key).map_or(&[], Vec::as_slice)
    }

    /// The value of `key`.
    #[track_caller]
    pub fn get(&self, key: &str) -> &str {
        match self.all(key) {
            [value] => value,
            other => panic!("{} values of {key}\n{}", other.len(), self.shown),
        }
    }

    /// The value of `key` as a number.
    #[track_caller]
    pub fn number<T: FromStr>(&self, key: &str) -> T {
        self.get(key).parse().unwrap_or_else(|_| panic!("{key} is no number\n{}", self.shown))
    }

    /// Asserts the value of `key`.
    #[track_caller]
    pub fn is(&self, key: &str, expected: &str) -> &Self {
        let value = self.get(key);
        assert!(value == expected, "{key} is {value:?} and not {expected:?}\n{}", self.shown);
        self
    }

    /// Asserts argv.
    #[track_caller]
    pub fn argv(&self, expected: &[&str]) -> &Self {
        assert!(self.all("argv") == expected, "argv is not {expected:?}\n{}", self.shown);
        self
    }
}
