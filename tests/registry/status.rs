//! `status`: its output, and the cases in which the check fails.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::alpha::Alpha;
use crate::is_as_documented;
use crate::support::{Namespace, Scratch, need, saying};

const SCHEMA: &str = include_str!("../../docs/status.schema.json");

#[test]
fn switched_off_means_not_good() {
    need!(Namespace);
    Alpha::new().expect(
        "tool status >/dev/null; register alpha --no-probe >/dev/null; tool status --no-probe | tail -n 1
        echo 0 >$ENTRY; tool status --no-probe | tail -n 1; echo 0 >$REGISTRY/status; register alpha",
        &["code 0", "code 1", "code 1", "all entries are turned off"],
    );
}

#[test]
fn an_entry_that_cannot_work_is_not_good() {
    need!(Namespace);
    let alpha = Alpha::new();
    alpha.scratch.probe("guest", "alpha");
    let entry = |flags: &str| {
        format!(
            "register alpha -n | sed -n 's/POF$/{flags}/p' >$REGISTRY/register
            tool status --no-probe --image image | grep -e 'lacks flag' -e '^code'
            $TOOL status --no-probe --image image --table table >/dev/null; echo $?
            tool explain --no-probe ./guest | grep -e '^  why' -e '^  fix'"
        )
    };
    alpha.expect(
        &entry("PF"),
        &[
            "qemu-alpha cannot work, as it lacks flag O: run `binfmt-dispatch register --replace --image ",
            "code 1",
            "1",
            "entry qemu-alpha lacks flag O",
            "binfmt-dispatch register --replace alpha",
        ],
    );
    alpha.expect(
        &entry("OF"),
        &[
            "qemu-alpha loses argv[0], as it lacks flag P: run ",
            "code 0",
            "0",
            "through binfmt-dispatch; argv[0] is lost",
        ],
    );
}

#[test]
fn a_private_image_is_called_so() {
    need!(Namespace);
    Alpha::new().run("tool status --all | grep -c 'private image of unshare'").printed("1\n");
}

#[test]
fn status_is_readable_by_programs() {
    need!(Namespace);
    let status = Alpha::new().run("$TOOL status --table table --json").exited(1).json();
    assert_eq!((&status["mounted"], &status["enabled"]), (&true.into(), &true.into()));
    is_as_documented(SCHEMA, &status);
    let entries = status["entries"].as_array().unwrap();
    let alpha = entries.iter().find(|entry| entry["entry"] == "qemu-alpha").unwrap();
    assert_eq!(alpha["ours"], true, "{alpha}");
    assert_eq!(alpha["flags"], "POF", "{alpha}");
    assert_eq!(alpha["emulator"], "/bin/false", "{alpha}");
    assert_eq!((&alpha["runs"], &alpha["fault"]), (&false.into(), &"exited with 1".into()), "{alpha}");
}

/// States of the registry: a name, the commands that make it, and what `status` says then: a part of
/// its JSON, by path.
const STATES: [(&str, &str, &str, &str); 9] = [
    ("nothing", ":", "/mounted", "true"),
    ("not mounted", "umount $REGISTRY", "/mounted", "false"),
    ("ours", "$TOOL register --image image >/dev/null", "/entries/0/runs", "true"),
    ("gone", "$TOOL register --image image >/dev/null; rm image", "/entries/0/gone", "true"),
    ("off", "$TOOL register --image image >/dev/null; echo 0 >$REGISTRY/status", "/enabled", "false"),
    (
        "shadowed",
        "$TOOL register --image image >/dev/null
        printf '%s' ':newer:M:18:\\xb7\\x00::/no/such:' >$REGISTRY/register",
        "/entries/0/shadowed_by",
        "\"newer\"",
    ),
    ("extension", "printf '%s' ':ext:E::arm::/bin/true:' >$REGISTRY/register", "/others/0/matches", "\"extension\""),
    (
        "names that are no text",
        "printf ':\\377:E::arm::/no/\\376:' >$REGISTRY/register",
        "/others/0/interpreter",
        "[47,110,111,47,254]",
    ),
    (
        "interrupted",
        "$TOOL generate --image image --format register aarch64 |
            sed 's/^:/:binfmt-dispatch.temporary./' >$REGISTRY/register",
        "/interrupted/0",
        "\"binfmt-dispatch.temporary.qemu-aarch64\"",
    ),
];

