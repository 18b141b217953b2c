//! What a file of the site's changes in the compiled table.

use dispatch_core::Table;
use dispatch_core::table::Strategy;

use super::{GOOD, refused_key};
use crate::ArchTable;

/// The compiled row "one" of [`GOOD`], changed by a row in a file: its strategy, paths and sysroots.
#[track_caller]
fn one_with(fields: &str, file: Option<&str>) -> (Strategy, Vec<String>, Vec<String>) {
    let json = format!(r#"{{"version": 1, "architectures": [{{"name": "one", {fields}}}]}}"#);
    let table = ArchTable::parse(GOOD).unwrap().merge_file(&json, file).unwrap();
    // An image keeps its table as JSON.
    assert_eq!(ArchTable::parse(&table.json()).unwrap(), table);
    let compiled = table.compile();
    let row = Table::read(&compiled).unwrap().rows().next().unwrap().unwrap();
    let [paths, sysroots] =
        [row.paths, row.sysroots].map(|list| list.iter().map(|string| string.to_str().unwrap().to_owned()).collect());
    (row.strategy, paths, sysroots)
}

#[test]
fn a_disabled_row_says_by_whom() {
    let file = Some("/etc/off.json");
    let strategy_and_path = |fields: &str, file| {
        let (strategy, paths, _) = one_with(fields, file);
        (strategy, paths[0].clone())
    };
    let off = |by: &str| (Strategy::Disabled, by.to_owned());
    assert_eq!(strategy_and_path(r#""disabled": true"#, file), off("/etc/off.json"));
    assert_eq!(strategy_and_path(r#""disabled": true"#, None), off("the table"));
    assert_eq!(strategy_and_path(r#""disabled": "ops@example.org""#, file), off("ops@example.org"));
    for enabled in [r#""disabled": false"#, r#""notes": "a""#] {
        assert_eq!(strategy_and_path(enabled, file), (Strategy::Exec, "/bin/emu".to_owned()));
    }
    // The last file decides.
    let row = |value: &str| format!(r#"{{"version": 1, "architectures": [{{"name": "one", "disabled": {value}}}]}}"#);
    let table = ArchTable::parse(GOOD).unwrap().merge_file(&row("true"), file).unwrap();
    let by = |table: &ArchTable| table.find("one").unwrap().disabled.clone();
    assert_eq!(by(&table), Some("/etc/off.json".to_owned()));
    let again = table.clone().merge_file(&row("true"), Some("/etc/z.json")).unwrap();
    assert_eq!(by(&again), Some("/etc/z.json".to_owned()));
    assert_eq!(by(&table.merge_file(&row("false"), Some("/etc/z.json")).unwrap()), None);
    let (one, two) = ("\"notes\": \"\"},", "\"notes\": \"\", ");
    assert_eq!(
        refused_key(one, &format!("{two}\"disabled\": 1}},")),
        "architectures[0].disabled: 1 is not allowed here: use true, false, or who has disabled it, in quotes"
    );
    assert_eq!(
        refused_key(one, &format!("{two}\"disabled\": \"\"}},")),
        "architectures[0].disabled: disabled is empty"
    );
}

#[test]
fn where_qemu_looks_for_libraries_is_known() {
    let places = |fields: &str| one_with(fields, None).2;
    let own = ["/etc/qemu-binfmt/one", "/usr/qemu-one", "/usr/gnemul/qemu-one"];
    assert_eq!(places(r#""notes": "a""#), [&["/one"], &own[..]].concat());
    assert_eq!(places(r#""sysroots": []"#), own);
    // Another emulator, and rows that say themselves where.
    assert_eq!(places(r#""argv0": "none""#), ["/one"]);
    assert_eq!(places(r#""options": ["-L", "/other"]"#), [""; 0]);
    assert_eq!(places(r#""versions": [{"options": ["--L", "/other"]}]"#), [""; 0]);
    assert_eq!(places(r#""environment": {"QEMU_LD_PREFIX": "/other"}"#), [""; 0]);
}
