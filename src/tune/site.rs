//! Writes the file with the measured models among the site's tables.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Version};
use serde_json::{Map, Value, json};

use crate::failure::{Doing, Failure};
use crate::image::site;
use crate::platform::files::Replacement;

/// The name of the file in the site's directory.
const FILE: &str = "tune.json";

/// The path of the file that gets the models.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Writes the model `cpu` to the row `name` of the file at `path`, which is replaced atomically and
/// otherwise keeps its contents. `table` is the built-in table with the site's changes. The model
/// applies to the series of releases that contains `version`, because other emulators may not have
/// it; without a version, it applies to all.
///
/// # Errors
/// The file is not a table, and stays unchanged; or it cannot be written.
pub fn write(path: &Path, table: &ArchTable, name: &str, version: Option<&Version>, cpu: &str) -> Result<(), Failure> {
    let old = read(path, table)?;
    let versions = table.fields(name).and_then(|fields| fields.get("versions")?.as_array());
    let versions = versions.map_or(&[][..], Vec::as_slice);
    let fields = match version {
        Some(version) => Map::from_iter([("versions".to_owned(), with_model(versions, version, cpu))]),
        None => Map::from_iter([("cpu".to_owned(), cpu.into())]),
    };
    let text = with_row(old.as_deref(), name, fields);
    check(path, table, &text)?;
    replace(path, text.as_bytes())
}

/// `versions` with the model `cpu` in front, for the series of releases that contains `version`.
/// Notes about the model are kept.
fn with_model(versions: &[Value], version: &Version, cpu: &str) -> Value {
    let (since, before) = version.series();
    let mut first = versions.iter().find(|entry| entry["cpu"] == cpu).cloned().unwrap_or_else(|| json!({"cpu": cpu}));
    (first["since"], first["before"]) = (since.to_string().into(), before.to_string().into());
    let others = versions.iter().filter(|entry| entry["since"] != first["since"] || entry["before"] != first["before"]);
    let others: Vec<Value> = others.cloned().collect();
    [vec![first], others].concat().into()
}

/// The text of the file at `path`, if it exists.
///
/// # Errors
/// It is not a table.
pub fn read(path: &Path, table: &ArchTable) -> Result<Option<String>, Failure> {
    match site::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::UnreadableTable { path: path.to_owned(), error }),
        Ok(text) => check(path, table, &text).map(|()| Some(text)),
    }
}

/// Checks that [`write`] will be able to write, and makes the directory.
///
/// # Errors
/// The file cannot be written.
pub fn writable(path: &Path) -> Result<(), Failure> {
    begin(path).map(drop)
}

fn check(path: &Path, table: &ArchTable, text: &str) -> Result<(), Failure> {
    let bad = |error| Failure::BadTable { path: path.to_owned(), error: Box::new(error) };
    table.clone().merge(text).map(|_| ()).map_err(bad)
}

/// The text of the table `old`, which is valid, with `fields` in the row `name` in place of its
/// models.
fn with_row(old: Option<&str>, name: &str, fields: Map<String, Value>) -> String {
    let parsed = old.and_then(|old| serde_json::from_str(old).ok());
    let mut value: Value = parsed.unwrap_or_else(|| json!({"version": 1, "architectures": []}));
    let rows = value.get_mut("architectures").and_then(Value::as_array_mut);
    if let Some(rows) = rows {
        let found = rows.iter_mut().filter_map(Value::as_object_mut).find(|row| row.get("name") == Some(&json!(name)));
        match found {
            Some(row) => {
                row.remove("cpu");
                row.extend(fields);
            }
            None => {
                let name = [("name".to_owned(), name.into())];
                rows.push(name.into_iter().chain(fields).collect::<Map<_, _>>().into());
            }
        }
    }
    format!("{value:#}\n")
}

/// Begins the new file for `path`, and makes its directory.
fn begin(path: &Path) -> Result<Replacement, Failure> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(|error| Failure::io(Doing::Write, path, error))?;
    Replacement::begin(path)
}

fn replace(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let file = begin(path)?;
    let failed = |error| Failure::io(Doing::Write, path, error);
    file.file().set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
    file.file().write_all(text).map_err(failed)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_the_file_stays() {
        let old = r#"{"version": 1, "architectures": [
            {"name": "arm", "sysroots": []}, {"name": "one", "cpu": "old", "options": ["-B", "0"]}]}"#;
        let fields = |cpu: &str| Map::from_iter([("versions".to_owned(), json!([{"cpu": cpu}]))]);
        let new: Value = serde_json::from_str(&with_row(Some(old), "one", fields("new"))).unwrap();
        assert_eq!(
            new,
            json!({"version": 1, "architectures": [
                {"name": "arm", "sysroots": []}, {"name": "one", "versions": [{"cpu": "new"}], "options": ["-B", "0"]}]})
        );
        let new: Value = serde_json::from_str(&with_row(None, "one", fields("new"))).unwrap();
        assert_eq!(new, json!({"version": 1, "architectures": [{"name": "one", "versions": [{"cpu": "new"}]}]}));
    }

    #[test]
    fn a_model_is_for_the_releases_that_were_measured() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        let version = |text: &str| text.parse::<Version>().unwrap();
        let mut table = ArchTable::builtin();
        let model = |table: &ArchTable, of: Option<&str>| {
            let version = of.map(version);
            table.find("aarch64").unwrap().tuned(version.as_ref()).cpu.map(str::to_owned)
        };
        let before = ["6.2", "7.2", "9.0", "11.0"].map(|of| model(&table, Some(of)));
        for (measured, cpu) in [("10.0.13", "cortex-a76"), ("10.0.2", "cortex-a72")] {
            write(&path, &table, "aarch64", Some(&version(measured)), cpu).unwrap();
            table = table.merge(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(model(&table, Some("10.0.20")).as_deref(), Some(cpu));
        }
        assert_eq!(["6.2", "7.2", "9.0", "11.0"].map(|of| model(&table, Some(of))), before);
        assert_eq!(model(&table, None), None, "without a version, the model of one is not taken");
        // Each series has one entry.
        assert_eq!(fs::read_to_string(&path).unwrap().matches("\"10.0\"").count(), 1);
    }

    #[test]
    fn a_file_that_is_no_table_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        for text in ["{", r#"{"version": 1, "architectures": [{"name": "no such row"}]}"#, "[]"] {
            fs::write(&path, text).unwrap();
            let failure = write(&path, &ArchTable::builtin(), "arm", None, "max").unwrap_err();
            assert!(matches!(failure, Failure::BadTable { .. }), "{failure}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
