//! The hand-over as the emulator sees it: argv, environment, auxiliary vector, registers, memory.
//! The emulators in these tests only report; they never read the guest.

use serde_json::json;

use crate::support::{Kind, Namespace, Report, Row, Scratch, need, reporting};

/// `AT_FLAGS` (uapi/linux/auxvec.h).
const FLAGS: &str = "aux.8";
const BASE: &str = "aux.7";
const EXECFD: &str = "aux.2";

/// The stack pointer, and the other registers but those that the jump needs: x16 and t0.
#[cfg(target_arch = "x86_64")]
const REGISTERS: (&str, &str) = ("rsp", "rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15");
#[cfg(target_arch = "aarch64")]
const REGISTERS: (&str, &str) = (
    "sp",
    "x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14 x15 x17 x18 x19 x20 x21 x22 x23 x24 x25 x26 x27 x28 x29 x30",
);
#[cfg(target_arch = "riscv64")]
const REGISTERS: (&str, &str) =
    ("sp", "ra gp tp t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6");

/// The registers that are zero after an exec, as the report names them.
pub fn clear_registers() -> impl Iterator<Item = String> {
    REGISTERS.1.split(' ').chain(["vector"]).map(|name| format!("register.{name}"))
}

/// Asserts that the registers are as after an exec.
#[track_caller]
pub fn registers_are_clear(report: &Report) {
    for key in clear_registers() {
        report.is(&key, "0");
    }
    assert_eq!(report.number::<u64>(&format!("register.{}", REGISTERS.0)) % 16, 0);
    #[cfg(target_arch = "x86_64")]
    {
        // Apart from CF, PF, AF, ZF, SF and OF: interrupts on, and the bit that is always set.
        assert_eq!(report.number::<u64>("rflags") & !0x8d5, 0x202);
        // The floating point units as psABI 3.4.1 has them.
        report.is("mxcsr", "8064").is("fcw", "895");
    }
    #[cfg(target_arch = "aarch64")]
    report.is("fpcr", "0").is("fpsr", "0");
    #[cfg(target_arch = "riscv64")]
    report.is("fcsr", "0");
}

/// What the emulator reports when `script` starts `./guest`, which prints it.
#[track_caller]
fn report(scratch: &Scratch, row: &Row, script: &str) -> Report {
    Report::of(&Namespace::with_table(scratch, &row.table()).run(scratch, script))
}

#[test]
fn argv_follows_the_rows_convention() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let emulator = scratch.at("emulator");
    let row = row.with("options", json!(["-B", "0", "-x"]));
    let script = "$CALL ./guest zero -one 'two words' ''";
    for (convention, expected, flags) in [
        ("dash-zero", &["-B", "0", "-x", "-0", "zero", "--", "./guest", "-one", "two words", ""][..], "0"),
        ("auxv", &["-B", "0", "-x", "--", "./guest", "zero", "-one", "two words", ""], "1"),
        ("none", &["-B", "0", "-x", "--", "./guest", "-one", "two words", ""], "0"),
    ] {
        let report = report(&scratch, &row.clone().with("argv0", json!(convention)), script);
        report.argv(&[&[&emulator[..]], expected].concat()).is(FLAGS, flags);
    }
}

#[test]
fn without_flag_p_the_path_stands_in_for_argv0() {
    // Older kernels do not say whether argv[0] is there, so the interpreter assumes that the entry
    // has the flag.
    need!(Namespace, Compiler, Kernel(5, 12));
    let (scratch, row) = reporting(Kind::Pie);
    let namespace = Namespace::with_table(&scratch, &row.table()).flags("OF");
    let report = Report::of(&namespace.run(&scratch, "$CALL ./guest zero one two"));
    report.argv(&[&scratch.at("emulator"), "-0", "./guest", "--", "./guest", "one", "two"]).is(FLAGS, "0");
    assert_eq!(report.get("proc-cmdline"), "./guest\\x00one\\x00two\\x00");
}

#[test]
fn an_empty_argv_gets_an_empty_argv0() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let report = report(&scratch, &row, "$CALL ./guest");
    report.argv(&[&scratch.at("emulator"), "-0", "", "--", "./guest"]).is("proc-cmdline", "\\x00");
}

#[test]
fn bytes_of_every_kind_pass() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let report = report(&scratch, &row, r"env -i $'A\x01\xff=\x80' =x ./guest $'\x01\x7f\xff\n' -- -0 '-- '");
    report.argv(&[&scratch.at("emulator"), "-0", "./guest", "--", "./guest", r"\x01\x7f\xff\x0a", "--", "-0", "-- "]);
    assert_eq!(report.all("env"), [r"A\x01\xff=\x80", "=x"]);
}

