//! An architecture that the table disables: its entry is registered, and refuses its programs.

use serde_json::json;

use crate::alpha::Alpha;
use crate::support::{Row, need};

/// Alpha, disabled by the file `table`.
fn alpha() -> Alpha {
    let alpha = Alpha::new();
    let row = Row::new("alpha", "/bin/false").with("disabled", json!(true));
    alpha.scratch.write("table", row.table());
    alpha.scratch.tool(["image", "--table", "table", "--no-emulators", "-o", "image"]).printed("");
    alpha.scratch.probe("guest", "alpha");
    alpha
}

#[test]
fn it_is_registered_and_called_disabled() {
    need!(Namespace);
    let alpha = alpha();
    let by = format!("disabled by {}", alpha.scratch.at("table"));
    let said = format!("alpha is {by}");
    alpha.expect(
        "register alpha; register alpha | tail -n 1; ./guest 2>&1; echo $?; tool status --image image",
        &[
            "ARCHITECTURE  RESULT",
            &format!("alpha         disabled  {by}"),
            "code 0",
            "code 0",
            &format!(
                "{said}: enable it there, then run binfmt-dispatch install; more: binfmt-dispatch --explain ./guest"
            ),
            "126",
            "1 is disabled: alpha.",
            "",
            "ENTRY       STATE",
            "  refused  ",
            "",
            &format!("qemu-alpha: {said}"),
            "code 0",
        ],
    );
}

#[test]
fn explain_list_and_generate_say_so() {
    need!(Namespace);
    let alpha = alpha();
    let by = format!("disabled by {}", alpha.scratch.at("table"));
    alpha.expect(
        "register alpha >/dev/null; tool explain ./guest | grep -e '^  why' -e '^  fix' -e ^code
        tool list alpha | tail -n 2; tool list --json alpha | grep disabled
        tool generate alpha --format register | wc -l
        tool generate --direct alpha; tool generate --direct --format register --all | grep -c alpha",
        &[
            &format!("why         alpha is {by}"),
            "fix         enable it there, then run binfmt-dispatch install",
            "code 1",
            &format!("  {by}  "),
            "code 0",
            &format!("\"disabled_by\": \"{}\"", alpha.scratch.at("table")),
            "2",
            "code 1",
            "0",
            &format!("binfmt-dispatch: alpha: is {by}: enable it there, or leave it out"),
        ],
    );
}

#[test]
fn an_image_from_before_that_is_noticed() {
    need!(Namespace);
    // Registered while it was not disabled; the probe runs, as true(1) is the emulator.
    let alpha = Alpha::new();
    let row = Row::new("alpha", "/bin/true");
    alpha.scratch.write("before", row.table());
    alpha.scratch.tool(["image", "--table", "before", "--no-emulators", "-o", "image"]).printed("");
    alpha.scratch.write("table", row.with("disabled", json!(true)).table());
    alpha.expect(
        "register --no-probe alpha >/dev/null; tool status --image image | grep -e RUNS -e '^qemu-alpha: ' -e ^code",
        &["  RUNS  ", "but its programs run: run `binfmt-dispatch image -o ", "code 1"],
    );
}

#[test]
fn an_entry_of_others_is_in_the_way() {
    need!(Namespace);
    let alpha = alpha();
    alpha.expect(
        r"printf '%s' ':qemu-alpha:M:18:\x26\x90::/bin/true:' >$REGISTRY/register; echo 0 >$ENTRY
        tool explain ./guest | grep -e '^  why' -e '^  fix'",
        &[
            &format!("why         alpha is disabled by {}", alpha.scratch.at("table")),
            "fix         enable it there, then run binfmt-dispatch install --replace",
        ],
    );
}
