//! Any bytes as a table in JSON: it is refused in one line, or the compiled table has the same
//! content.

use std::sync::OnceLock;

use dispatch_core::table::{Identity, Strategy};
use dispatch_core::{Rule, Table};
use dispatch_table::{ArchTable, Architecture, Asked, Assignment, Error, TableFault};

/// The emulator that is said to have been asked for its version.
const FILE: Identity = Identity { size: 1, inode: 2, seconds: 3, nanoseconds: 4 };

/// Returns whether it is a table, by itself or together with the built-in one.
pub fn run(bytes: &[u8]) -> bool {
    let Ok(json) = std::str::from_utf8(bytes) else { return false };
    let alone = ArchTable::parse(json);
    // Input that is not JSON is refused together with the built-in table, too.
    if matches!(alone, Err(Error { fault: TableFault::NoJson(_), .. })) {
        return check(alone);
    }
    static BUILTIN: OnceLock<ArchTable> = OnceLock::new();
    let merged = BUILTIN.get_or_init(ArchTable::builtin).clone().merge(json);
    check(alone) | check(merged)
}

fn check(table: Result<ArchTable, Error>) -> bool {
    let table = match table {
        Ok(table) => table,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
            return false;
        }
    };
    assert_eq!(ArchTable::parse(&table.json()).as_ref(), Ok(&table));
    let given = |architecture: &'_ Architecture| {
        let asked = Asked { file: FILE, path: "/emulator".into(), version: "7.2".into() };
        Assignment {
            version: "7.2".parse().ok(),
            asked: architecture.is_tuned().then_some(asked),
            ..Assignment::default()
        }
    };
    let rows = table.architectures().iter().flat_map(Architecture::variants);
    let asked: Vec<(String, Assignment)> = rows.map(|row| (row.title(), given(row))).collect();
    let compiled = table.compile_with(&asked);
    let read = Table::read(&compiled).expect("it has just been written");
    assert_eq!(read.rows().count(), table.architectures().len());
    let mut rules: Vec<Rule> = Vec::new();
    for (row, architecture) in read.rows().zip(table.architectures()) {
        let row = row.expect("it has just been written");
        assert_eq!(row.name().to_str(), Ok(architecture.name.as_str()));
        assert_eq!((row.class(), row.data(), row.argv0()), (architecture.class, architecture.data, architecture.argv0));
        let strategy = architecture.disabled.as_ref().map_or(architecture.strategy, |_| Strategy::Disabled);
        assert_eq!((row.osabi(), row.strategy()), (&architecture.osabi[..], strategy));
        assert!(row.machines().map(|machine| machine.0).eq(architecture.machine.iter().map(|machine| machine.number)));
        let texts = |list: dispatch_core::bytes::Strings<'_>| {
            list.iter().map(|text| text.to_str().expect("JSON is UTF-8").to_owned()).collect::<Vec<_>>()
        };
        let tuned = architecture.tuned(None);
        assert!(texts(row.options()).iter().eq(tuned.options.iter().chain(&architecture.options)));
        let models: Vec<&str> = tuned.cpu.into_iter().chain(tuned.larger_cpu).collect();
        assert_eq!((texts(row.cpus()), row.lacks()), (models.into_iter().map(str::to_owned).collect(), tuned.lacks));
        if architecture.is_tuned() {
            let (mut fitted, tuned) = (row, architecture.tuned("7.2".parse().ok().as_ref()));
            assert_eq!(read.fit(&mut fitted, FILE), Ok(()));
            assert!(texts(fitted.options()).iter().eq(tuned.options.iter().chain(&architecture.options)));
            assert!(texts(fitted.cpus()).iter().eq(tuned.cpu.into_iter().chain(tuned.larger_cpu)));
            assert_eq!(fitted.lacks(), tuned.lacks);
        }
        assert_eq!(texts(row.sysroots()), architecture.library_places());
        match &architecture.disabled {
            Some(by) => assert_eq!(texts(row.paths()), [by.as_str()]),
            None => assert!(texts(row.paths()).iter().map(String::as_str).eq(architecture.emulator_paths())),
        }
        let settings = architecture.environment.iter().map(|(name, value)| format!("{name}={value}"));
        assert!(texts(row.environment()).into_iter().eq(settings));
        assert!(table.find(&architecture.name).is_some_and(|found| found.name == architecture.name));
        architecture.probe_elf();
        let below: Vec<_> = read.below(&row).map(|below| below.expect("it has just been written")).collect();
        let expected = architecture.below.iter().filter(|_| architecture.disabled.is_none());
        assert!(
            below.iter().map(|(directory, _)| directory.to_vec()).eq(expected.map(|below| below.prefix().into_bytes()))
        );
        for (directory, below) in below {
            let mut fitted = row;
            assert_eq!(read.fit_to_path(&mut fitted, directory, true), Ok(()));
            assert_eq!(fitted, row, "rule 1: no emulator is embedded");
            assert_eq!(read.fit_to_path(&mut fitted, directory, false), Ok(()));
            assert!(directory != b"/" || fitted != row);
            assert_eq!((below.name(), below.osabi()), (row.name(), row.osabi()));
        }
        let own: Vec<Rule> = Rule::of_row(&row).map(|rule| rule.rule).collect();
        assert!(!own.is_empty());
        assert!(!rules.iter().any(|rule| own.iter().any(|other| other.overlaps(rule))), "{}", architecture.name);
        rules.extend(own);
    }
    true
}
