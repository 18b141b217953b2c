//! Translations beside an embedded emulator: recorded when the image is written, and found by the
//! emulator when it starts.

use std::fs;
use std::os::unix::fs::symlink;

use dispatch_translations::Translations;

use crate::support::{FOREIGN, Namespace, Observation, Scratch, compiled, need};

/// What an emulator has recorded, with its build ID.
const RECORDS: &str = "fuzz/corpus/translations/real";

/// A directory with an emulator that keeps translations, a guest, and the root directory `root`,
/// whose shell is foreign.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let records = fs::read(RECORDS).unwrap();
    let build: String =
        Translations::read(&records).unwrap().origin().build[..20].iter().map(|byte| format!("{byte:02x}")).collect();
    let options = ["-static-pie", "-fPIE", &format!("-Wl,--build-id=0x{build}")];
    fs::copy(compiled("keep", "tests/support/emulators/keep.c", &options), scratch.at("emulator")).unwrap();
    for directory in ["usr/bin", "proc", "dev", "tmp"] {
        fs::create_dir_all(scratch.path().join("root").join(directory)).unwrap();
    }
    symlink("/usr/bin", scratch.at("root/bin")).unwrap();
    scratch.probe("root/usr/bin/sh", FOREIGN);
    scratch.mode("root/usr/bin/sh", 0o755);
    scratch.write("root/records", records);
    scratch.probe("guest", FOREIGN);
    scratch.mode("guest", 0o755);
    scratch
}

/// Writes the image `image` with the translations of `root`.
fn image(scratch: &Scratch, options: &[&str]) -> Observation {
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    scratch.tool([&["image", "--from", &from, "-o", "image", FOREIGN, "--translate", "root"], options].concat())
}

#[test]
fn they_are_found_where_the_emulator_is_prelinked() {
    need!(Namespace, Compiler, Prelinked);
    let scratch = scratch();
    image(&scratch, &[]).succeeded();
    let recorded = Translations::read(&fs::read(RECORDS).unwrap()).unwrap();
    let (count, length) = (recorded.count(), recorded.to_bytes().len());
    let namespace = Namespace::of_image(&scratch.at("image"));
    let kept = format!("tb-recs, {length} bytes, whole\n");
    namespace.run(&scratch, "./guest").printed(&kept);
    // The image says so.
    let listed = scratch.tool(["list", "--image", "image", "--json"]).json();
    assert_eq!(listed[1]["translations"], count, "{listed}");
    assert!(listed[0]["translations"].is_null(), "{listed}");
    let listed = scratch.tool(["list", "--image", "image"]);
    assert!(listed.out().contains(&format!("{FOREIGN}, with {count} blocks translated")), "{}", listed.out());
    // Another image that takes the emulator from this one has them too.
    let uninstalled =
        "for file in /usr/bin/qemu-*; do mount --bind /dev/null $file; done; ./image image -o second $FOREIGN_CPU";
    Namespace::empty().run(&scratch, uninstalled).succeeded();
    Namespace::of_image(&scratch.at("second")).run(&scratch, "./guest").printed(&kept);
}

#[test]
fn a_privileged_program_gets_none() {
    need!(Namespace, Compiler, Prelinked, Root);
    let scratch = scratch();
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
    let scratch = scratch();
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
    need!(Namespace, Compiler, Prelinked);
    let scratch = scratch();
    let whole = Translations::read(&fs::read(RECORDS).unwrap()).unwrap().count();
    let mut damaged = fs::read(RECORDS).unwrap();
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
    namespace.run(&scratch, "./guest").printed(&format!("tb-recs, {} bytes, whole\n", kept.to_bytes().len()));
}

#[test]
fn records_of_another_emulator_are_not_embedded() {
    need!(Namespace, Compiler);
    let scratch = scratch();
    // The same one in another build: another build ID alone.
    let options = ["-static-pie", "-fPIE", "-Wl,--build-id=0x0123456789012345678901234567890123456789"];
    fs::copy(compiled("keep-other", "tests/support/emulators/keep.c", &options), scratch.at("emulator")).unwrap();
    let refused = image(&scratch, &[]);
    refused.exited(1);
    assert!(refused.err().contains("cannot be embedded, as it has recorded no translations"), "{refused}");
    // A file of another version of the layout.
    let scratch = self::scratch();
    let mut records = fs::read(RECORDS).unwrap();
    records[8] += 1;
    scratch.write("root/records", records);
    let refused = image(&scratch, &[]);
    refused.exited(1);
    assert!(refused.err().contains("cannot be embedded, as it has recorded no translations"), "{refused}");
}

#[test]
fn what_cannot_be_translated_is_told() {
    need!(Namespace, Compiler);
    let told = |scratch: &Scratch, options: &[&str], code: i32, line: &str| {
        let refused = image(scratch, options);
        refused.exited(code);
        assert!(refused.err().contains(line) && refused.err().lines().count() == 1, "{refused}");
        assert!(!fs::exists(scratch.at("image")).unwrap(), "nothing is left");
    };
    let scratch = scratch();
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
    fs::copy(
        compiled("say-other", "tests/support/emulators/say.c", &["-static", "-DWORD=\"x\"", "-DSTATUS=0"]),
        scratch.at("emulator"),
    )
    .unwrap();
    told(&scratch, &[], 1, "emulator: cannot be embedded, as it keeps no translations");
}
