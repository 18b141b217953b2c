//! Entries of other software that are unusual, and a registry that changes while it is read.

use serde_json::{Value, json};

use crate::agreement::is_valid;
use crate::support::{Namespace, Scratch, need};

/// Registers entries with unusual names, magics, masks, offsets, extensions and interpreters. The
/// second one, which is off, matches every file.
const ODD: &str = r#"
    add() { printf "$1" >$REGISTRY/register || echo "$1"; }
    add ':two words:M:255:\\xff::/no such/interpreter:'
    add ':everything:M::a:\\x00:/usr/bin/true:'; echo 0 >$REGISTRY/everything
    add ':ext:E:77:7fELF\\x7f:mask:/usr/bin/true:'
    add ',comma:name,M,4,\\x00\\x01\\x3a,\\x00\\xff\\xf0,/usr/bin/true,OC'
    add ':\033[31mred\377:M:18:\\xb7\\x00::/usr/bin/true\033[0m:'
"#;

#[test]
fn entries_with_odd_names_and_rules_are_shown() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    scratch.write("text", "some text");
    let run = |command: &str| Namespace::empty().run(&scratch, &format!("{ODD}\n{command}"));
    run("$TOOL status --no-probe | grep -A 5 ^ENTRY").printed(
        r"ENTRY            STATE     OWNER  FLAGS  PROBE    INTERPRETER
\x1b[31mred\xff  enabled   other  -      MISSING  /usr/bin/true\x1b[0m
comma:name       enabled   other  OC     -        /usr/bin/true
ext              enabled   other  -      -        /usr/bin/true
everything       disabled  other  -      -        /usr/bin/true
two words        enabled   other  -      MISSING  /no such/interpreter
",
    );
    let guest = run("$TOOL explain ./guest");
    guest.verdict(
        r"it does not run: entry \x1b[31mred\xff gets it, and its interpreter /usr/bin/true\x1b[0m does not exist",
        "binfmt-dispatch install --replace aarch64",
    );
    guest.has("entry everything would take it, and is turned off, with /usr/bin/true (no flags)");
    let text = run("mv text text.7fELF\\\\x7f; $TOOL explain ./text.7fELF\\\\x7f");
    text.verdict("it runs by entry ext, with /usr/bin/true, which is not binfmt-dispatch", "");
}

#[test]
fn entries_with_odd_names_and_rules_are_whole_in_json() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let run = |command: &str| Namespace::empty().run(&scratch, &format!("{ODD}\n{command}"));
    let status = run("$TOOL status --no-probe --json").exited(1).json();
    let other = |entry: Value, enabled: bool, flags: &str, interpreter: &str, matches: &str, missing: bool| {
        json!({
            "entry": entry, "enabled": enabled, "flags": flags, "interpreter": interpreter, "matches": matches,
            "missing": missing,
        })
    };
    let red = json!(b"\x1b[31mred\xff");
    let path = "/usr/bin/true";
    let expected = [
        other(red.clone(), true, "", "/usr/bin/true\x1b[0m", "magic", true),
        other("comma:name".into(), true, "OC", path, "magic", false),
        other("ext".into(), true, "", path, "extension", false),
        other("everything".into(), false, "", path, "magic", false),
        other("two words".into(), true, "", "/no such/interpreter", "magic", true),
    ];
    assert_eq!(status["others"], json!(expected), "{status:#}");
    let guest = run("$TOOL explain --no-probe --json ./guest").exited(1).json();
    is_valid(&guest);
    let names: Vec<&Value> =
        guest["kernel"]["entries"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, [&red, &json!("everything")], "{guest:#}");
}

#[test]
fn entries_that_come_and_go_are_no_failure() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let script = r#"
        for name in a b; do
            while [ ! -e over ]; do
                printf '%s' ":$name:E::no-such::/bin/true:" >$REGISTRY/register
                echo -1 >$REGISTRY/$name
            done &
        done
        # The registry is read anew for each file.
        guests=$(printf './guest %.0s' {1..200})
        for number in {1..3}; do
            $TOOL status --no-probe --json >json; [ $? = 1 ] || echo "status $?"
            grep -q '"mounted": true' json || cat json
            $TOOL explain --no-probe --json $guests >json; [ $? = 1 ] || echo "explain $?"
            [ $(grep -c '"unavailable": null' json) = 200 ] || grep '"unavailable": "' json
        done
        >over; wait
    "#;
    Namespace::empty().run(&scratch, script).printed("");
}
