//! The reports of a case, and their comparison.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::cases::Case;

/// One report: the guest's or the observer's.
#[derive(Debug, Default)]
struct Report {
    title: String,
    fields: BTreeMap<String, Vec<String>>,
}

/// All reports of one case.
#[derive(Debug)]
pub struct Seen {
    case: Case,
    reports: Vec<Report>,
    /// The number of the observer's reports.
    looked_at: usize,
    outcome: Report,
}

/// A field with two different values.
#[derive(Debug)]
pub struct Found {
    /// The case's name.
    pub case: &'static str,
    /// The title of the report that it is in.
    pub report: String,
    /// The field's name.
    pub field: String,
    /// Its value in the first way.
    pub left: String,
    /// Its value in the second.
    pub right: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { case, report, field, left, right } = self;
        write!(f, "{case}, {report}: {field} is\n    {left}\nand\n    {right}")
    }
}

impl Seen {
    /// Reads the reports in the directory of a case.
    pub fn read(directory: &Path, case: Case) -> Self {
        let read = |name: &str| {
            let bytes = fs::read(directory.join(name)).unwrap_or_else(|error| panic!("{}: {name}: {error}", case.name));
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut reports = parse(&read("report"));
        let outside = parse(&read("host"));
        let looked_at = outside.len();
        let count = vec![reports.len().to_string()];
        reports.extend(outside);
        let lines = |name: &str| read(name).lines().map(str::to_owned).collect();
        let fields = [("code", lines("code")), ("out", lines("out")), ("err", lines("err")), ("reports", count)];
        let fields = fields.map(|(name, values): (&str, Vec<String>)| (name.to_owned(), values)).into();
        Seen { looked_at, reports, outcome: Report { title: "the outcome".into(), fields }, case }
    }

    /// The outcome and all reports.
    fn all(&self) -> impl Iterator<Item = &Report> {
        std::iter::once(&self.outcome).chain(&self.reports)
    }

    /// The reason why the case did not go as it should, if there is one.
    pub fn problem(&self) -> Option<String> {
        let Seen { case, reports, looked_at, outcome } = self;
        let err = outcome.fields["err"].join("\n");
        let as_told = reports.len() - looked_at == case.reports
            && *looked_at == usize::from(case.reports > 0)
            && outcome.fields["code"] == [case.code.to_string()]
            && err.contains(case.err)
            && err.is_empty() == case.err.is_empty();
        if !as_told {
            return Some(format!("{case:?} came to {outcome:?}, seen from the outside {looked_at} times"));
        }
        let value = |report: &Report, field: &str| show(report.fields.get(field));
        let without = |(field, expected): &&(&str, &str)| !self.all().any(|report| value(report, field) == *expected);
        if let Some((field, expected)) = case.facts.iter().find(without) {
            let values: Vec<String> = self.all().map(|report| value(report, field)).collect();
            return Some(format!("{}: {field} should be {expected}: {values:?}", case.name));
        }
        // Others see the same arguments as the program itself, unless the case is about that.
        if case.facts.iter().any(|(field, _)| *field == "host.cmdline") {
            return None;
        }
        let (first, last) = (reports.first()?, reports.last()?);
        let (own, others) = (value(first, "proc.cmdline"), value(last, "host.cmdline"));
        (own != others).then(|| format!("{}: command line {own} is seen as {others}", case.name))
    }
}

fn parse(text: &str) -> Vec<Report> {
    let mut reports: Vec<Report> = Vec::new();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        if key == "begin" {
            reports.push(Report { title: value.to_owned(), ..Report::default() });
        } else {
            let report = reports.last_mut().expect("a report begins with its title");
            report.fields.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    assert!(reports.iter().all(|report| report.fields.contains_key("end")), "a report is cut short:\n{text}");
    reports
}

/// The differences between two runs of the same case.
pub fn compare(left: &Seen, right: &Seen) -> Vec<Found> {
    assert_eq!(left.case.name, right.case.name);
    let mut found = Vec::new();
    // More reports on one side show as a different number of reports.
    for (one, other) in left.all().zip(right.all()) {
        let mut fields: Vec<&String> = one.fields.keys().chain(other.fields.keys()).collect();
        fields.sort();
        fields.dedup();
        for field in fields {
            let (first, second) = (one.fields.get(field), other.fields.get(field));
            if first != second {
                found.push(Found {
                    case: left.case.name,
                    report: one.title.clone(),
                    field: field.clone(),
                    left: show(first),
                    right: show(second),
                });
            }
        }
    }
    found
}

/// The values of a field as one text.
fn show(values: Option<&Vec<String>>) -> String {
    values.map_or("absent".into(), |values| values.join(" | "))
}
