//! Output on terminals: no row is wrapped, no word is broken, and no escape is anywhere else.

use crate::support::{Namespace, Observation, Scratch, need};

/// Runs a script in a namespace where every architecture is registered. `on COLUMNS COMMAND` runs a
/// command on a terminal of that width; `look` shows its output without colours.
fn run(script: &str) -> Observation {
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let prelude = r#"
        on() { TERM=xterm script -qec "stty rows 24 cols $1; $2" /dev/null </dev/null | tr -d '\r'; }
        look() { on "$@" | sed 's/\x1b\[[0-9;]*[mK]//g'; }
        directory=a-directory-with-many-words-in-a-name-that-is-quite-long
        mkdir $directory && $TOOL image --no-emulators --seed 1 -o $directory/image || exit 2
        $TOOL generate --interpreter $PWD/$directory/image --format register >lines
        while IFS= read -r line; do printf '%s' "$line" >$REGISTRY/register; done <lines"#;
    Namespace::empty().run(&scratch, &format!("{prelude}\n{script}"))
}

#[test]
fn no_row_is_wrapped() {
    need!(Namespace);
    for command in ["status --all --no-probe", "status --no-probe arm microblaze", "list", "list --image a-*/image"] {
        for width in [80, 120, 200] {
            let seen = run(&format!("look {width} \"$TOOL {command}\""));
            // The summary is a sentence, and not a row.
            let rows: Vec<&str> = seen.out().split("\n\n").flat_map(|part| part.lines().skip(1)).collect();
            let widest = rows.iter().map(|row| row.chars().count()).max().unwrap();
            assert!(widest <= width && !rows.is_empty(), "{command}: {widest} columns of {width}\n{seen}");
        }
    }
}

#[test]
fn nothing_is_left_out_elsewhere() {
    need!(Namespace);
    let seen = run(
        "$TOOL status --all --no-probe; look 300 \"$TOOL status --all --no-probe\" | cmp - <($TOOL status --all --no-probe)",
    );
    assert!(!seen.out().contains('…') && seen.out().contains("name-that-is-quite-long/image"), "{seen}");
    assert_eq!(seen.code(), 0, "{seen}");
}

#[test]
fn no_word_is_broken() {
    need!(Namespace);
    let seen = run("look 80 \"$TOOL explain --no-probe ./guest\"");
    let lines: Vec<&str> = seen.out().lines().collect();
    assert!(
        lines.iter().any(|line| line.contains("/a-directory-with-many-words-in-a-name-that-is-quite-long/image")),
        "{seen}"
    );
    let text = |line: &&&str| !line.contains("/a-directory") && !line.starts_with("  argv");
    let widest = lines.iter().filter(text).map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest}\n{seen}");
}

#[test]
fn what_lint_finds_is_coloured() {
    let scratch = Scratch::new();
    scratch.write("bad.conf", "x\n");
    let seen = scratch.shell("TERM=xterm script -qec \"$TOOL lint bad.conf\" /dev/null </dev/null");
    assert!(seen.out().starts_with("bad.conf:1:1: \x1b[1m\x1b[31merror\x1b[0m: "), "{seen}");
    let seen = scratch.shell("$TOOL lint bad.conf");
    assert!(seen.out().starts_with("bad.conf:1:1: error: "), "{seen}");
}