#[test]
fn the_rows_settings_are_made_unless_the_caller_made_them() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Fixed);
    let row = row.with("environment", json!({"QEMU_A": "ours", "B": "ours", "C": "ours"}));
    let report = report(&scratch, &row, "env -i B= X=1 CC=2 C=theirs=x ./guest");
    assert_eq!(report.all("env"), ["QEMU_A=ours", "B=", "X=1", "CC=2", "C=theirs=x"]);
    // Other processes see the caller's arguments.
    report.is("proc-environ", r"B=\x00X=1\x00CC=2\x00C=theirs=x\x00");
}

#[test]
fn the_vector_describes_the_emulator_and_is_the_kernels_otherwise() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned] {
        let (scratch, row) = reporting(kind);
        let report = report(
            &scratch,
            &row,
            "./guest; stat -c 'guest-inode %i' guest; cp emulator native; ./native | sed 's/^/native./'",
        );
        for fact in ["own-phdr", "own-phnum", "own-entry", "vdso", "random"] {
            report.is(fact, "1");
        }
        report.is(BASE, "0").is(FLAGS, "0").is("aux.4", "56").is("execfn", "./guest");
        report.is("execfd-offset", "0").is("execfd-flags", "0").is("execfd-start", r"\x7fELF");
        report.is("execfd-inode", report.get("guest-inode"));
        // AT_PAGESZ, AT_HWCAP, AT_CLKTCK, AT_UID to AT_EGID, AT_SECURE.
        for number in [6, 16, 17, 11, 12, 13, 14, 23] {
            report.is(&format!("aux.{number}"), report.get(&format!("native.aux.{number}")));
        }
        // AT_HWCAP2 is not on every CPU. AT_MINSIGSTKSZ exists since Linux 5.14.
        for number in ["26", "51"] {
            assert_eq!(report.all(&format!("aux.{number}")), report.all(&format!("native.aux.{number}")));
        }
    }
}

#[test]
fn registers_and_stack_are_as_after_an_exec() {
    need!(Namespace, Compiler);
    for kind in [Kind::Pie, Kind::Fixed] {
        let (scratch, row) = reporting(kind);
        // The alignment depends on the block's size, so all remainders are tried.
        for arguments in 0..4 {
            let report = report(&scratch, &row, &format!("./guest {}", "x ".repeat(arguments)));
            registers_are_clear(&report);
        }
    }
}

#[test]
fn the_emulator_is_mapped_as_its_headers_say() {
    need!(Namespace, Compiler);
    for (kind, align) in [(Kind::Pie, 0x1000), (Kind::Fixed, 0x1000), (Kind::Aligned, 0x20_0000)] {
        let (scratch, row) = reporting(kind);
        // Addresses are random, so several starts give several chances of a wrong alignment.
        for _ in 0..4 {
            let report = report(&scratch, &row, "./guest");
            report.is("bss-dirty-at-entry", "0").is("zeros-dirty", "0").is("data", "17 4711 42 12345");
            report.is("words", "relocated pointers are right").is("writable-code", "0");
            assert_eq!(report.number::<u64>("base") % align, 0, "{kind:?}");
        }
    }
}

#[test]
fn signals_are_as_the_caller_left_them() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let script =
        "trap '' INT PIPE; env --block-signal=HUP ./guest; env --block-signal=HUP ./emulator | sed 's/^/native./'";
    let report = report(&scratch, &row, script);
    // SigPnd, ShdPnd, SigBlk, SigIgn and SigCgt, as a native program finds them in the same place.
    let masks = |status: &str| -> Vec<String> {
        status
            .split("\\x0a")
            .filter(|line| line.contains("Pnd:") || line.starts_with("Sig"))
            .skip(1)
            .map(str::to_owned)
            .collect()
    };
    let found = masks(report.get("proc-status"));
    assert_eq!(found, masks(report.get("native.proc-status")));
    assert!(found.contains(&r"SigBlk:\x090000000000000001".to_owned()), "{found:?}");
    report.is("proc-comm", r"guest\x0a");
}

#[test]
fn a_thousand_variables_and_a_mebibyte_of_arguments_pass() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let script = "for i in {1..1000}; do export VARIABLE_$i=$i; done
        big=$(printf '%0110000d' 0); ./guest first $big $big $big $big $big $big $big $big $big last";
    let report = report(&scratch, &row, script);
    let variables = report.all("env").iter().filter(|variable| variable.starts_with("VARIABLE_"));
    assert_eq!(variables.count(), 1000);
    let lengths: Vec<usize> = report.all("argv")[5..].iter().map(String::len).collect();
    assert_eq!(lengths, [&[5][..], &[110_000; 9], &[4]].concat());
    assert_eq!(report.get("proc-cmdline").len(), "./guest\\x00first\\x00last\\x00".len() + 9 * 110_004);
}

#[test]
fn the_vector_is_there_without_a_single_argument_or_variable() {
    need!(Namespace, Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let report = report(&scratch, &row, "env -i ./guest");
    assert_eq!(report.all("env"), [""; 0]);
    assert!(report.number::<u64>(EXECFD) >= 3);
}
