//! The descriptors that an emulator finds: the caller's, and the guest at 3 or above.

use std::fmt::Write;

use crate::support::{Kind, Namespace, Report, Scratch, need, reporting};

#[test]
fn the_guest_is_never_a_standard_descriptor() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed] {
        let (scratch, row) = reporting(kind);
        let namespace = Namespace::with_table(&scratch, &row.table());
        for closed in 0..8u8 {
            let mut script = "REPORT=report ./guest".to_owned();
            let mut open = String::new();
            for descriptor in 0..3 {
                if closed >> descriptor & 1 == 1 {
                    write!(script, " {descriptor}>&-").unwrap();
                } else {
                    write!(open, " {descriptor}").unwrap();
                }
            }
            let seen = namespace.run(&scratch, &format!("{script}; cat report"));
            let report = Report::of(&seen);
            let guest: i32 = report.number("aux.2");
            assert!(guest >= 3, "{seen}");
            report.is("descriptors", format!("{open} {guest}").trim_start());
            report.is("execfd-start", r"\x7fELF").is("execfd-offset", "0").is("execfd-flags", "0");
        }
    }
}

#[test]
fn descriptors_of_the_caller_are_left_alone() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let namespace = Namespace::with_table(&scratch, &row.table());
    let report = Report::of(&namespace.run(&scratch, "exec 3<guest 4<guest 7<guest 100<guest; ./guest"));
    report.is("descriptors", "0 1 2 3 4 5 7 100").is("aux.2", "5");
    let report = Report::of(&namespace.run(&scratch, "exec 3<guest 4<guest; REPORT=r ./guest <&-; cat r"));
    let guest: u32 = report.number("aux.2");
    report.is("descriptors", &format!("1 2 3 4 {guest}"));
}

#[test]
fn a_full_descriptor_table_is_refused_in_words() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let emulator = scratch.at("emulator");
    let namespace = Namespace::with_table(&scratch, &row.table());
    let line =
        format!("./guest: cannot open the emulator {emulator}: too many open files: raise the limit (ulimit -n)");
    namespace.run(&scratch, "ulimit -n 4; ./guest").not_started(126, &line);
}

#[test]
fn a_program_without_a_name_may_be_descriptor_0() {
    need!(Namespace, Guests, Qemu, Compiler);
    let script = "cp $GUESTS/s390x/bin/busybox deleted; exec <deleted; rm deleted
        exec $CALL /proc/self/fd/0 busybox uname -m";
    Namespace::full().run(&Scratch::new(), script).printed("s390x\n");
}
