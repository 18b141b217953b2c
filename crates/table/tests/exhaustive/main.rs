//! The proof that the kernel's rules and the interpreter's choice are the same, for every ELF
//! header there is.
//!
//! Once started, an interpreter cannot hand the file back. A rule must therefore accept exactly the
//! headers for which [`Guest::identify`] and [`dispatch_core::Table::choose`] find the rule's row.
//! Together, these sweeps show it:
//!
//! * the **grid** combines everything that a row may look at: machine, class, byte order, flags,
//!   OSABI, type;
//! * the **strangers** are all machine numbers that no row has, against each rule when everything
//!   else fits it;
//! * the **unchosen** are the same numbers in every combination of the rest, against every row;
//! * the **bytes** vary every byte of a header that a rule accepts, whatever its meaning.

mod headers;
mod proof;
mod wrong;

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use dispatch_core::Guest;
use dispatch_core::elf::{self, Class, Data, Machine};
use dispatch_table::{ArchTable, Architecture};

use headers::{accepted, header, set, unseen, variant};
use proof::{Disagreement, MACHINES, Outcome, Subject, subsets};

#[track_caller]
fn agreed(what: &str, start: Instant, outcome: Outcome) -> u64 {
    let count = outcome.unwrap_or_else(|disagreement| panic!("{what}: {disagreement:02x?}"));
    println!("{what}: {count} headers in {:?}", start.elapsed());
    count
}

/// Runs a sweep in two threads, over every second machine number each.
fn halved(machines: &[u16], sweep: impl Fn(&mut dyn Iterator<Item = u16>) -> Outcome + Sync) -> Outcome {
    thread::scope(|scope| {
        let odd = scope.spawn(|| sweep(&mut machines.iter().copied().skip(1).step_by(2)));
        let even = sweep(&mut machines.iter().copied().step_by(2))?;
        Ok::<u64, Disagreement>(even + odd.join().expect("the thread ends")?)
    })
}

#[test]
fn kernel_and_interpreter_agree_on_every_header() {
    let subject = Subject::of(&ArchTable::builtin());
    let near: Vec<u16> = subject.near().into_iter().collect();
    let far: Vec<u16> = MACHINES.filter(|machine| !near.contains(machine)).collect();

    let fine = agreed("grid", Instant::now(), halved(&near, |machines| subject.grid(machines)));
    let coarse = agreed("coarse grid", Instant::now(), halved(&far, |machines| subject.coarse_grid(machines)));
    let unchosen = agreed("unchosen", Instant::now(), halved(&far, |machines| subject.unchosen(machines)));
    let strangers = agreed("strangers", Instant::now(), subject.strangers());
    let bytes = agreed("bytes", Instant::now(), subject.bytes());

    // Detects a sweep that has silently become empty.
    let entries = subject.entries.len() as u64;
    assert!(near.len() > 70 && fine >= near.len() as u64 * 4 * 2 * 32 * 256, "{fine} in the grid");
    assert!(coarse >= far.len() as u64 * 4 * 2 * 2 * 14, "{coarse} in the coarse grid");
    assert!(unchosen >= far.len() as u64 * 4 * 16 * 256, "{unchosen} unchosen");
    assert!(strangers > entries * 65_000 * 4, "{strangers} strangers");
    assert!(bytes > entries * 44 * 256, "{bytes} in bytes");
}

#[test]
fn only_executables_are_accepted() {
    let subject = Subject::of(&ArchTable::builtin());
    for entry in &subject.entries {
        let mut header = accepted(&entry.rule);
        let (_, data) = variant(&header).expect("rules compare class and byte order");
        for kind in 0..=u16::MAX {
            set(&mut header, elf::TYPE, &data.u16_bytes(kind));
            let executable = kind == elf::ET_EXEC || kind == elf::ET_DYN;
            assert_eq!(Guest::identify(&header).is_ok(), executable, "type {kind:#x}");
            assert_eq!(entry.rule.accepts(&header), executable, "{}: type {kind:#x}", entry.name);
        }
    }
}

