//! `list`.

use serde_json::json;

use crate::support::Scratch;
use crate::table::aarch64;

#[test]
fn names_and_aliases() {
    let scratch = Scratch::new();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"notes": "a note"}));
    let names = |arguments: &[&str]| {
        let run = scratch.tool([&["list", &option, &table], arguments].concat());
        let rows: Vec<String> = run.succeeded().out().lines().skip(1).map(str::to_owned).collect();
        rows
    };
    let aarch64 = "aarch64  64-bit little-endian  /bin/cat  arm64 arm64/v8";
    assert_eq!(names(&["arm64"]), [aarch64]);
    assert_eq!(names(&["linux/arm64", "aarch64"]), [aarch64]);
    assert_eq!(names(&[]).len(), dispatch_table::ArchTable::builtin().architectures().len());
}

#[test]
fn this_machine_needs_no_emulator() {
    let run = Scratch::new().tool(["list", std::env::consts::ARCH]);
    assert!(run.succeeded().out().contains("not needed: this machine"), "{run}");
}

#[test]
fn json_has_this_form() {
    let scratch = Scratch::new();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({"notes": "a note"}));
    let run = scratch.tool(["list", "--json", "arm64", &option, &table]);
    let expected = json!([{
        "name": "aarch64", "aliases": ["arm64", "arm64/v8"], "class": "64-bit", "data": "little-endian",
        "machines": [183], "entries": ["qemu-aarch64"], "emulator": "/bin/cat", "embedded": false, "may_be_native": false,
        "disabled_by": null,
        "notes": "a note",
    }]);
    assert!(run.succeeded().json() == expected, "expected:\n{expected:#}\n{run}");
}

#[test]
fn columns_are_aligned() {
    let run = Scratch::new().tool(["list"]);
    let out = run.succeeded().out();
    let at = out.find("KIND").unwrap();
    for line in out.lines() {
        assert!(line[..at].ends_with("  ") && !line[at..].starts_with(' '), "{line:?}\n{run}");
    }
}
