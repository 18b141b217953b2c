//! `-L` for dynamic programs whose libraries are below a sysroot.

use dispatch_table::ArchTable;
use serde_json::json;

use crate::support::{FOREIGN, Kind, Namespace, Observation, Report, Row, Scratch, TOOL, build, dynamic_guest, need};

/// The path of the guest's dynamic linker; it never exists.
const LINKER: &str = "/nonexistent/ld-aarch64.so.1";

fn guest(linker: &str) -> Vec<u8> {
    let table = ArchTable::builtin();
    dynamic_guest(table.find(FOREIGN).unwrap().probe_elf(), linker)
}

/// Runs `script` with a row that has the sysroots `none`, `first` and `second`. The last two
/// contain the linker.
fn run(scratch: &Scratch, script: &str) -> Observation {
    scratch.write("emulator", build(Kind::Pie));
    scratch.write(format!("first{LINKER}"), "");
    scratch.write(format!("second{LINKER}"), "");
    let sysroots = [scratch.at("none"), scratch.at("first"), scratch.at("second")];
    let row = Row::new(FOREIGN, &scratch.at("emulator")).with("sysroots", json!(sysroots));
    Namespace::with_table(scratch, &row.table()).run(scratch, script)
}

#[track_caller]
fn chosen(scratch: &Scratch, script: &str, sysroot: Option<&str>) {
    let report = Report::of(&run(scratch, script));
    let argv = report.all("argv");
    let found = (argv[1] == "-L").then(|| argv[2].as_str());
    let at = |name: &str| if name == "." { name.to_owned() } else { scratch.at(name) };
    assert_eq!(found, sysroot.map(at).as_deref(), "{argv:?}");
}

#[test]
fn the_first_that_has_the_dynamic_linker_is_named() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("guest", guest(LINKER));
    chosen(&scratch, "./guest", Some("first"));
    chosen(&scratch, "rm -r first; ./guest", Some("second"));
}

/// What the interpreter and `run` say of the guest with [`LINKER`].
const MISSING: &str = "./guest: its dynamic linker /nonexistent/ld-aarch64.so.1 cannot be found: \
                       install the C library of its architecture";

#[test]
fn a_dynamic_linker_that_is_nowhere_is_said() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("guest", guest(LINKER));
    run(&scratch, "rm -r first second; ./guest").not_started(126, MISSING);
    run(&scratch, &format!("rm -r first second; {TOOL} --table table.json run ./guest")).refused(126, MISSING);
    // Whoever tells the emulator where to look is not contradicted.
    let option = format!("rm -r first second; {TOOL} --table table.json run");
    chosen(&scratch, &format!("{option} -L . ./guest"), Some("."));
    chosen(&scratch, &format!("{option} --emulator-option -x ./guest"), None);
    chosen(&scratch, "rm -r first second; QEMU_LD_PREFIX=/ ./guest", None);
    // A place that cannot be looked at may have it.
    chosen(&scratch, "rm -r first second; ln -s first first; ./guest", None);
}

#[test]
fn emulators_that_look_elsewhere_are_started() {
    need!(Namespace, Compiler);
    for (field, value) in
        [("argv0", json!("none")), ("options", json!(["-L", "/"])), ("environment", json!({"QEMU_LD_PREFIX": "/"}))]
    {
        let scratch = Scratch::new();
        scratch.write("emulator", build(Kind::Pie));
        scratch.write("guest", guest(LINKER));
        let row = Row::new(FOREIGN, &scratch.at("emulator")).with(field, value);
        Report::of(&Namespace::with_table(&scratch, &row.table()).run(&scratch, "./guest"));
    }
}

#[test]
fn where_qemu_looks_by_itself_it_is_found() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.write("guest", guest(LINKER));
    for directory in [format!("/etc/qemu-binfmt/{FOREIGN}"), "/etc/qemu-binfmt/arm".to_owned()] {
        scratch.write(format!(".{directory}{LINKER}"), "");
        let seen = run(&scratch, "rm -r first second; mount --bind etc /etc || exit 1; ./guest");
        if directory.ends_with("/arm") {
            seen.not_started(126, MISSING);
        } else {
            assert_eq!(Report::of(&seen).all("argv")[1..3], ["-L", &*directory], "{seen}");
        }
        std::fs::remove_dir_all(scratch.at("etc")).unwrap();
    }
}

#[test]
fn qemu_itself_ends_with_255() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    scratch.write("guest", guest(LINKER));
    let direct = Namespace::direct().run(&scratch, "./guest");
    assert!(direct.code() == 255 && direct.err().contains(&format!("Could not open '{LINKER}'")), "{direct}");
    Namespace::ours().run(&scratch, "./guest").not_started(126, MISSING);
    Namespace::full().run(&scratch, "./guest").not_started(126, MISSING);
}

#[test]
fn of_a_privileged_program_the_emulator_says_it() {
    need!(Namespace, Compiler, Root);
    let scratch = Scratch::new();
    scratch.write("emulator", build(Kind::Pie));
    scratch.write("guest", guest(LINKER));
    let namespace = Namespace::embedding(&scratch, &[]).flags("POCF").mapped();
    let script = "chmod 4755 guest; exec setpriv --reuid 1000 --regid 1000 --clear-groups ./guest";
    Report::of(&namespace.run(&scratch, script)).is("aux.23", "1");
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
    scratch.probe("guest", FOREIGN);
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
