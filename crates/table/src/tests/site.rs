//! What a file of the site's changes in the compiled table.

use dispatch_core::Table;
use dispatch_core::table::Strategy;

use super::{GOOD, refused_key};
use crate::{ArchTable, Architecture, Assignment};

/// The compiled row "one" of [`GOOD`], changed by a row in a file: its strategy, paths and sysroots.
#[track_caller]
fn one_with(fields: &str, file: Option<&str>) -> (Strategy, Vec<String>, Vec<String>) {
    let json = format!(r#"{{"version": 1, "architectures": [{{"name": "one", {fields}}}]}}"#);
    let table = ArchTable::parse(GOOD).unwrap().merge_file(&json, file).unwrap();
    // An image keeps its table as JSON.
    assert_eq!(ArchTable::parse(&table.json()).unwrap(), table);
    let compiled = table.compile();
    let row = Table::read(&compiled).unwrap().rows().next().unwrap().unwrap();
    let [paths, sysroots] = [row.paths(), row.sysroots()]
        .map(|list| list.iter().map(|string| string.to_str().unwrap().to_owned()).collect());
    (row.strategy(), paths, sysroots)
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

#[test]
fn a_directory_has_a_row_of_its_own() {
    let json = |below: &str| format!(r#"{{"version": 1, "architectures": [{{"name": "one", "below": {below}}}]}}"#);
    let merged = |below: &str| ArchTable::parse(GOOD).unwrap().merge(&json(below)).map_err(|error| error.to_string());
    let table = merged(
        r#"[{"directory": "/a/", "emulators": ["/x", "/y"]}, {"directory": "/a/b", "options": ["-o"]},
            {"directory": "/", "cpu": "small"}]"#,
    )
    .unwrap();
    assert_eq!(ArchTable::parse(&table.json()).unwrap(), table);
    let titles: Vec<String> = table.find("one").unwrap().variants().map(Architecture::title).collect();
    assert_eq!(titles, ["one", "one below /a", "one below /a/b", "one below /"]);
    assert!(titles.iter().all(|title| table.titled(title).unwrap().title() == *title));
    assert_eq!(table.titled("one below /b"), None);

    let given = |program| Assignment { program, ..Assignment::default() };
    let compiled = table.compile_with(&[("one", given(3)), ("one below /a/b", given(4))]);
    let read = Table::read(&compiled).unwrap();
    assert_eq!(read.rows().count(), table.architectures().len());
    let row = read.rows().next().unwrap().unwrap();
    let directories: Vec<&[u8]> = read.below(&row).map(|below| below.unwrap().0).collect();
    assert_eq!(directories, [&b"/a/"[..], b"/a/b/", b"/"]);
    let own: Vec<_> = row.paths().iter().collect();
    for (path, secure, paths, options, model, program) in [
        ("/a/b/c", false, vec![c"/x", c"/y"], 2, None, 0),
        ("/a", false, own.clone(), 2, Some(c"small"), 0),
        ("/ab", false, own.clone(), 2, Some(c"small"), 0),
        ("memfd:a", false, own.clone(), 2, None, 3),
        // Only rows whose emulator is embedded apply to privileged programs.
        ("/a/c", true, own.clone(), 2, None, 3),
        ("/a/b/c", true, own, 1, None, 4),
    ] {
        let mut fitted = row;
        read.fit_to_path(&mut fitted, path.as_bytes(), secure).unwrap();
        assert_eq!(fitted.paths().iter().collect::<Vec<_>>(), paths, "{path}");
        let found = (fitted.options().iter().count(), fitted.cpus().iter().next(), fitted.program());
        assert_eq!(found, (options, model, program), "{path}, secure: {secure}");
    }

    let no_path = |directory: &str| format!("directory {directory:?} is not an absolute path without . and ..");
    for (below, fault) in [
        (r#"[{"directory": "a", "cpu": "m"}]"#, no_path("a")),
        (r#"[{"directory": "/a/../b", "cpu": "m"}]"#, no_path("/a/../b")),
        (r#"[{"directory": "/a//b", "cpu": "m"}]"#, no_path("/a//b")),
        (r#"[{"directory": "/a"}]"#, "below /a: there is nothing to change: add emulators, options or cpu".to_owned()),
        (
            r#"[{"directory": "/a", "emulators": ["x"]}]"#,
            r#"below /a: emulator "x" is not an absolute path"#.to_owned(),
        ),
        (r#"[{"directory": "/a", "emulators": []}]"#, "below /a: emulators is empty".to_owned()),
        (r#"[{"directory": "/a", "cpu": ""}]"#, "below /a: cpu is empty".to_owned()),
    ] {
        assert_eq!(merged(below).unwrap_err(), format!("1:60: architectures[0].below[0]: {fault}"), "{below}");
    }
    assert_eq!(
        merged(r#"[{"directory": "/a", "cpu": "m"}, {"directory": "/a/", "cpu": "n"}]"#).unwrap_err(),
        r#"1:59: architectures[0].below: below has "/a/" twice"#
    );
    assert_eq!(
        merged(r#"[{"directory": "/a", "sysroots": []}]"#).unwrap_err(),
        "1:80: architectures[0].below[0].sysroots: no such key: use one of directory, emulators, options, cpu"
    );
    assert_eq!(
        merged(r#"[{"cpu": "m"}]"#).unwrap_err(),
        "1:60: architectures[0].below[0]: the key directory is missing: add it, with an absolute path, in quotes"
    );
}
