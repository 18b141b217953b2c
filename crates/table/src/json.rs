//! Converts JSON text to [`Architecture`]s.
//!
//! Afterwards every field has a value of its type; `check` decides whether the values make sense.

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::architecture::Architecture;
use crate::error::{Error, TableFault};
use crate::keys;
use crate::place::{self, Path, Step};

/// The only version of the JSON's layout.
pub const VERSION: u32 = 1;
/// Longest value that a message repeats, in characters.
const LONGEST_SHOWN: usize = 60;

/// The rows in `json`. Fields may be missing, except the name.
pub fn rows(json: &str) -> Result<Vec<Map<String, Value>>, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        version: u32,
        architectures: Vec<Map<String, Value>>,
    }
    // First accept any valid JSON; its structure is checked next.
    let whole: Value = serde_json::from_str(json).map_err(|error| no_json(&error))?;
    if let Some(path) = place::repeated(json) {
        return Err(Error::at(json, path, TableFault::Repeated));
    }
    let read = serde_path_to_error::deserialize(&whole);
    let file: File = read.map_err(|error| misfit(json, Path::default(), &whole, &error))?;
    if file.version != VERSION {
        let path = Path::default().key("version");
        return Err(Error::at(json, path.clone(), wrong(&path, &whole["version"])));
    }
    for (index, row) in file.architectures.iter().enumerate() {
        let path = Path::row(index).key("name");
        match row.get("name") {
            Some(Value::String(_)) => {}
            Some(other) => return Err(Error::at(json, path.clone(), wrong(&path, other))),
            None => return Err(Error::at(json, Path::row(index), missing(&Path::row(index), "name"))),
        }
    }
    Ok(file.architectures)
}

/// The name of a row; empty if it has none.
pub fn name(row: &Map<String, Value>) -> &str {
    row.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The architecture of a complete row. `json` has all or part of it at `path`.
pub fn architecture(row: &Map<String, Value>, json: &str, path: Path) -> Result<Architecture, Error> {
    let value = Value::Object(row.clone());
    serde_path_to_error::deserialize(&value).map_err(|error| misfit(json, path, &value, &error))
}

/// Text that is not JSON.
fn no_json(error: &serde_json::Error) -> Error {
    let (line, column) = (error.line().max(1), error.column().max(1));
    let text = error.to_string();
    // serde_json puts the place at the end of its message; here it stands in front, as compilers
    // print it.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem = text.strip_suffix(&place).unwrap_or(&text);
    let problem = match error.classify() {
        Category::Eof => "it ends too early, perhaps for a bracket or a quote that is not closed".to_owned(),
        _ => printable(problem),
    };
    Error { place: Some((line, column)), key: String::new(), fault: TableFault::NoJson(problem) }
}

/// Valid JSON that is no table: `value`, at `path` in `json`, does not fit.
fn misfit(json: &str, path: Path, value: &Value, error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let message = error.inner().to_string();
    let field = |what: &str| message.strip_prefix(what)?.split('`').nth(1).map(str::to_owned);
    let mut found = Path::default().join(error.path());
    if let Some(key) = field("unknown field ") {
        // The path may lead to the key, or only to the object that contains it.
        if found.0.last() != Some(&Step::Key(key.clone())) {
            found = found.key(&key);
        }
        let path = Path([path.0, found.0].concat());
        let object = Path(path.0[..path.0.len() - 1].to_vec());
        let allowed = keys::keys(&object);
        let fault = TableFault::Unknown { nearest: keys::nearest(&key, &allowed), allowed: allowed.join(", ") };
        return Error::at_key(json, path, fault);
    }
    let value = found.0.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Element(index) => value.get(index),
    });
    let path = Path([path.0, found.0].concat());
    let fault = match field("missing field ") {
        Some(key) => missing(&path, &key),
        None => wrong(&path, value.unwrap_or(&Value::Null)),
    };
    Error::at(json, path, fault)
}

fn missing(object: &Path, key: &str) -> TableFault {
    TableFault::Missing { key: key.to_owned(), allowed: keys::allowed(&object.clone().key(key)) }
}

/// `value` is not what is allowed at `path`.
fn wrong(path: &Path, value: &Value) -> TableFault {
    let text = printable(&value.to_string());
    let shown = match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    };
    TableFault::Value { value: shown, allowed: keys::allowed(path) }
}

/// Quotes a value unchanged, in one line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
