//! Rows of the architecture table with other emulators.

use serde_json::{Map, Value, json};

use super::{FOREIGN, Kind, Scratch, build};

/// A directory with an emulator that reports and a guest for it, and the row that connects them.
#[track_caller]
pub fn reporting(kind: Kind) -> (Scratch, Row) {
    let scratch = Scratch::new();
    scratch.write("emulator", build(kind));
    scratch.probe("guest", FOREIGN);
    let row = Row::new(FOREIGN, &scratch.at("emulator"));
    (scratch, row)
}

/// A changed row of arch-table.json.
#[derive(Clone, Debug)]
pub struct Row(Map<String, Value>);

impl Row {
    /// The built-in row `name`, with the absolute path `emulator` as its only emulator.
    pub fn new(name: &str, emulator: &str) -> Self {
        let table: Value = serde_json::from_str(dispatch_table::BUILTIN).unwrap();
        let rows = table["architectures"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).expect("a row of the table");
        Row(row.as_object().unwrap().clone()).with("emulators", json!([emulator]))
    }

    /// The same row with another value of a field.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.0.insert(field.to_owned(), value);
        self
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> &Value {
        &self.0[field]
    }

    /// A table of this row alone, as JSON.
    pub fn table(&self) -> String {
        Self::table_of(&[self])
    }

    /// A table of these rows, as JSON.
    pub fn table_of(rows: &[&Row]) -> String {
        json!({"version": 1, "architectures": rows.iter().map(|row| &row.0).collect::<Vec<_>>()}).to_string()
    }
}
