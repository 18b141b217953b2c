//! The table that most of these tests use.

use serde_json::{Value, json};

use crate::support::{Row, Scratch};

/// Writes the table `table`. In it `emulator`, for aarch64, is executed, is not told argv\[0\], and
/// has no sysroot, unless `changes` say otherwise. Returns the option that names the table.
pub fn aarch64(scratch: &Scratch, emulator: &str, changes: Value) -> [String; 2] {
    let row = Row::new("aarch64", emulator);
    let row = row.with("sysroots", json!([])).with("argv0", json!("none")).with("strategy", json!("exec"));
    let changes = changes.as_object().expect("fields of a row").clone();
    let row = changes.into_iter().fold(row, |row, (field, value)| row.with(&field, value));
    scratch.write("table", row.table());
    ["--table".to_owned(), scratch.at("table")]
}
