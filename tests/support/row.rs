//! Rows of the architecture table with other emulators in them.

use serde_json::{Map, Value, json};

/// A row of arch-table.json, changed.
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

    /// With a field of another value.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.0.insert(field.to_owned(), value);
        self
    }

    /// A table of this row alone, as JSON.
    pub fn table(&self) -> String {
        json!({"version": 1, "architectures": [self.0]}).to_string()
    }
}
