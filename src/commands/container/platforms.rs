//! Platforms as tools for containers name them.

use dispatch_table::{ArchTable, Architecture};

use super::level;
use crate::architectures;
use crate::failure::Failure;
use crate::platform::{host, probe};

/// The platforms that `BuildKit` looks for, in its order. The table knows the names.
const PLATFORMS: [&str; 12] = [
    "linux/amd64",
    "linux/arm64",
    "linux/riscv64",
    "linux/ppc64",
    "linux/ppc64le",
    "linux/s390x",
    "linux/386",
    "linux/mips64le",
    "linux/mips64",
    "linux/loong64",
    "linux/arm/v7",
    "linux/arm/v6",
];

/// The platform whose CPUs have levels, and the platforms of the levels from 2 on, which follow it.
const LEVELLED: &str = "linux/amd64";
const LEVELS: [&str; 3] = ["linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"];

/// The parts of a list with commas.
pub(super) fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The architectures in the list that `option` was given; `None` for all.
///
/// # Errors
/// The list is empty, or a name is unknown.
pub(super) fn named<'t>(
    table: &'t ArchTable,
    option: &str,
    list: &str,
) -> Result<Option<Vec<&'t Architecture>>, Failure> {
    let names: Vec<String> = parts(list).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(nothing(option));
    }
    architectures::named(table, &names)
}

/// The failure of an option whose list is empty.
pub(super) fn nothing(option: &str) -> Failure {
    Failure::Usage(format!("{option} names no platform: name some, as in `{option} arm64,riscv64`, or `all`"))
}

/// The platforms whose programs run, that of this machine first. Programs show it, as to `BuildKit`.
pub(super) fn supported(table: &ArchTable) -> Vec<&'static str> {
    let row = |platform: &str| table.find(platform);
    let is_own = |platform: &&str| row(platform).is_some_and(|row| row.name == host::row().name);
    let (own, others): (Vec<&'static str>, Vec<&'static str>) = PLATFORMS.into_iter().partition(is_own);
    let known: Vec<(&'static str, Vec<u8>)> =
        others.into_iter().filter_map(|platform| Some((platform, row(platform)?.probe_elf()))).collect();
    let programs: Vec<Vec<u8>> = known.iter().map(|(_, program)| program.clone()).collect();
    let run = known.into_iter().zip(probe::run_all(&programs)).filter(|(_, outcome)| outcome.is_ok());
    let supported = own.into_iter().chain(run.map(|((platform, _), _)| platform));
    let with_levels = |platform: &'static str| {
        let levels: &[&str] = if platform == LEVELLED { levels(row(platform)) } else { &[] };
        std::iter::once(platform).chain(levels.iter().copied())
    };
    supported.flat_map(with_levels).collect()
}

/// The platforms of the levels that the CPU of the programs of `row` has, which may be emulated. A
/// program asks it.
fn levels(row: Option<&Architecture>) -> &'static [&'static str] {
    let end = row.and_then(|row| probe::end(&row.program(&level::CODE)).ok());
    let level = end.and_then(|(status, _)| status.code()?.checked_sub(level::FIRST));
    let above = level.and_then(|level| usize::try_from(level).ok());
    above.and_then(|above| LEVELS.get(..above)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_every_platform() {
        let table = ArchTable::builtin();
        for platform in PLATFORMS.into_iter().chain(LEVELS) {
            assert!(table.find(platform).is_some(), "{platform}");
        }
        assert!(PLATFORMS.contains(&LEVELLED));
        let row = |platform: &str| table.find(platform).map(|row| &row.name);
        assert!(LEVELS.iter().all(|level| row(level) == row(LEVELLED)));
    }

    #[test]
    fn the_machines_own_platform_is_first() {
        let table = ArchTable::builtin();
        let supported = supported(&table);
        assert_eq!(table.find(supported[0]).unwrap().name, host::row().name);
    }

    #[test]
    fn lists_have_commas_and_perhaps_spaces() {
        let table = ArchTable::builtin();
        let names = |list: &str| {
            let found = named(&table, "--install", list).map_err(|failure| failure.to_string())?;
            Ok::<_, String>(found.map(|found| found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>()))
        };
        assert_eq!(names("linux/arm64, linux/arm/v7,").unwrap(), Some(vec!["aarch64", "arm"]));
        assert_eq!(names("all").unwrap(), None);
        assert!(names(" ,").unwrap_err().starts_with("--install names no platform: "));
    }
}
