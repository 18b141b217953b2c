//! The CPU model that an emulator is given.

use dispatch_table::ArchTable;
use serde_json::json;

use crate::support::{
    Kind, Namespace, Observation, Report, Row, Scratch, TOOL, build, guest_with_property, guests, need, tool,
};

/// `pr_type` of the property in these tests.
const PROPERTY: u32 = 0xc000_8002;

/// The file of an emulator that prints its version when asked.
const EMULATOR: &str = "emulator-7.2.22";

/// A row with a usual model, and a larger one for programs that need bit "b" or "d".
fn row(emulator: &str) -> Row {
    Row::new("aarch64", emulator)
        .with("options", json!(["-B", "0"]))
        .with("property", json!({"type": "0xc0008002", "bits": ["a", "b", "c", "d"], "required": true}))
        .with("versions", json!([{"cpu": "usual,x=on", "lacks": ["b", "d"], "larger_cpu": "larger"}]))
}

fn probe() -> Vec<u8> {
    ArchTable::builtin().find("aarch64").unwrap().probe_elf()
}

/// A guest, and a namespace with that row for it.
fn bench() -> (Scratch, Namespace) {
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.probe("guest", "aarch64");
    let namespace = Namespace::with_table(&scratch, &row(&scratch.at("emulator")).table());
    (scratch, namespace)
}

/// The arguments in front of `-0`.
#[track_caller]
fn given(namespace: &Namespace, scratch: &Scratch, script: &str) -> String {
    let report = Report::of(&namespace.run(scratch, script));
    let argv = report.all("argv");
    let end = argv.iter().position(|word| word == "-0").unwrap();
    argv[1..end].join(" ")
}

#[test]
fn it_comes_before_the_options() {
    need!(Namespace, Compiler);
    let (scratch, namespace) = bench();
    assert_eq!(given(&namespace, &scratch, "./guest"), "-cpu usual,x=on -B 0");
}

#[test]
fn the_callers_wins() {
    need!(Namespace, Compiler);
    let (scratch, namespace) = bench();
    assert_eq!(given(&namespace, &scratch, "QEMU_CPU=mine ./guest"), "-B 0");
    assert_eq!(given(&namespace, &scratch, "QEMU_CPU= ./guest"), "-B 0");
    assert_eq!(given(&namespace, &scratch, "QEMU_CPUS=mine ./guest"), "-cpu usual,x=on -B 0");
    // The model reaches the emulator, and no variable of the interpreter's gets into the
    // environment that the guest's children inherit.
    let report = Report::of(&namespace.run(&scratch, "env -i QEMU_CPU=mine ./guest"));
    assert_eq!(report.all("env"), ["QEMU_CPU=mine"]);
    assert_eq!(Report::of(&namespace.run(&scratch, "env -i ./guest")).all("env"), [""; 0]);
}

#[test]
fn a_model_that_the_emulator_refuses_comes_with_a_hint() {
    need!(Namespace, Guests, Qemu);
    let said = "qemu (QEMU_CPU is set: see binfmt-dispatch --explain): unable to find CPU model 'no-such-model'";
    let namespace = Namespace::full();
    for guest in guests() {
        let script = format!("QEMU_CPU=no-such-model exec {} true", guest.busybox.display());
        let seen = namespace.run(&Scratch::new(), &script);
        assert_eq!((seen.code(), seen.err().trim_end(), seen.out()), (1, said, ""), "{seen}");
    }
}

#[test]
fn a_program_that_needs_more_gets_the_larger_one() {
    need!(Namespace, Compiler);
    let (scratch, namespace) = bench();
    for (kind, value, model) in [
        (PROPERTY, 0b0101, "usual,x=on"),
        (PROPERTY, 0b0010, "larger"),
        (PROPERTY, 0b1111, "larger"),
        (PROPERTY + 1, 0b1111, "usual,x=on"),
    ] {
        scratch.write("guest", guest_with_property(probe(), kind, value));
        assert_eq!(given(&namespace, &scratch, "./guest"), format!("-cpu {model} -B 0"), "{value:#b}");
    }
    // Broken notes count as missing: cut short, of another name, of another size, outside the file.
    let good = guest_with_property(probe(), PROPERTY, 0b1111);
    // e_phnum is 2: PT_GNU_PROPERTY, with its offset at 8 and its size at 32, and PT_LOAD follow
    // the header.
    let (header, note) = (64, 64 + 2 * 56);
    for (at, bytes) in [
        (note + 12, &b"gnu\0"[..]),
        (note + 4, &[255, 255, 255, 255]),
        (note + 4, &[8, 0, 0, 0]),
        (note + 20, &[255, 255, 255, 255]),
        (note + 20, &[2, 0, 0, 0]),
        (header + 8, &[255; 8]),
        (header + 32, &[255; 8]),
        (header + 32, &[20, 0, 0, 0]),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        scratch.write("guest", bad);
        assert_eq!(given(&namespace, &scratch, "./guest"), "-cpu usual,x=on -B 0", "{at}: {bytes:?}");
    }
}

