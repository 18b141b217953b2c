//! The architecture table: read from JSON, checked, and compiled into the form that the interpreter
//! reads.
//!
//! ```text
//! arch-table.json -> Architecture (json) -> checked (check) -> ArchTable
//!     -> bytes (compile) -> dispatch_core::Table
//! ```
//!
//! An [`ArchTable`] has passed every check, so compiling it and deriving the kernel's rules cannot
//! fail. docs/arch-table.md describes the fields.
#![forbid(unsafe_code)]

mod architecture;
mod check;
mod compile;
mod entries;
mod error;
mod fields;
mod json;
mod keys;
mod names;
mod place;
mod probe;
#[cfg(test)]
mod tests;
mod tuning;

use serde_json::{Map, Value, json};

use check::Faulty;
use place::Path;

pub use architecture::{Architecture, Below, Flags, MachineNumber, Probe, title};
pub use compile::{Asked, Assignment};
pub use entries::EntryRule;
pub use error::{Error, TableFault};
pub use json::VERSION;
pub use tuning::{CpuChoice, Property, Tuning, Version};

/// The built-in table: arch-table.json.
pub const BUILTIN: &str = include_str!("../../../arch-table.json");

/// Architectures, no two of which accept the same ELF header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchTable {
    /// In the order of the JSON.
    architectures: Vec<Architecture>,
    /// The same architectures as JSON.
    rows: Vec<Map<String, Value>>,
}

impl ArchTable {
    /// Reads and checks a table.
    ///
    /// # Errors
    /// The first fault: first of the JSON, then of each architecture by itself, then of all
    /// together.
    pub fn parse(json: &str) -> Result<Self, Error> {
        ArchTable { architectures: Vec::new(), rows: Vec::new() }.merge(json)
    }

    /// The built-in table.
    ///
    /// # Panics
    /// Never in a finished program: the build refuses an arch-table.json that [`ArchTable::parse`]
    /// refuses.
    pub fn builtin() -> Self {
        match Self::parse(BUILTIN) {
            Ok(table) => table,
            Err(error) => panic!("{}", error.in_file("arch-table.json")),
        }
    }

    /// This table, merged with the rows of another one in JSON. A row whose name exists changes the
    /// fields that it has; any other row is added, and must be complete.
    ///
    /// # Errors
    /// As [`ArchTable::parse`], for the other table or for both together.
    pub fn merge(self, json: &str) -> Result<Self, Error> {
        self.merge_file(json, None)
    }

    /// The same for a table in `file`. Messages name the file if a row is `"disabled": true`.
    ///
    /// # Errors
    /// As [`ArchTable::merge`].
    pub fn merge_file(mut self, json: &str, file: Option<&str>) -> Result<Self, Error> {
        let mut others = json::rows(json)?;
        if let Some(file) = file {
            let disabled = others.iter_mut().filter_map(|row| row.get_mut("disabled"));
            disabled.filter(|value| **value == json!(true)).for_each(|value| *value = json!(file));
        }
        let names: Vec<String> = others.iter().map(|row| json::name(row).to_owned()).collect();
        check::distinct_names(names.iter().map(String::as_str))
            .map_err(|Faulty { row, fault }| Error::at(json, Path::row(row).key("name"), fault))?;
        for other in others {
            match self.rows.iter_mut().find(|row| json::name(row) == json::name(&other)) {
                Some(row) => row.extend(other),
                None => self.rows.push(other),
            }
        }
        let read = |row: &Map<String, Value>| {
            let index = names.iter().position(|name| name == json::name(row));
            json::architecture(row, json, index.map_or(Path::default(), Path::row)).map(Architecture::complete)
        };
        self.architectures = self.rows.iter().map(read).collect::<Result<_, _>>()?;
        check::all(&self.architectures).map_err(|faulty| self.error(faulty, json, &names))?;
        Ok(self)
    }

    /// A fault found after merging with `json`, whose rows have these `names`.
    fn error(&self, Faulty { row, fault }: Faulty, json: &str, names: &[String]) -> Error {
        let row = &self.rows[row];
        let place = |wanted: &str| names.iter().position(|name| name == wanted).map(Path::row);
        let Some(mut path) = place(json::name(row)) else {
            // A row of this table that conflicts with the other row.
            let other = fault.other().and_then(place);
            let place = other.map(|path| place::find(json, &path, false));
            return Error { place, key: format!("architecture {}", json::name(row)), fault };
        };
        let (steps, element) = fault.place();
        let mut value = Some(Value::Object(row.clone()));
        for step in steps {
            path = path.key(step);
            value = value.and_then(|value| value.get(step).cloned());
        }
        let elements = value.as_ref().and_then(Value::as_array);
        // The last of several: the second one is the one too many.
        // Of objects, those in `below`, the directory tells which.
        let is_meant = |found: &Value| found.as_str().or(found["directory"].as_str()) == element;
        let index = elements.and_then(|elements| elements.iter().rposition(is_meant));
        match (index, &fault) {
            (Some(index), _) if element.is_some() => path = path.element(index),
            (_, TableFault::Taken { .. }) => {
                path.0.pop();
                path = path.key("name");
            }
            _ => {}
        }
        Error::at(json, path, fault)
    }

    /// The architectures, in the order of the JSON.
    pub fn architectures(&self) -> &[Architecture] {
        &self.architectures
    }

    /// The table as JSON, which [`ArchTable::parse`] reads.
    pub fn json(&self) -> String {
        json!({ "version": VERSION, "architectures": self.rows }).to_string()
    }

    /// The fields of the row `name`, as JSON has them.
    pub fn fields(&self, name: &str) -> Option<&Map<String, Value>> {
        self.rows.iter().find(|row| json::name(row) == name)
    }

    /// The architecture that a person or a tool means by `name`: a name or an alias of the table, or
    /// a form of one that tools use, such as a platform of containers (`linux/arm/v7`) or a GNU
    /// triplet. Upper and lower case are the same, and so are `-`, `_` and `/`.
    pub fn find(&self, name: &str) -> Option<&Architecture> {
        names::find(&self.architectures, name)
    }

    /// The row with this [`Architecture::title`].
    pub fn titled(&self, title: &str) -> Option<&Architecture> {
        self.architectures.iter().flat_map(Architecture::variants).find(|row| row.title() == title)
    }

    /// Names and aliases that are similar to `name`, the most similar first, at most one of each
    /// architecture.
    pub fn similar(&self, name: &str) -> Vec<&str> {
        names::similar(&self.architectures, name)
    }

    /// The table as [`dispatch_core::Table`] reads it.
    pub fn compile(&self) -> Vec<u8> {
        self.compile_with(&[] as &[(&str, Assignment)])
    }

    /// The table for an image: titles of rows ([`Architecture::title`]), each with its emulator.
    pub fn compile_with(&self, emulators: &[(impl AsRef<str>, Assignment)]) -> Vec<u8> {
        let given = |row: &Architecture| {
            let found = emulators.iter().find(|(title, _)| title.as_ref() == row.title());
            found.map(|(_, given)| given.clone()).unwrap_or_default()
        };
        compile::compile(&self.architectures, given)
    }
}
