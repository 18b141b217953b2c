//! The emulators that `unshare` embeds: programs also run in root directories without one.

use serde_json::json;

use crate::support::{Kind, Need, Observation, Row, Scratch, build, guest, need, probe};

/// A directory with a table in which `emulator` is that of aarch64, `exec` that of riscv64, which is
/// always executed, and no other row has one. Its root directory has a program of each, and no
/// emulator.
fn with_emulators(aarch64: Kind) -> Scratch {
    Need::Namespace.is_stated();
    let scratch = Scratch::new();
    scratch.write("emulator", build(aarch64));
    scratch.write("exec", build(Kind::Pie));
    let builtin = dispatch_table::ArchTable::builtin();
    let others = builtin.architectures().iter().filter(|row| !["aarch64", "riscv64"].contains(&row.name.as_str()));
    let mut rows: Vec<Row> = others.map(|row| Row::new(&row.name, "/no/such")).collect();
    rows.push(Row::new("aarch64", &scratch.at("emulator")));
    rows.push(Row::new("riscv64", &scratch.at("exec")).with("strategy", json!("exec")));
    scratch.write("table", Row::table_of(&rows.iter().collect::<Vec<_>>()));
    scratch.write("root/aarch64", probe("aarch64"));
    scratch.write("root/riscv64", probe("riscv64"));
    scratch
}

/// Runs the program of an architecture by `unshare`, in the root directory.
fn in_root(scratch: &Scratch, options: &[&str], name: &str) -> Observation {
    let unshare = [&["--table", "table", "unshare"], options, &["--", "chroot", "root", name]].concat();
    scratch.tool(unshare)
}

#[test]
fn an_emulator_is_not_needed_in_a_root_directory() {
    need!(Namespace, Compiler);
    let scratch = with_emulators(Kind::Pie);
    for options in [&[][..], &["-a", "arm64"]] {
        let seen = in_root(&scratch, options, "/aarch64");
        assert!(seen.exited(0).out().contains("argv"), "{seen}");
    }
}

#[test]
fn on_request_it_is_opened_by_its_path() {
    need!(Namespace, Compiler);
    let scratch = with_emulators(Kind::Pie);
    let missing = |name: &str, emulator: &str| {
        format!(
            "{name}: no emulator for {} at {} or the table's other places: install qemu-user-static",
            &name[1..],
            scratch.at(emulator)
        )
    };
    in_root(&scratch, &["--no-emulators"], "/aarch64").not_started(127, &missing("/aarch64", "emulator"));
    let seen = scratch.tool(["--table", "table", "unshare", "--no-emulators", "--", "root/aarch64"]);
    assert!(seen.exited(0).out().contains("argv"), "{seen}");
}

#[test]
fn what_cannot_be_embedded_is_opened_by_its_path() {
    need!(Namespace, Compiler);
    for kind in [Kind::Dynamic, Kind::ExecutableStack] {
        let scratch = with_emulators(kind);
        let seen = scratch.tool(["-v", "--table", "table", "unshare", "--", "root/aarch64"]);
        let reason =
            if kind == Kind::Dynamic { "is dynamically linked and not static" } else { "wants an executable stack" };
        let line = format!("binfmt-dispatch: {}: opened by its path, as it {reason}\n", scratch.at("emulator"));
        assert!(seen.exited(0).out().contains("argv") && seen.err().contains(&line), "{seen}");
        in_root(&scratch, &[], "/aarch64").exited(127);
    }
    // An image is no emulator.
    let scratch = with_emulators(Kind::Pie);
    scratch.shell("$TOOL image --no-emulators -o image && mv image emulator").succeeded();
    let seen = scratch.tool(["-v", "--table", "table", "unshare", "--", "root/aarch64"]);
    let line = format!("{}: opened by its path, as it is an image itself\n", scratch.at("emulator"));
    assert!(seen.err().contains(&line), "{seen}");
    // An emulator that its row always executes is needed at its path, too.
    let scratch = with_emulators(Kind::Pie);
    in_root(&scratch, &[], "/riscv64").exited(127);
    for options in [&[][..], &["-a", "riscv64"]] {
        scratch.tool([&["--table", "table", "unshare"], options, &["--", "root/riscv64"]].concat()).exited(0);
    }
}

#[test]
fn a_file_that_only_looks_like_an_emulator_does_not_keep_the_others_from_running() {
    need!(Namespace, Compiler);
    let scratch = with_emulators(Kind::Pie);
    // Its headers are right, except for the sections, which only an image's writer reads.
    let mut emulator = build(Kind::Pie);
    emulator[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    scratch.write("emulator", emulator);
    let seen = scratch.tool(["--table", "table", "unshare", "--", "root/aarch64"]);
    let (start, end) = ("cannot be embedded, as it is damaged (", "; all emulators are opened by their paths\n");
    assert!(seen.exited(0).err().contains(start) && seen.err().ends_with(end), "{seen}");
    assert!(seen.out().contains("argv"), "{seen}");
}

#[test]
fn an_image_that_has_them_is_registered_itself() {
    need!(Namespace, Compiler);
    let scratch = with_emulators(Kind::Pie);
    scratch.tool(["--table", "table", "image", "-o", "image"]).succeeded();
    let root = |options: &[&str]| {
        scratch.run("./image", [&["-v", "unshare"], options, &["--", "chroot", "root", "/aarch64"]].concat())
    };
    let as_it_is = || {
        let seen = root(&[]);
        assert!(seen.exited(0).out().contains("argv") && !seen.err().contains(": put into the image\n"), "{seen}");
    };
    as_it_is();
    std::fs::remove_file(scratch.at("emulator")).unwrap();
    as_it_is();
    let seen = root(&["--no-emulators", "-a", "arm64"]);
    assert!(seen.exited(127).err().contains("binfmt-dispatch: aarch64: no emulator: "), "{seen}");
}

#[test]
fn an_image_that_lacks_one_is_completed() {
    need!(Namespace, Guests, Qemu);
    let scratch = Scratch::new();
    for name in ["arm64", "s390x"] {
        scratch.write(format!("root/{name}/busybox"), std::fs::read(guest(name).busybox).unwrap());
    }
    scratch.tool(["image", "-o", "image", "arm64"]).succeeded();
    let script = "for name in arm64 s390x; do chroot root /$name/busybox uname -m; done";
    let unshare = ["unshare", "-a", "arm64", "-a", "s390x", "--", "sh", "-c", script];
    scratch.run("./image", unshare).printed("aarch64\ns390x\n");
}