#[test]
fn a_privileged_program_gets_the_tables_whatever_its_caller_says() {
    need!(Namespace, Compiler, Root);
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.probe("guest", "aarch64");
    scratch.write("table.json", row(&scratch.at("emulator")).table());
    let from = format!("aarch64={}", scratch.at("emulator"));
    // The row's model is for all versions, so it also counts for an embedded emulator.
    let namespace = Namespace::with_image(&scratch, &["--table", &scratch.at("table.json"), "--from", &from]);
    let script = "chmod 4755 guest; QEMU_CPU=mine exec setpriv --reuid 1000 --regid 1000 --clear-groups ./guest";
    assert_eq!(given(&namespace.flags("POCF").mapped(), &scratch, script), "-cpu usual,x=on -B 0");
}

/// A namespace whose row has a model for version 7.2.22. The row's emulator is opened by its path,
/// and says that it has this version. `change` changes the row.
fn by_path(scratch: &Scratch, kind: Kind, change: impl FnOnce(Row) -> Row) -> Namespace {
    scratch.write(EMULATOR, build(kind));
    scratch.probe("guest", "aarch64");
    let versions = json!([{"since": "7.0", "before": "8.0", "cpu": "asked", "options": ["-x"]}, {"cpu": "any"}]);
    let row = Row::new("aarch64", &scratch.at(EMULATOR)).with("options", json!(["-B", "0"]));
    Namespace::with_table(scratch, &change(row.with("versions", versions)).table())
}

#[test]
fn the_version_of_an_emulator_by_its_path_decides() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned, Kind::Dynamic] {
        for strategy in ["map", "exec"] {
            let scratch = Scratch::new();
            let namespace = by_path(&scratch, kind, |row| row.with("strategy", json!(strategy)));
            assert_eq!(given(&namespace, &scratch, "./guest"), "-cpu asked -x -B 0", "{kind:?}, {strategy}");
            assert_eq!(given(&namespace, &scratch, "QEMU_CPU=mine ./guest"), "-x -B 0");
        }
    }
}

/// The emulator's arguments after `change` has changed the file at its path.
fn after(change: &str) -> String {
    let scratch = Scratch::new();
    let namespace = by_path(&scratch, Kind::Pie, |row| row);
    given(&namespace, &scratch, &format!("{change}; exec ./guest"))
}

#[test]
fn another_file_at_its_path_is_given_what_all_versions_are() {
    need!(Namespace, Compiler);
    for change in [
        "touch emulator-7.2.22",
        "touch -d '@1234567890.5' emulator-7.2.22",
        "printf x >>emulator-7.2.22",
        // All bytes and all times are the same.
        "cp -p emulator-7.2.22 other && mv other emulator-7.2.22",
        "cp -p emulator-7.2.22 other && rm emulator-7.2.22 && mv other emulator-7.2.22",
        "cp -p emulator-7.2.22 other && ln -sf other emulator-7.2.22",
        // The file is changed in place, so that only the time differs.
        "printf x | dd of=emulator-7.2.22 bs=1 seek=$(($(stat -c %s emulator-7.2.22) - 1)) conv=notrunc status=none",
    ] {
        assert_eq!(after(change), "-cpu any -B 0", "{change}");
    }
    // The file is the same under other names.
    for change in [
        "mv emulator-7.2.22 other && ln -s other emulator-7.2.22",
        "ln emulator-7.2.22 other && chmod 711 emulator-7.2.22",
    ] {
        assert_eq!(after(change), "-cpu asked -x -B 0", "{change}");
    }
}

#[test]
fn an_emulator_that_appears_at_an_earlier_path_was_not_asked() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let both = json!([scratch.at("earlier"), scratch.at(EMULATOR)]);
    let namespace = by_path(&scratch, Kind::Pie, |row| row.with("emulators", both));
    assert_eq!(given(&namespace, &scratch, "./guest"), "-cpu asked -x -B 0");
    assert_eq!(given(&namespace, &scratch, "cp emulator-7.2.22 earlier; ./guest"), "-cpu any -B 0");
}

