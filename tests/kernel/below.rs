//! Programs below a directory for which the table has a row of its own.

use serde_json::json;

use crate::support::{FOREIGN, Kind, Namespace, Report, Row, Scratch, build, need};

/// A row whose programs below `in` get other options and another model, and those below `in/deep`
/// and `emulated`, as they come later, too, if nothing else applies.
fn scratch(kind: Kind) -> (Scratch, Row) {
    let scratch = Scratch::new();
    for name in ["emulator", "other"] {
        scratch.write(name, build(kind));
    }
    for name in ["guest", "in/guest", "in/deep/guest", "inner", "emulated/guest"] {
        scratch.probe(name, FOREIGN);
    }
    let below = json!([
        {"directory": scratch.at("in"), "options": ["-x"], "cpu": "small"},
        {"directory": scratch.at("in/deep"), "options": ["-y"]},
        {"directory": format!("{}/", scratch.at("emulated")), "emulators": [scratch.at("none"), scratch.at("other")]},
    ]);
    let row =
        Row::new(FOREIGN, &scratch.at("emulator")).with("options", json!(["-B", "0"])).with("versions", json!([]));
    (scratch, row.with("below", below))
}

/// The arguments in front of `-0`, without the directory of the scratch files.
#[track_caller]
fn given(namespace: &Namespace, scratch: &Scratch, script: &str) -> String {
    let report = Report::of(&namespace.run(scratch, script));
    let argv = report.all("argv");
    let end = argv.iter().position(|word| word == "-0").unwrap();
    argv[..end].join(" ").replace(&scratch.at(""), "")
}

#[test]
fn a_program_below_a_directory_gets_what_the_table_has_for_it() {
    need!(Namespace, Compiler);
    for (kind, strategy) in [(Kind::Pie, "map"), (Kind::Dynamic, "map"), (Kind::Pie, "exec")] {
        let (scratch, row) = scratch(kind);
        let namespace = Namespace::with_table(&scratch, &row.with("strategy", json!(strategy)).table());
        for (start, expected) in [
            ("./guest", "emulator -B 0"),
            ("./in/guest", "emulator -cpu small -x"),
            ("in/../in/./guest", "emulator -cpu small -x"),
            ("in/deep/guest", "emulator -cpu small -x"),
            ("./emulated/guest", "other -B 0"),
            ("./inner", "emulator -B 0"),
            // The file counts, not the name by which it was called.
            ("ln -s in/guest link; ./link", "emulator -cpu small -x"),
            ("ln -s ../guest in/link; ./in/link", "emulator -B 0"),
            ("ln -s in alias; ./alias/guest", "emulator -cpu small -x"),
            ("(cd in; exec ./guest)", "emulator -cpu small -x"),
            ("exec -a in/guest ./guest", "emulator -B 0"),
            ("PATH=$PWD/in; guest", "emulator -cpu small -x"),
            ("mkdir m; mount --bind in m; ./m/guest", "emulator -B 0"),
            ("mkdir m; mount --bind m in; cp guest in/new; ./in/new", "emulator -cpu small -x"),
        ] {
            let start = format!("{start} <&0");
            assert_eq!(given(&namespace, &scratch, &start), expected, "{kind:?}, {strategy}: {start}");
            namespace.run(&scratch, "rm -rf link in/link alias m");
        }
    }
}

#[test]
fn the_command_does_the_same() {
    need!(Namespace, Compiler);
    let (scratch, row) = scratch(Kind::Pie);
    let namespace = Namespace::with_table(&scratch, &row.table());
    for (guest, expected) in
        [("./guest", "emulator -B 0"), ("./in/guest", "emulator -cpu small -x"), ("./emulated/guest", "other -B 0")]
    {
        assert_eq!(given(&namespace, &scratch, &format!("./image run {guest}")), expected);
    }
    let explain = |guest: &str| {
        let script =
            format!("./image explain {guest} | grep -A 1 '^  emulator '; ./image explain {guest} | grep '^  cpu '");
        namespace.run(&scratch, &script).out().replace(&scratch.at(""), "")
    };
    for (guest, emulator, cpu) in [
        ("./in/guest", "emulator, for programs below in\n", "  cpu         small\n"),
        ("./emulated/guest", "none: no such file or directory\n              other, for programs below emulated\n", ""),
        ("./guest", "emulator\n", ""),
    ] {
        let seen = explain(guest);
        assert!(seen.starts_with(&format!("  emulator    {emulator}")) && seen.ends_with(cpu), "{seen}");
        assert_eq!(seen.contains("  cpu"), !cpu.is_empty(), "{seen}");
    }
    let json = namespace.run(&scratch, "./image explain --json ./in/guest");
    assert!(json.out().contains(&format!("\"below\": \"{}\"", scratch.at("in"))), "{json}");
}