/// Checks the claim that [`unseen`] makes.
#[test]
fn what_rules_do_not_see_is_refused_by_the_interpreter() {
    let subject = Subject::of(&ArchTable::builtin());
    for entry in &subject.entries {
        let good = accepted(&entry.rule);
        let (class, _) = variant(&good).expect("rules compare class and byte order");
        for offset in unseen(class).into_iter().flatten() {
            let mut header = good.clone();
            header[offset] ^= 0x40;
            assert!(entry.rule.accepts(&header), "{}: byte {offset}", entry.name);
            assert!(Guest::identify(&header).is_err(), "{}: byte {offset}", entry.name);
        }
        // The file's length does not matter either: the kernel continues a short one with zeros.
        for len in 0..good.len() {
            assert!(Guest::identify(&good[..len]).is_err(), "{}: {len} bytes", entry.name);
        }
    }
}

/// The headers of one architecture's programs: all OSABI values; and if it compares flags, all
/// combinations of the bits that it ignores and others compare (0xe020), and one more bit.
fn programs(architecture: &Architecture) -> impl Iterator<Item = Vec<u8>> + '_ {
    let &Architecture { class, data, flags, .. } = architecture;
    let (mask, value) = flags.map_or((0, 0), |flags| (flags.mask, flags.value));
    let flags = move || subsets(0xe030 & !mask).map(move |free| free | value);
    architecture.machine.iter().flat_map(move |machine| {
        flags().flat_map(move |flags| {
            (0..=u8::MAX).map(move |osabi| {
                let mut header = header(class, data, elf::ET_DYN, Machine(machine.number));
                header[elf::ident::OSABI] = osabi;
                set(&mut header, class.flags_offset(), &data.u32_bytes(flags));
                header
            })
        })
    })
}

#[test]
fn programs_of_a_host_are_left_to_it() {
    let table = ArchTable::builtin();
    let hosts: BTreeSet<&String> = table.architectures().iter().flat_map(|a| &a.native_on).collect();
    for host in hosts {
        let (native, foreign): (Vec<_>, Vec<_>) =
            table.architectures().iter().partition(|architecture| architecture.native_on.contains(host));
        let rules: Vec<_> = foreign.iter().flat_map(|architecture| architecture.rules()).collect();
        for header in native.iter().flat_map(|architecture| programs(architecture)) {
            let taken = rules.iter().find(|entry| entry.rule.accepts(&header));
            assert!(taken.is_none(), "{host}: {} would take {header:02x?}", taken.unwrap().name);
        }
    }
}

/// The same, without the table's statement of what a host runs (Linux, `elf_check_arch` and
/// `compat_elf_check_arch` of arch/x86, arch/arm64 and arch/riscv).
#[test]
fn programs_of_common_hosts_are_left_to_them() {
    let kinds: [(&str, u16, Class); 9] = [
        ("x86_64", 62, Class::Elf64),
        ("x86_64", 62, Class::Elf32), // x32
        ("x86_64", 3, Class::Elf32),
        ("x86_64", 6, Class::Elf32),
        ("aarch64", 183, Class::Elf64),
        ("aarch64", 183, Class::Elf32), // ILP32
        ("aarch64", 40, Class::Elf32),
        ("riscv64", 243, Class::Elf64),
        ("riscv64", 243, Class::Elf32),
    ];
    let table = ArchTable::builtin();
    for (host, machine, class) in kinds {
        let mut header = header(class, Data::Little, elf::ET_EXEC, Machine(machine));
        for osabi in 0..=u8::MAX {
            header[elf::ident::OSABI] = osabi;
            for architecture in
                table.architectures().iter().filter(|a| !a.native_on.iter().any(|native| native == host))
            {
                let taken = architecture.rules().into_iter().find(|entry| entry.rule.accepts(&header));
                assert!(taken.is_none(), "{host}: {} would take {header:02x?}", taken.unwrap().name);
            }
        }
    }
}

/// A real file: this test itself. If the table has its architecture, the host runs it natively.
#[test]
fn this_very_program_is_known_and_native() {
    let file = std::fs::read(std::env::current_exe().expect("the test has a name")).expect("the test is readable");
    let table = ArchTable::builtin();
    let rules = table.architectures().iter().flat_map(|a| a.rules().into_iter().map(move |entry| (a, entry)));
    let taken: Vec<_> = rules.filter(|(_, entry)| entry.rule.accepts(&file)).map(|(a, _)| a).collect();
    let [architecture] = taken[..] else { panic!("{} architectures take it", taken.len()) };
    assert!(architecture.native_on.contains(&architecture.name), "{}", architecture.name);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(architecture.name, "x86_64");
    }
}