#[test]
fn in_a_chroot_the_file_there_counts() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let namespace = by_path(&scratch, Kind::Pie, |row| row);
    let script =
        |copy: &str| format!("mkdir -p root$PWD; cp guest root; {copy} emulator-7.2.22 root$PWD; chroot root /guest");
    assert_eq!(given(&namespace, &scratch, &script("cp -p")), "-cpu any -B 0");
    assert_eq!(given(&namespace, &scratch, &script("ln -f")), "-cpu asked -x -B 0");
}

#[test]
fn without_an_image_the_emulator_is_asked_when_it_is_needed() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let namespace = by_path(&scratch, Kind::Pie, |row| row);
    let tool = format!("{TOOL} --table table.json");
    for start in [format!("{tool} run ./guest"), "./image run ./guest".to_owned()] {
        assert_eq!(given(&namespace, &scratch, &start), "-cpu asked -x -B 0", "{start}");
        assert_eq!(given(&namespace, &scratch, &format!("export QEMU_CPU=mine; {start}")), "-x -B 0", "{start}");
        let replaced = format!("cp emulator-7.2.22 other; mv other emulator-7.2.22; {start}");
        assert_eq!(given(&namespace, &scratch, &replaced), "-cpu asked -x -B 0", "it is asked again: {start}");
    }
}

#[test]
fn in_a_registry_of_ones_own_the_emulator_is_asked_when_it_is_made() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let scratch = Scratch::new();
    let namespace = by_path(&scratch, Kind::Pie, |row| row);
    let tool = format!("{TOOL} --table table.json");
    let start = format!("{tool} unshare --no-emulators -- ./guest");
    assert_eq!(given(&namespace, &scratch, &start), "-cpu asked -x -B 0");
    assert_eq!(given(&namespace, &scratch, &format!("export QEMU_CPU=mine; {start}")), "-x -B 0");
    let while_it_runs = "cp emulator-7.2.22 other; mv other emulator-7.2.22; exec ./guest";
    let start = format!("{tool} unshare --no-emulators -- bash -c '{while_it_runs}'");
    assert_eq!(given(&namespace, &scratch, &start), "-cpu any -B 0");
}

#[test]
fn it_is_explained_why_the_model_holds() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let namespace = by_path(&scratch, Kind::Pie, |row| row);
    let emulator = scratch.at(EMULATOR);
    let explain = |script: &str| {
        let script = format!("{script} ./image explain ./guest | grep -E '^  (cpu|note) '");
        namespace.run(&scratch, &script).succeeded().out().to_owned()
    };
    let for_all = |why: &str| {
        format!(
            "  cpu         any\n  note        the CPU is the one for all versions, as {emulator} {why}: write the image again\n"
        )
    };
    assert_eq!(explain(""), "  cpu         asked\n");
    assert_eq!(explain("touch emulator-7.2.22;"), for_all("was replaced since it was asked for its version"));
    let seen = namespace.run(&scratch, "./image list --image image | grep path; ./image list --image image --json");
    let out = seen.succeeded().out();
    assert!(out.contains(&format!("{emulator}  7.2.22")), "{seen}");
    assert!(out.contains("  asked  aarch64, by its path\n") && out.contains("\"embedded\": false"), "{seen}");
    // The emulator did not exist when the image was written.
    scratch.write(
        "later.json",
        std::fs::read_to_string(scratch.at("table.json")).unwrap().replace("/emulator-7.2.22", "/later"),
    );
    let [table, image, emulator] = ["later.json", "image", "later"].map(|name| scratch.at(name));
    tool(&["image", "--no-site", "--table", &table, "--no-emulators", "-o", &image]);
    let expected = for_all("was not asked for its version").replace(&scratch.at(EMULATOR), &emulator);
    assert_eq!(explain("cp emulator-7.2.22 later;"), expected.replace("again\n", "again, without --seed\n"));
}

/// Writes an image with the installed QEMU for aarch64 and `fields` in its row. Shows how it starts
/// a program whose note says that it needs bit "b".
fn shown(scratch: &Scratch, fields: &serde_json::Value, contents: &str, script: &str) -> Observation {
    let property = json!({"type": "0xc0008002", "bits": ["a", "b"], "required": true});
    let mut row = json!({"name": "aarch64", "property": property, "versions": []});
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    scratch.write("rows.json", json!({"version": 1, "architectures": [row]}).to_string());
    scratch.write("guest", guest_with_property(probe(), PROPERTY, 0b10));
    let script = format!("{TOOL} --table rows.json image --no-site -o image {contents}\n{script}");
    Namespace::empty().run(scratch, &script)
}

