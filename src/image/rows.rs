//! The rows of a compiled table, by their titles.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use dispatch_core::table::{Row, Table};
use dispatch_table::title;

/// The rows of `table`, those for directories behind their architectures', each with its
/// [`dispatch_table::Architecture::title`].
pub fn titled<'t>(table: &Table<'t>) -> impl Iterator<Item = (String, Row<'t>)> + use<'t> {
    let table = *table;
    table.rows().filter_map(Result::ok).flat_map(move |row| {
        let name = row.name().to_string_lossy().into_owned();
        let below: Vec<_> = table
            .below(&row)
            .filter_map(Result::ok)
            .map(|(directory, row)| (title(&name, Some(&OsStr::from_bytes(directory).to_string_lossy())), row))
            .collect();
        std::iter::once((name, row)).chain(below)
    })
}

/// The title of `row`, which `table` has.
pub fn title_of(table: &Table<'_>, row: &Row<'_>) -> Option<String> {
    titled(table).find(|(_, other)| other.is(row)).map(|(title, _)| title)
}
