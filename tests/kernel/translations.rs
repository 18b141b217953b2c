//! Translations beside an embedded emulator: recorded when the image is written, and found by the
//! emulator when it starts.

use std::fs;

use dispatch_translations::Translations;
use serde_json::{Value, json};

use crate::support::keeper::{build_of, keeper, records, root_of, with_keeper};
use crate::support::{FOREIGN, Foreign, Namespace, Observation, Scratch, guest_with_code, need, probe, saying};

/// Writes the image `image` with the translations of `root`.
fn image(scratch: &Scratch, options: &[&str]) -> Observation {
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    scratch.tool([&["image", "--from", &from, "-o", "image", FOREIGN, "--translate", "root"], options].concat())
}

#[test]
fn they_are_found_where_the_emulator_is_prelinked() {
    need!(Namespace, Compiler, Prelinked, Kernel(6, 7));
    let scratch = with_keeper();
    image(&scratch, &[]).succeeded();
    let recorded = Translations::read(&records(0)).unwrap();
    let (count, length) = (recorded.count(), recorded.packed(usize::MAX).len());
    let namespace = Namespace::of_image(&scratch.at("image"));
    let kept = format!("tb-pack, {length} bytes, whole\n");
    namespace.run(&scratch, "./guest").printed(&kept);
    // The image says so.
    let listed = scratch.tool(["list", "--image", "image", "--json"]).json();
    assert_eq!(listed[1]["translations"], count, "{listed}");
    assert!(listed[0]["translations"].is_null(), "{listed}");
    let translated = &listed[1]["translated"];
    let model = &recorded.origin().model;
    assert_eq!((&translated["bytes"], &translated["model"]), (&json!(length), &json!(model)), "{listed}");
    assert_eq!(translated["build"], build_of(0), "{listed}");
    let listed = scratch.tool(["list", "--image", "image"]);
    let build = &build_of(0)[..12];
    let line = format!(
        "translations for {FOREIGN}: {count} blocks, {}.{} kB, by emulator of build {build}, CPU model {model}",
        length / 1000,
        length % 1000 / 100
    );
    listed.has(&line);
    // So does the status of the image that is registered.
    let status = namespace.run(&scratch, "$TOOL status --no-probe --image image");
    status.has(&line);
    // Another image that takes the emulator from this one has them too.
    let uninstalled =
        "for file in /usr/bin/qemu-*; do mount --bind /dev/null $file; done; ./image image -o second $FOREIGN_CPU";
    Namespace::empty().run(&scratch, uninstalled).succeeded();
    Namespace::of_image(&scratch.at("second")).run(&scratch, "./guest").printed(&kept);
}

#[test]
fn a_privileged_program_gets_none() {
    need!(Namespace, Compiler, Prelinked, Root, Kernel(6, 7));
    let scratch = with_keeper();
    image(&scratch, &[]).succeeded();
    // Its emulator is not where it is prelinked for.
    let mapped = Namespace::of_image(&scratch.at("image")).flags("POCF").mapped();
    mapped
        .run(&scratch, "chmod 4755 guest; setpriv --reuid 1000 --regid 1000 --clear-groups ./guest")
        .printed("none\n");
}

#[test]
fn an_emulator_that_is_not_prelinked_has_none() {
    need!(Namespace, Compiler);
    let scratch = with_keeper();
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    let options = ["image", "--from", &from, "-o", "image", FOREIGN, "--no-prelink", "--translate", "root"];
    let refused = scratch.tool(options);
    refused.exited(2);
    assert!(refused.err().contains("cannot be used with"), "{}", refused.err());
    scratch.tool(["image", "--from", &from, "-o", "image", FOREIGN]).succeeded();
    Namespace::of_image(&scratch.at("image")).run(&scratch, "./guest").printed("none\n");
}

