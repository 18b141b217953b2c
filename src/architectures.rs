//! Which architectures a command is about.

use std::ffi::OsStr;

use dispatch_table::{ArchTable, Architecture};

use crate::failure::{Failure, show};

/// Stands for every architecture.
pub const ALL: &str = "all";

/// The architecture that `name` names.
///
/// # Errors
/// No architecture has that name.
pub fn find<'t>(table: &'t ArchTable, name: &str) -> Result<&'t Architecture, Failure> {
    table.find(name).ok_or_else(|| unknown(table, &[name]))
}

/// The architectures that `names` name, each once, in table order; [`None`] for all of them.
///
/// # Errors
/// No architecture has one of the names. The failure has all names that are unknown.
pub fn named<'t>(table: &'t ArchTable, names: &[String]) -> Result<Option<Vec<&'t Architecture>>, Failure> {
    match known(table, names)? {
        (_, Some(failure)) => Err(failure),
        (named, None) => Ok(named),
    }
}

/// The same, for a command that changes nothing: unknown names do not keep it from showing the
/// others. The failure is to be reported after that.
///
/// # Errors
/// No architecture has any of the names.
#[allow(clippy::type_complexity)]
pub fn known<'t>(
    table: &'t ArchTable,
    names: &[String],
) -> Result<(Option<Vec<&'t Architecture>>, Option<Failure>), Failure> {
    let mut all = names.is_empty();
    let (mut wanted, mut others) = (Vec::new(), Vec::new());
    for name in names {
        match table.find(name) {
            _ if name.eq_ignore_ascii_case(ALL) => all = true,
            Some(architecture) => wanted.push(&architecture.name),
            None => others.push(name.as_str()),
        }
    }
    let failure = (!others.is_empty()).then(|| unknown(table, &others));
    let in_order =
        || table.architectures().iter().filter(|architecture| wanted.contains(&&architecture.name)).collect();
    match failure {
        Some(failure) if wanted.is_empty() && !all => Err(failure),
        failure => Ok(((!all).then(in_order), failure)),
    }
}

fn unknown(table: &ArchTable, names: &[&str]) -> Failure {
    let owned = |name: &&str| (*name).to_owned();
    let names = names.iter().map(|name| (owned(name), table.similar(name).iter().map(owned).collect()));
    Failure::UnknownArchitectures(names.collect())
}

/// Who has disabled `architecture`, for a column of emulators; empty if nobody has.
pub fn disabled(architecture: &Architecture) -> String {
    let by = architecture.disabled.as_ref().map(|by| format!("disabled by {}", show(OsStr::new(by))));
    by.unwrap_or_default()
}

/// The architectures but that of `host`: those of an image for which none is named. A host that
/// runs programs of another architecture natively, such as arm on aarch64, has machines that
/// cannot.
pub fn others<'t>(table: &'t ArchTable, host: &Architecture) -> Vec<&'t Architecture> {
    table.architectures().iter().filter(|architecture| architecture.name != host.name).collect()
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
        let failure = names(&["all", "z80", "arm46"]).unwrap_err().to_string();
        assert_eq!(failure, "unknown architectures z80, arm46 (did you mean arm64?): see `binfmt-dispatch list`");
    }

    #[test]
    fn unknown_names_do_not_hide_the_others() {
        let table = ArchTable::builtin();
        let known = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(std::string::ToString::to_string).collect();
            let (found, failure) = known(&table, &names)?;
            let found = found.map(|found| found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>());
            Ok::<_, Failure>((found, failure.map(|failure| failure.to_string())))
        };
        let failure = "unknown architecture z80: see `binfmt-dispatch list`";
        assert_eq!(known(&["z80", "ARM64"]).unwrap(), (Some(vec!["aarch64"]), Some(failure.to_owned())));
        assert_eq!(known(&["z80", "all"]).unwrap(), (None, Some(failure.to_owned())));
        assert_eq!(known(&["arm"]).unwrap(), (Some(vec!["arm"]), None));
        assert_eq!(known(&["z80"]).unwrap_err().to_string(), failure);
    }
}
