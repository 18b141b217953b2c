//! `generate`: the kernel accepts what it prints.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::support::{Namespace, Observation, Scratch, need};
use crate::table::aarch64;

/// Registers every line of the file `lines`, and shows the resulting entries.
const REGISTER: &str = r#"
    set -e
    while IFS= read -r line; do
        case $line in '#'*|'') continue ;; esac
        printf '%s' "$line" >/proc/sys/fs/binfmt_misc/register || { echo "refused: $line"; exit 1; }
    done <lines
    # From here on nothing is started: with the entries of another host, this machine's own programs are taken as well.
    cd /proc/sys/fs/binfmt_misc
    entries=(qemu-*)
    echo "${#entries[@]}"
    declare -A seen
    for entry in "${entries[@]}"; do
        while IFS= read -r line; do
            case $line in interpreter*|flags*) [ "${seen[$line]}" ] || { seen[$line]=1; echo "$line"; } ;; esac
        done <"$entry"
    done
"#;

/// Lines that are entries.
fn entries(run: &Observation) -> usize {
    run.succeeded().out().lines().filter(|line| line.starts_with(':')).count()
}

#[test]
fn the_committed_snippet_is_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("binfmt.d/zz-binfmt-dispatch.conf");
    let run = Scratch::new().tool(["generate", "--host", "x86_64"]);
    let found = std::fs::read_to_string(committed).unwrap_or_default();
    assert!(
        run.succeeded().out() == found,
        "run `cargo run -- generate --host x86_64 >binfmt.d/zz-binfmt-dispatch.conf`\n{run}"
    );
}

#[test]
fn the_kernel_takes_every_line() {
    need!(Namespace);
    for host in ["x86_64", "aarch64"] {
        for (options, flags) in [(&[][..], "POF"), (&["--credentials"], "POCF")] {
            for format in ["binfmt-d", "register"] {
                let scratch = Scratch::new();
                let arguments = ["generate", "--host", host, "--format", format, "--interpreter", "/bin/true"];
                let run = scratch.tool([&arguments[..], options].concat());
                let entries = entries(&run);
                scratch.write("lines", run.out());
                let expected = format!("{entries}\ninterpreter /bin/true\nflags: {flags}\n");
                Namespace::empty().run(&scratch, REGISTER).printed(&expected);
                assert!(entries > 30, "{run}");
            }
        }
    }
}

#[test]
fn flags_suit_the_named_kernel() {
    let scratch = Scratch::new();
    let flags = |options: &[&str]| {
        let run = scratch.tool([&["generate", "--format", "register"], options].concat());
        let lines: BTreeSet<&str> = run.succeeded().out().lines().filter_map(|line| line.rsplit(':').next()).collect();
        lines.into_iter().collect::<Vec<_>>().join(" ")
    };
    for (options, expected) in [
        (&[][..], "POF"),
        (&["--kernel", "6.12"], "POF"),
        (&["--kernel", "7.2.9-cloud-amd64"], "POF"),
        (&["--kernel", "7.3"], "OFT"),
        (&["--kernel", "7.3-rc7", "--credentials"], "OCFT"),
        (&["--kernel", "10.0", "--no-credentials"], "OFT"),
    ] {
        assert_eq!(flags(options), expected, "{options:?}");
    }
    // The line is otherwise the same.
    let line =
        |kernel| scratch.tool(["generate", "--format", "register", "--kernel", kernel, "arm64"]).out().to_owned();
    assert_eq!(line("7.3"), line("7.2").replace(":POF", ":OFT"));
    // QEMU does not know flag T.
    scratch.tool(["generate", "--direct", "--kernel", "7.3"]).exited(2);
    let run = scratch.tool(["generate", "--kernel", "trixie"]);
    run.exited(2);
    assert!(run.err().contains("'trixie' for '--kernel <VERSION>': write two numbers, as in 6.12"), "{run}");
    for format in ["nixos", "binfmt-support"] {
        let run = scratch.tool(["generate", "--format", format, "--kernel", "7.3", "--credentials", "arm64"]);
        run.refused(
            1,
            "qemu-aarch64: this format has no word for flag T: leave --kernel out, or choose a format that has the \
             kernel's lines",
        );
    }
}

#[test]
fn linux_7_3_takes_every_line_that_is_for_it() {
    need!(Namespace, Transparent);
    for (options, flags) in [(&[][..], "OFT"), (&["--credentials"], "OCFT")] {
        let scratch = Scratch::new();
        let arguments = ["generate", "--kernel", "7.3", "--interpreter", "/bin/true"];
        let run = scratch.tool([&arguments[..], options].concat());
        let entries = entries(&run);
        scratch.write("lines", run.out());
        let expected = format!("{entries}\ninterpreter /bin/true\nflags: {flags}\n");
        Namespace::empty().run(&scratch, REGISTER).printed(&expected);
    }
}

#[test]
fn direct_entries_name_the_emulators() {
    need!(Namespace);
    let scratch = Scratch::new();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let run = scratch.tool(["generate", "--direct", "--format", "register", "arm64", &option, &table]);
    assert_eq!(entries(&run), 1);
    scratch.write("lines", run.out());
    Namespace::empty().run(&scratch, REGISTER).printed("1\ninterpreter /bin/cat\nflags: POF\n");
    scratch.tool(["generate", "--direct", "--interpreter", "/bin/true"]).exited(2);
}

#[test]
fn hosts_keep_their_own_programs() {
    let scratch = Scratch::new();
    for (host, own, spared) in [("x86_64", "amd64", "qemu-i386:"), ("arm64", "aarch64", "qemu-arm:")] {
        let run = scratch.tool(["generate", "--host", host]);
        let out = run.succeeded().out();
        assert!(!out.contains(spared) && !out.contains(&format!("qemu-{own}:")), "{run}");
        let run = scratch.tool(["generate", "--host", host, own]);
        assert!(
            run.out().is_empty() && run.err().lines().count() == 1 && run.err().contains(": leave it out"),
            "{run}"
        );
        run.exited(1);
    }
    // A user who names an architecture knows of a machine that cannot run it.
    assert_eq!(entries(&scratch.tool(["generate", "--host", "x86_64", "i386"])), 2);
    scratch.tool(["generate", "--host", "z80"]).refused(2, "unknown architecture z80: see `binfmt-dispatch list`");
}

#[test]
fn a_row_with_an_odd_osabi_is_no_way_around() {
    let scratch = Scratch::new();
    let mut table: serde_json::Value = serde_json::from_str(dispatch_table::BUILTIN).unwrap();
    let rows = table["architectures"].as_array_mut().unwrap();
    rows.retain(|row| row["name"] == "x86_64");
    for (field, value) in [("name", json!("mine")), ("aliases", json!([])), ("osabi", json!([77]))] {
        rows[0][field] = value;
    }
    rows[0]["native_on"] = json!([]);
    scratch.write("odd", table.to_string());
    let run = scratch.tool(["--table", "odd", "generate", "--host", "x86_64", "mine"]);
    assert!(run.out().is_empty() && run.err().contains("qemu-mine: would capture programs that x86_64 "), "{run}");
    run.exited(1);
}

#[test]
fn paths_that_no_line_can_hold() {
    let scratch = Scratch::new();
    for path in ["relative", "/new\nline", &format!("/{}", "x".repeat(2000))] {
        let run = scratch.tool(["generate", "alpha", "--interpreter", path]);
        let one_line = run.err().lines().count() == 1 && run.err().starts_with("binfmt-dispatch: qemu-alpha: ");
        assert!(run.out().is_empty() && one_line, "{run}");
        run.exited(1);
    }
}
