//! The status where the registry cannot be seen, as in a container without privileges: test
//! programs tell which architectures run, and their interpreters which image it is.

use dispatch_table::{ArchTable, Architecture};

use super::files::Files;
use super::image_on_disk::Image;
use super::remedy::Paths;
use super::{Row, Status, Tried};
use crate::failure::Failure;
use crate::output::json::Bytes;
use crate::platform::probe;
use crate::registry::ownership::RegisteredRow;
use crate::registry::question::{self, Said};

impl Status {
    /// Tries the `named` architectures, or those that the image of this command embeds.
    pub(super) fn unseen(
        directory: Bytes,
        (table, named): (&ArchTable, Option<&[&Architecture]>),
        paths: Paths,
    ) -> Result<Self, Failure> {
        let image = Image::read(&paths.asked, table)?;
        let embedded = |row: &Architecture| image.as_ref().is_some_and(|image| image.embedded.contains(&row.name));
        let wanted = |row: &Architecture| match named {
            Some(named) => named.iter().any(|one| one.name == row.name),
            None => embedded(row),
        };
        let rows: Vec<&Architecture> = table.architectures().iter().filter(|row| wanted(row)).collect();
        let programs: Vec<Vec<u8>> = rows.iter().map(|row| row.probe_elf()).collect();
        let mut files = Files::default();
        let entry = |(row, outcome): (&&Architecture, _)| {
            let said = question::ask_any(row);
            let ours = matches!(said, Some(Said::Ours(_)));
            let identity = if let Some(Said::Ours(identity)) = said { identity } else { None };
            let described = row.rules().into_iter().next()?;
            let known = RegisteredRow { architecture: row, described, registered: None, ours, identity };
            let shown = Row::new(&known, &mut files).with(Tried { shadowed_by: None, outcome: Some(outcome) });
            // An interpreter that answers has an entry, which is turned on.
            Some(Row { registered: ours, enabled: ours, embedded: embedded(row), ..shown })
        };
        let entries = rows.iter().zip(probe::run_all(&programs)).filter_map(entry).collect();
        Ok(Status { enabled: true, entries, is_part: named.is_some(), image, ..Status::empty(directory, paths) })
    }
}