#[test]
fn damaged_records_are_left_out() {
    need!(Namespace, Compiler, Prelinked, Kernel(6, 7));
    let scratch = with_keeper();
    let whole = Translations::read(&records(0)).unwrap().count();
    let mut damaged = records(0);
    // In the code of the last record.
    let last = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[last] ^= 1;
    let kept = Translations::read(&damaged).unwrap();
    assert_eq!(kept.count(), whole - 1);
    scratch.write("root/records", &damaged);
    image(&scratch, &[]).succeeded();
    let listed = scratch.tool(["list", "--image", "image", "--json"]).json();
    assert_eq!(listed[1]["translations"], whole - 1, "{listed}");
    let namespace = Namespace::of_image(&scratch.at("image"));
    namespace.run(&scratch, "./guest").printed(&format!("tb-pack, {} bytes, whole\n", kept.packed(usize::MAX).len()));
}

#[test]
fn records_of_another_emulator_are_not_embedded() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let scratch = with_keeper();
    // The same one in another build: another build ID alone.
    fs::copy(keeper(1), scratch.at("emulator")).unwrap();
    let refused = image(&scratch, &[]);
    refused.exited(1);
    assert!(refused.err().contains("cannot be embedded, as it has recorded no translations"), "{refused}");
    // A file of another version of the layout.
    let scratch = with_keeper();
    let mut other = records(0);
    other[8] += 1;
    scratch.write("root/records", other);
    let refused = image(&scratch, &[]);
    refused.exited(1);
    assert!(refused.err().contains("cannot be embedded, as it has recorded no translations"), "{refused}");
}

#[test]
fn what_cannot_be_translated_is_told() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let told = |scratch: &Scratch, options: &[&str], code: i32, line: &str| {
        let refused = image(scratch, options);
        refused.exited(code);
        assert!(refused.err().contains(line) && refused.err().lines().count() == 1, "{refused}");
        assert!(!fs::exists(scratch.at("image")).unwrap(), "nothing is left");
    };
    let scratch = with_keeper();
    // A command line that fails is no fault, as long as one runs.
    scratch.write("lines", "# a comment\n\nfirst\n");
    image(&scratch, &["--train", "lines"]).succeeded();
    fs::remove_file(scratch.at("image")).unwrap();
    told(&scratch, &["--train", "none"], 1, "none: cannot read: check the path: no such file or directory");
    scratch.write("root/records", "no records\n");
    told(
        &scratch,
        &["--train", "lines"],
        1,
        "emulator: cannot be embedded, as it has recorded no translations: leave out --translate, or name one that `ci/emulators` builds",
    );
    fs::remove_file(scratch.at("root/records")).unwrap();
    told(&scratch, &["--train", "lines"], 2, "root: none of the programs ran, so there is nothing to keep");
    scratch.probe("root/usr/bin/sh", std::env::consts::ARCH);
    told(&scratch, &[], 2, "and the image no emulator for it");
    scratch.write("root/usr/bin/sh", "#!/bin/sh\n");
    told(&scratch, &[], 2, "root: its /bin/sh is a program of no architecture in the table");
    fs::remove_file(scratch.at("root/usr/bin/sh")).unwrap();
    told(&scratch, &[], 1, "root/bin/sh: cannot read: check the path: no such file or directory");
    scratch.probe("root/usr/bin/sh", FOREIGN);
    fs::copy(saying("other", 0), scratch.at("emulator")).unwrap();
    told(&scratch, &[], 1, "emulator: cannot be embedded, as it keeps no translations");
}

#[test]
fn several_root_directories_are_translated() {
    need!(Namespace, Compiler, Prelinked, Kernel(6, 7));
    let scratch = with_keeper();
    let other = Foreign::ALL[1].name();
    root_of(&scratch, "second", FOREIGN, records(0));
    root_of(&scratch, "third", other, records(0));
    fs::copy(keeper(0), scratch.at("another")).unwrap();
    scratch.write("lines", "first\nmissing\ncrash\n");
    let froms = [format!("{FOREIGN}={}", scratch.at("emulator")), format!("{other}={}", scratch.at("another"))];
    let more = ["-v", "--from", &froms[0], "--from", &froms[1], FOREIGN, other, "--train", "lines"];
    let roots = ["--translate", "root", "--translate", "second", "--translate", "third"];
    let seen = scratch.tool([&["image", "-o", "image"], &more[..], &roots].concat());
    seen.exited(0);
    for root in ["root", "second", "third"] {
        assert!(seen.err().contains(&format!("binfmt-dispatch: {root}: 1 of 3 command lines ran\n")), "{seen}");
    }
    let count = Translations::read(&records(0)).unwrap().count();
    let listed = scratch.tool(["list", "--image", "image", "--json"]).json();
    assert_eq!((&listed[1]["translations"], &listed[2]["translations"]), (&json!(count), &json!(count)), "{listed}");
}

