//! Which architectures a command is about.

use dispatch_table::{ArchTable, Architecture};

use crate::failure::Failure;
use crate::platform::host;

/// Stands for every architecture.
pub const ALL: &str = "all";

/// The architectures that `names` name, each once, in table order; [`None`] for all of them.
///
/// # Errors
/// No architecture has that name.
pub fn named<'t>(table: &'t ArchTable, names: &[String]) -> Result<Option<Vec<&'t Architecture>>, Failure> {
    let mut all = names.is_empty();
    let mut wanted = Vec::new();
    for name in names {
        match table.find(name) {
            _ if name == ALL => all = true,
            Some(architecture) => wanted.push(&architecture.name),
            None => return Err(Failure::UnknownArchitecture(name.clone())),
        }
    }
    let in_order =
        || table.architectures().iter().filter(|architecture| wanted.contains(&&architecture.name)).collect();
    Ok((!all).then(in_order))
}

/// The architectures that are foreign to this host: those of an image for which none is named.
pub fn foreign(table: &ArchTable) -> Vec<&Architecture> {
    table.architectures().iter().filter(|architecture| !host::may_be_native(architecture)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Result<Option<Vec<String>>, Failure> {
        let table = ArchTable::builtin();
        let names: Vec<String> = names.iter().map(std::string::ToString::to_string).collect();
        let found = named(&table, &names)?;
        Ok(found.map(|found| found.iter().map(|architecture| architecture.name.clone()).collect()))
    }

    #[test]
    fn architectures_are_named_once_and_ordered() {
        assert_eq!(names(&[]).unwrap(), None);
        assert_eq!(names(&["arm", "all"]).unwrap(), None);
        assert_eq!(names(&["armhf", "arm64", "arm"]).unwrap(), Some(vec!["aarch64".into(), "arm".into()]));
        assert!(matches!(names(&["all", "z80"]), Err(Failure::UnknownArchitecture(name)) if name == "z80"));
    }
}
