//! The table that most of these tests use.

use serde_json::{Value, json};

use crate::support::{Row, Scratch};

/// Writes the table `table`: aarch64 with `emulator`, which learns no argv\[0\], is exec'ed, and finds no libraries unless
/// `changes` say otherwise. The result is the option that names the table.
pub fn aarch64(scratch: &Scratch, emulator: &str, changes: Value) -> [String; 2] {
    let row = Row::new("aarch64", emulator);
    let row = row.with("sysroots", json!([])).with("argv0", json!("none")).with("strategy", json!("exec"));
    let changes = changes.as_object().expect("fields of a row").clone();
    let row = changes.into_iter().fold(row, |row, (field, value)| row.with(&field, value));
    scratch.write("table", row.table());
    ["--table".to_owned(), scratch.at("table")]
}