#[test]
fn every_state_has_the_documented_form() {
    need!(Namespace, Qemu);
    for (state, commands, pointer, expected) in STATES {
        let scratch = Scratch::new();
        scratch.tool(["image", "aarch64", "--seed", "1", "-o", "image"]).succeeded();
        let script = format!("{commands}\n$TOOL status --json --image $PWD/image");
        let seen = Namespace::empty().run(&scratch, &script);
        let status = seen.json();
        is_as_documented(SCHEMA, &status);
        let found = status.pointer(pointer).map(Value::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{state}: {status:#}");
    }
}

/// The names of all fields in a schema.
fn fields(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| fields(member, found));
        }
        Value::Array(members) => members.iter().for_each(|member| fields(member, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_described() {
    let mut names = BTreeSet::new();
    fields(&serde_json::from_str(SCHEMA).unwrap(), &mut names);
    assert!(names.len() > 30, "{names:?}");
    let page = include_str!("../../docs/status-json.md");
    names.retain(|name| !page.contains(&format!("`{name}`")));
    assert!(names.is_empty(), "docs/status-json.md does not tell of {names:?}");
}

#[test]
fn an_emulator_that_was_replaced_is_noticed() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    for word in ["one", "two"] {
        scratch.write(word, std::fs::read(saying(word, 0)).unwrap());
    }
    // The same size, with and without a build ID.
    let seen = Namespace::empty().run(
        &scratch,
        r#"
        stale() {
            $TOOL status --image $PWD/image --json | grep -c '"newer_emulator": true'
            $TOOL status --image $PWD/image >status
            AGAIN="binfmt-dispatch register --replace --image $PWD/image aarch64"
            grep -c ": the installed emulators differ from the embedded ones: run .binfmt-dispatch image -o $PWD/image $FROM aarch64 && $AGAIN.$" status
        }
        FROM="--from aarch64=$PWD/emulator"
        for round in with without; do
            cp one emulator && $TOOL image aarch64 --from aarch64=$PWD/emulator -o image || exit 1
            $TOOL register aarch64 --image $PWD/image --replace >/dev/null || exit 2
            echo "$round a build ID"; touch emulator; stale
            cp two emulator; stale; cp one emulator; stale
            # Another size; then it is gone.
            echo >>emulator; stale; rm emulator; stale
            readelf -n one two | grep -c 'Build ID'; objcopy -R .note.gnu.build-id one; objcopy -R .note.gnu.build-id two
            [ $(stat -c %s one) = $(stat -c %s two) ] || exit 3
        done
        # From a directory, of which the image keeps the absolute path. With a seed, nobody knows where it was.
        mkdir 'of mine' && cp one 'of mine/qemu-aarch64' && FROM="--from '$PWD/of mine'"
        for seed in '' '--seed 1'; do
            cp one 'of mine/qemu-aarch64'; $TOOL image aarch64 --from 'of mine' -o image $seed || exit 4
            $TOOL register aarch64 --image $PWD/image --replace >/dev/null || exit 5
            echo "a directory $seed"; cp two 'of mine/qemu-aarch64'; stale
        done
        "#,
    );
    let unchanged = "0\n0\n";
    let changed = "1\n1\n";
    let round =
        |name: &str, ids: u32| format!("{name} a build ID\n{unchanged}{changed}{unchanged}{changed}{unchanged}{ids}\n");
    let directory = "a directory \n1\n1\na directory --seed 1\n0\n0\n";
    seen.wrote(&[&round("with", 2), &round("without", 0), directory].concat());
}