#[test]
fn programs_that_crash_or_are_missing_are_told() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let scratch = with_keeper();
    scratch.write("lines", "missing\ncrash\n");
    let seen = image(&scratch, &["-v", "--train", "lines"]);
    seen.exited(2);
    for line in ["missing: the root directory does not have the program", "crash: signal: 6"] {
        assert!(seen.err().contains(&format!("binfmt-dispatch: {line}")), "{seen}");
    }
    let last = seen.err().lines().last().unwrap();
    assert_eq!(
        last,
        "binfmt-dispatch: root: none of the programs ran, so there is nothing to keep: -v says how each of them ended"
    );
    assert!(!fs::exists(scratch.at("image")).unwrap(), "nothing is left");
}

#[test]
fn programs_cannot_change_the_root_directory() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let scratch = with_keeper();
    scratch.write("lines", "write\n");
    let seen = image(&scratch, &["-v", "--train", "lines"]);
    seen.exited(0);
    assert!(seen.err().contains("binfmt-dispatch: root: 1 of 1 command lines ran\n"), "{seen}");
    assert!(!fs::exists(scratch.at("root/new")).unwrap());
}

#[test]
fn an_interrupted_training_leaves_nothing() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let scratch = with_keeper();
    // The name of the test's directory is in no other process.
    let mark = scratch.path().file_name().unwrap().to_str().unwrap().to_owned();
    scratch.write("lines", format!("hang {mark}\n"));
    fs::create_dir(scratch.at("temporary")).unwrap();
    let script = r#"
        export TMPDIR=$PWD/temporary
        runs() { grep -qs "hang[ ]${PWD##*/}" /proc/[0-9]*/cmdline; }
        for signal in TERM INT HUP; do for command in "image -o image" "install --prefix $PWD/image"; do
            # Background processes of a shell ignore SIGINT.
            env --default-signal=INT $TOOL $command --from $FOREIGN_CPU=emulator $FOREIGN_CPU \
                --translate root --train lines & pid=$!
            until runs; do sleep 0.05; done
            ls temporary | wc -l
            kill -$signal $pid; wait $pid; echo $((($? - 128)))
            ls temporary; ls image 2>/dev/null
            ! runs || echo still running
        done; done
    "#;
    let seen = Namespace::empty().run(&scratch, script);
    seen.wrote("1\n15\n1\n15\n1\n2\n1\n2\n1\n1\n1\n1\n");
}

#[test]
fn a_full_disk_is_told() {
    need!(Namespace, Compiler, Kernel(6, 7));
    let scratch = with_keeper();
    scratch.write("lines", "first\n");
    fs::create_dir(scratch.at("small")).unwrap();
    let options = "--from $FOREIGN_CPU=emulator $FOREIGN_CPU --translate root --train lines";
    let run = |image: &str, size: &str| {
        let mount = format!("mount -t tmpfs -o size={size} none small");
        Namespace::empty().run(&scratch, &format!("{mount}; {image} {options}; code=$?; ls -A small; exit $code"))
    };
    // While records are made: the emulator itself says nothing.
    let seen = run("TMPDIR=$PWD/small $TOOL image -o image", "1m");
    seen.exited(1).wrote("");
    let (begin, end) = ("/small/binfmt-dispatch-", ": cannot write: free some space or choose another directory: ");
    assert!(seen.err().contains(begin) && seen.err().contains(end) && seen.err().lines().count() == 1, "{seen}");
    assert!(!fs::exists(scratch.at("image")).unwrap(), "nothing is left");
    // While the image is written.
    let seen = run("$TOOL image -o small/image", "1m");
    seen.exited(1).wrote("");
    let said = format!("binfmt-dispatch: small/image{end}");
    assert!(seen.err().starts_with(&said) && seen.err().lines().count() == 1, "{seen}");
}

