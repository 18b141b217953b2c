//! The site's own table: what of it `tune` writes.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dispatch_table::ArchTable;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// The file in the site's directory.
const FILE: &str = "tune.json";

/// Where the model of an architecture is written.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Puts the model `cpu` into the row `name` of the file at `path`, which keeps what else it has, and appears at once.
///
/// # Errors
/// The file is no table, so that it is left alone, or cannot be written.
pub fn write(path: &Path, table: &ArchTable, name: &str, cpu: &str) -> Result<(), Failure> {
    let text = with_model(read(path, table)?.as_deref(), name, cpu);
    check(path, table, &text)?;
    replace(path, text.as_bytes()).map_err(|error| Failure::io("write", path, error))
}

/// The text of the file at `path`, if there is one.
///
/// # Errors
/// It is no table.
pub fn read(path: &Path, table: &ArchTable) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::UnreadableTable { path: path.to_owned(), error }),
        Ok(text) => check(path, table, &text).map(|()| Some(text)),
    }
}

/// Finds out whether [`write`] can write, and makes the directory that it needs.
///
/// # Errors
/// It cannot.
pub fn writable(path: &Path) -> Result<(), Failure> {
    begin(path).map(drop).map_err(|error| Failure::io("write", path, error))
}

fn check(path: &Path, table: &ArchTable, text: &str) -> Result<(), Failure> {
    let bad = |error| Failure::BadTable { path: path.to_owned(), error };
    table.clone().merge(text).map(|_| ()).map_err(bad)
}

/// The text of a table with the model of one row changed; `old` is a valid table.
fn with_model(old: Option<&str>, name: &str, cpu: &str) -> String {
    let parsed = old.and_then(|old| serde_json::from_str(old).ok());
    let mut value: Value = parsed.unwrap_or_else(|| json!({"version": 1, "architectures": []}));
    let rows = value.get_mut("architectures").and_then(Value::as_array_mut);
    if let Some(rows) = rows {
        let found = rows.iter_mut().filter_map(Value::as_object_mut).find(|row| row.get("name") == Some(&json!(name)));
        match found {
            Some(row) => {
                row.insert("cpu".into(), cpu.into());
            }
            None => rows.push(Map::from_iter([("name".into(), name.into()), ("cpu".into(), cpu.into())]).into()),
        }
    }
    format!("{value:#}\n")
}

/// A temporary file beside `path`.
fn begin(path: &Path) -> io::Result<NamedTempFile> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    tempfile::Builder::new()
        .prefix(".binfmt-dispatch-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = begin(path)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_the_file_stays() {
        let old = r#"{"version": 1, "architectures": [
            {"name": "arm", "sysroots": []}, {"name": "one", "cpu": "old", "options": ["-B", "0"]}]}"#;
        let new: Value = serde_json::from_str(&with_model(Some(old), "one", "new")).unwrap();
        assert_eq!(
            new,
            json!({"version": 1, "architectures": [
                {"name": "arm", "sysroots": []}, {"name": "one", "cpu": "new", "options": ["-B", "0"]}]})
        );
        let new: Value = serde_json::from_str(&with_model(None, "one", "new")).unwrap();
        assert_eq!(new, json!({"version": 1, "architectures": [{"name": "one", "cpu": "new"}]}));
    }

    #[test]
    fn a_file_that_is_no_table_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        for text in ["{", r#"{"version": 1, "architectures": [{"name": "no such row"}]}"#, "[]"] {
            fs::write(&path, text).unwrap();
            let failure = write(&path, &ArchTable::builtin(), "arm", "max").unwrap_err();
            assert!(matches!(failure, Failure::BadTable { .. }), "{failure}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
