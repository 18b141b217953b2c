//! `-L` for dynamic programs whose libraries are below a sysroot.

use dispatch_table::ArchTable;
use serde_json::json;

use crate::support::{Kind, Namespace, Observation, Report, Row, Scratch, build, dynamic_guest, need};

/// The path of the guest's dynamic linker; it never exists.
const LINKER: &str = "/nonexistent/ld-aarch64.so.1";

fn guest(linker: &str) -> Vec<u8> {
    let table = ArchTable::builtin();
    dynamic_guest(table.find("aarch64").unwrap().probe_elf(), linker)
}

/// Runs `script` with a row that has the sysroots `none`, `first` and `second`. The last two
/// contain the linker.
fn run(scratch: &Scratch, script: &str) -> Observation {
    scratch.write("emulator", build(Kind::Pie));
    scratch.write(format!("first{LINKER}"), "");
    scratch.write(format!("second{LINKER}"), "");
    let sysroots = [scratch.at("none"), scratch.at("first"), scratch.at("second")];
    let row = Row::new("aarch64", &scratch.at("emulator")).with("sysroots", json!(sysroots));
    Namespace::with_table(scratch, &row.table()).run(scratch, script)
}

#[track_caller]
fn chosen(scratch: &Scratch, script: &str, sysroot: Option<&str>) {
    let report = Report::of(&run(scratch, script));
    let argv = report.all("argv");
    let found = (argv[1] == "-L").then(|| argv[2].as_str());
    assert_eq!(found, sysroot.map(|name| scratch.at(name)).as_deref(), "{argv:?}");
}

#[test]
fn the_first_that_has_the_dynamic_linker_is_named() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("guest", guest(LINKER));
    chosen(&scratch, "./guest", Some("first"));
    chosen(&scratch, "rm -r first; ./guest", Some("second"));
    chosen(&scratch, "rm -r first second; ./guest", None);
}

#[test]
fn the_callers_choice_stands() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("guest", guest(LINKER));
    chosen(&scratch, "QEMU_LD_PREFIX=/ ./guest", None);
    chosen(&scratch, "QEMU_LD_PREFIX= ./guest", None);
    chosen(&scratch, "QEMU_LD_PREFIXX=/ ./guest", Some("first"));
}

#[test]
fn programs_that_need_none_get_none() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    chosen(&scratch, "./guest", None);
    // A dynamic linker that exists, and a relative path of one.
    scratch.write("guest", guest("/bin/sh"));
    chosen(&scratch, "mkdir -p first/bin; touch first/bin/sh; ./guest", None);
    scratch.write("guest", guest("ld.so"));
    chosen(&scratch, "touch first/ld.so; ./guest", None);
}

#[test]
fn headers_that_lead_nowhere_do_no_harm() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let good = guest(LINKER);
    // e_phoff, the offset and the size of PT_INTERP.
    for (field, name) in [(32, "table"), (64 + 8, "offset"), (64 + 32, "size")] {
        for value in [u64::MAX, u64::MAX / 2, 1 << 32, 1 << 20, 0] {
            let mut bad = good.clone();
            bad[field..field + 8].copy_from_slice(&value.to_le_bytes());
            scratch.write("guest", bad);
            let report = Report::of(&run(&scratch, "./guest"));
            assert!(!report.all("argv").contains(&"-L".to_owned()), "{name} {value:#x}");
        }
    }
}

#[test]
fn names_and_headers_far_into_the_file_are_followed() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let near = guest(LINKER);
    // The table and the name 64 KiB into the file.
    const FAR: usize = 0x1_0000;
    let mut far = near.clone();
    far.resize(FAR, 0);
    far.extend(&near);
    far[32..40].copy_from_slice(&(FAR as u64 + 64).to_le_bytes());
    let offset = FAR + 64 + 8;
    let name = u64::from_le_bytes(far[offset..offset + 8].try_into().unwrap()) + FAR as u64;
    far[offset..offset + 8].copy_from_slice(&name.to_le_bytes());
    scratch.write("guest", far);
    chosen(&scratch, "./guest", Some("first"));
}