#[test]
fn explain_says_what_is_translated() {
    need!(Namespace, Compiler, Prelinked, Kernel(6, 7));
    let scratch = with_keeper();
    image(&scratch, &[]).succeeded();
    let recorded = Translations::read(&records(0)).unwrap();
    let page = recorded.origin().page as usize;
    // A program with all recorded blocks that fit beside each other, each at its offset in a page.
    let (mut code, mut placed, mut bytes) = (vec![0u8; page], Vec::new(), 0);
    for (block, _) in recorded.blocks() {
        let (at, guest) = (block.header().pc as usize % page, block.guest());
        if code[at..at + guest.len()].iter().all(|byte| *byte == 0) {
            code[at..at + guest.len()].copy_from_slice(guest);
            placed.push(guest.len());
            bytes += guest.len();
        }
    }
    assert!(placed.iter().any(|len| *len >= 16), "{placed:?}");
    let program = scratch.write("translated", guest_with_code(probe(FOREIGN), &code));
    scratch.mode("translated", 0o755);
    let count = placed.len();
    let namespace = Namespace::of_image(&scratch.at("image"));
    let explained = namespace.run(&scratch, "./image explain --json ./translated").json();
    let translations = &explained["translations"];
    assert_eq!(translations["unused"], json!(null), "{translations}");
    assert_eq!((&translations["blocks"], &translations["saves"]), (&json!(count), &json!(count * 6)));
    assert_eq!(translations["files"][0]["translated"], bytes, "{translations}");
    assert_eq!(translations["files"][0]["code"], page, "{translations}");
    let explained = namespace.run(&scratch, "./image explain ./translated");
    let saves = count * 6;
    explained.has(&format!(
        "translated  {count} blocks of its code are in the image: a process that runs all of them takes about {saves} µs \
         less CPU time"
    ));
    explained.has(&format!("./translated: {count} blocks, {} % of its code", bytes * 100 / page));
    // At other offsets it is other code.
    code.rotate_right(4);
    std::fs::write(&program, guest_with_code(probe(FOREIGN), &code)).unwrap();
    let explained = namespace.run(&scratch, "./image explain ./translated");
    explained.has("translated  none of its code is among the image's translations");
    // With another CPU model none is used.
    let explained = namespace.run(&scratch, "QEMU_CPU=other ./image explain ./guest");
    let model = &recorded.origin().model;
    explained.has(&format!("translated  the image's translations are not used: they are for CPU model {model}"));
    // An image without translations says nothing of them.
    scratch.tool(["image", "--from", &format!("{FOREIGN}={}", scratch.at("emulator")), "-o", "image", FOREIGN]);
    let explained = Namespace::of_image(&scratch.at("image")).run(&scratch, "./image explain ./guest");
    assert!(!explained.out().contains("translat"), "{explained}");
}

#[test]
fn tune_compares_with_translations_too() {
    need!(Namespace, Compiler, Prelinked, Kernel(6, 7));
    let scratch = with_keeper();
    scratch.probe("root/usr/bin/ls", FOREIGN);
    let options = ["--root", "root", "--emulator", "emulator", "--compare", "--workload", "starts", "--rounds", "1"];
    let seen = scratch.tool([&["tune", FOREIGN, "--json", "json"], &options[..]].concat());
    let results: Value = serde_json::from_slice(&fs::read(scratch.at("json")).unwrap()).unwrap();
    let names: Vec<&Value> = results["contestants"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["default", "binfmt-dispatch", "with translations"], "{seen}");
    let row = &results["workloads"][0]["results"];
    assert_eq!((row[0]["samples"].as_array().unwrap().len(), row[1]["samples"].as_array().unwrap().len()), (1, 1));
    // The emulator says that it has found them, and so what the program prints differs.
    assert_eq!(row[2]["failed"], "prints something else", "{seen}");
    assert!(seen.exited(0).out().contains("starts with with translations: failed: prints something else"), "{seen}");
}