#[test]
fn the_version_of_the_emulator_decides() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let versions = json!({"versions": [
        {"before": "2.0", "cpu": "older"},
        {"since": "2.0", "before": "1000", "cpu": "max", "lacks": ["b"], "note": "what to know"},
        {"since": "1000", "cpu": "newer"},
    ]});
    let seen = shown(
        &scratch,
        &versions,
        "aarch64",
        "./image explain ./guest | grep -e '-0' -e '^  cpu' -A 2; ./image run ./guest",
    );
    let (out, model) = (seen.succeeded().out(), "max; the program says that it needs b, of which this lacks b");
    assert!(out.contains(" -cpu max -0 ./guest -- ./guest\n"), "{seen}");
    assert!(
        out.contains(&format!(
            "  cpu         {model}\n  note        what to know\n              it may end with an illegal"
        )),
        "{seen}"
    );
}

#[test]
fn a_model_that_the_emulator_refuses_is_left_out() {
    need!(Namespace, Qemu);
    for fields in [
        json!({"cpu": "no-such-model"}),
        json!({"versions": [{"since": "2.0", "cpu": "max", "lacks": ["b"], "larger_cpu": "no-such-model"}]}),
        json!({"versions": [{"since": "2.0", "options": ["-no-such-option"]}]}),
    ] {
        let scratch = Scratch::new();
        let seen =
            shown(&scratch, &fields, "aarch64", "./image explain ./guest | grep -e '-0' -e -cpu; ./image run ./guest");
        assert_eq!(seen.code(), 0, "{seen}");
        let (warning, rest) = seen.err().split_once('\n').unwrap_or_default();
        assert!(warning.starts_with("binfmt-dispatch: warning: /usr/bin/qemu-aarch64") && rest.is_empty(), "{seen}");
        assert!(warning.contains(" no-such-model, ") || warning.contains(" -no-such-option, "), "{seen}");
        assert!(warning.ends_with(": the emulator runs without"), "{seen}");
        assert!(!seen.out().contains("no-such") && !seen.out().contains("-cpu"), "{seen}");
    }
}

#[test]
fn by_its_path_too() {
    need!(Namespace, Qemu);
    let explain = "./image explain ./guest | grep -e '-0'; ./image run ./guest";
    let since = |cpu: &str| json!({"versions": [{"since": "2.0", "cpu": cpu}]});
    let scratch = Scratch::new();
    let seen = shown(&scratch, &since("max"), "--no-emulators", explain);
    assert!(seen.succeeded().out().contains(" -cpu max -0 ./guest -- ./guest\n"), "{seen}");
    // A model that the emulator refuses is left out.
    let scratch = Scratch::new();
    let seen = shown(&scratch, &since("no-such-model"), "--no-emulators", explain);
    assert!(seen.code() == 0 && !seen.out().contains("-cpu"), "{seen}");
    let (warning, rest) = seen.err().split_once('\n').unwrap_or_default();
    assert!(warning.starts_with("binfmt-dispatch: warning: /usr/bin/qemu-aarch64") && rest.is_empty(), "{seen}");
    let run = format!("{TOOL} --table rows.json run ./guest");
    let seen = Namespace::empty().run(&scratch, &run);
    assert!((seen.code(), seen.err()) == (0, ""), "{seen}");
}

#[test]
fn the_callers_model_is_tried_when_it_is_explained() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let fields = json!({"cpu": "max"});
    let explain = |model: &str| {
        let seen =
            shown(&scratch, &fields, "aarch64", &format!("QEMU_CPU={model} ./image explain ./guest || [ $? = 1 ]"));
        let out = seen.succeeded().out().to_owned();
        assert!(out.contains(&format!("note        QEMU_CPU={model} is set, and wins over the table\n")), "{seen}");
        assert!(out.contains(&format!("cpu         {model}; ")) && !out.contains(" -cpu max"), "{seen}");
        out
    };
    let hint = "unable to find CPU model 'no-such-model'; unset it, or choose from what `qemu-aarch64";
    assert!(explain("no-such-model").contains(hint));
    assert!(!explain("max").contains("unset it"));
}