#[test]
fn in_a_chroot_the_path_there_counts() {
    need!(Namespace, Compiler);
    let (scratch, row) = scratch(Kind::Pie);
    let namespace = Namespace::with_table(&scratch, &row.table());
    let root = "mkdir -p root$PWD/in root/proc; cp guest root$PWD/in; cp emulator root$PWD";
    let start = "chroot root $PWD/in/guest";
    assert_eq!(given(&namespace, &scratch, &format!("{root}; {start}")), "emulator -B 0", "there is no /proc");
    let proc = "mount --rbind /proc root/proc";
    assert_eq!(given(&namespace, &scratch, &format!("{root}; {proc}; {start}")), "emulator -cpu small -x");
    let outside = "mkdir -p in/chroot/proc; cp guest in/chroot; mount --rbind /proc in/chroot/proc; mkdir -p in/chroot$PWD; \
                   cp emulator in/chroot$PWD; chroot in/chroot /guest";
    assert_eq!(given(&namespace, &scratch, outside), "emulator -B 0");
}

#[test]
fn the_root_directory_stands_for_all_programs_with_a_path() {
    need!(Namespace, Compiler);
    let (scratch, row) = scratch(Kind::Pie);
    let row = row.with("below", json!([{"directory": "/", "options": ["-r"]}]));
    let namespace = Namespace::with_table(&scratch, &row.table());
    assert_eq!(given(&namespace, &scratch, "./guest"), "emulator -r");
}

#[test]
fn a_privileged_program_gets_only_what_is_embedded() {
    need!(Namespace, Compiler, Root);
    let (scratch, row) = scratch(Kind::Pie);
    scratch.write("table.json", row.table());
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    let started = |namespace: Namespace, guest: &str| {
        let start = format!("chmod 4755 {guest}; exec setpriv --reuid 1000 --regid 1000 --clear-groups {guest}");
        given(&namespace.flags("POCF").mapped(), &scratch, &start)
    };
    // The emulators of all rows are embedded.
    let all = || Namespace::with_image(&scratch, &["--table", &scratch.at("table.json"), "--from", &from]);
    assert_eq!(started(all(), "./in/guest"), "emulator -cpu small -x");
    assert_eq!(started(all(), "./emulated/guest"), "other -B 0");
    // That of the directory does not exist when the image is written, and appears later.
    std::fs::rename(scratch.at("other"), scratch.at("kept")).unwrap();
    let one = all();
    std::fs::rename(scratch.at("kept"), scratch.at("other")).unwrap();
    assert_eq!(given(&one, &scratch, "./emulated/guest"), "other -B 0", "by its path");
    let one = Namespace::of_image(&scratch.at("image"));
    assert_eq!(started(one, "./emulated/guest"), "emulator -B 0", "security rule 1");
}

#[test]
fn an_emulator_that_comes_from_an_image_is_embedded_for_directories_too() {
    need!(Namespace, Compiler);
    let (scratch, row) = scratch(Kind::Pie);
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    scratch.tool(["image", "--from", &from, FOREIGN, "-o", "first"]).printed("");
    std::fs::remove_file(scratch.at("emulator")).unwrap();
    scratch.write("table.json", row.table());
    let image = format!("./first image --table table.json {FOREIGN} -o image");
    Namespace::empty().run(&scratch, &image).succeeded();
    let namespace = Namespace::of_image(&scratch.at("image"));
    assert_eq!(given(&namespace, &scratch, "./in/guest"), "emulator -cpu small -x");
    assert_eq!(given(&namespace, &scratch, "./emulated/guest"), "other -B 0");
}

#[test]
fn an_emulator_of_several_rows_is_embedded_once() {
    need!(Namespace, Compiler);
    let (scratch, row) = scratch(Kind::Pie);
    scratch.write("table.json", row.table());
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    let image = ["image", "--table", "table.json", "--from", &from, FOREIGN, "-o", "image"];
    scratch.tool(image).printed("");
    let listed = scratch.tool(["list", "--image", "image"]);
    let runs: Vec<&str> = listed.out().lines().skip(1).map(|line| line.rsplit("  ").next().unwrap_or(line)).collect();
    let title = |directory: &str| format!("{FOREIGN} below {}", scratch.at(directory));
    let emulator = format!("{FOREIGN}, {}, {}", title("in"), title("in/deep"));
    assert_eq!(runs, ["when started by hand", emulator.as_str(), title("emulated").as_str()]);
}
