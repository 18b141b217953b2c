//! Compares this project's rules with those of QEMU's own generator, `scripts/qemu-binfmt-conf.sh`,
//! bit by bit.
//!
//! [`DIFFERENCES`] lists the differences and their reasons. An unlisted difference fails the test,
//! and so does a listed one that no longer exists.

use std::collections::BTreeMap;
use std::ops::Range;

use dispatch_core::Rule;
use dispatch_core::elf::{Class, Data};
use dispatch_table::ArchTable;
use serde::Deserialize;

/// Magic and mask of QEMU's script, with notes.
const ORACLE: &str = include_str!("../../../tests/oracle/qemu-magic.json");

/// One entry of the script.
#[derive(Deserialize)]
struct Theirs {
    name: String,
    magic: String,
    mask: String,
    /// The emulator's name, as this project's entries have it.
    qemu: String,
    class: u32,
    /// `LE` or `BE`.
    data: String,
    e_machine: u16,
}

/// How the two treat the bits of one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The script's entry compares them, this project's rule does not.
    OnlyTheirs,
    /// This project's rule compares them, the script's entry does not.
    OnlyOurs,
    /// Both compare them, with different values.
    Conflict,
}
use Kind::{Conflict, OnlyOurs, OnlyTheirs};

/// An intended difference.
struct Difference {
    entries: Entries,
    bytes: Range<usize>,
    kind: Kind,
    /// The same bits in each of the bytes.
    bits: u8,
    reason: &'static str,
}

/// Entries of the script, by its names.
enum Entries {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}
use Entries::{AllBut, These};

const X86: &[&str] = &["i386", "i486", "x86_64", "alpha"];
const WITH_FLAGS: &[&str] = &["mips", "mipsel", "mipsn32", "mipsn32el"];

const DIFFERENCES: &[Difference] = &[
    Difference {
        entries: These(X86),
        bytes: 5..6,
        kind: OnlyOurs,
        bits: 0x01,
        reason: "EI_DATA 0 is no byte order; the script leaves the bit open without need",
    },
    Difference {
        entries: These(&["i386", "i486", "x86_64", "alpha", "m68k"]),
        bytes: 6..7,
        kind: OnlyOurs,
        bits: 0x01,
        reason: "EI_VERSION 0 is no version; the script leaves the bit open without need",
    },
    Difference {
        entries: AllBut(&["loongarch64"]),
        bytes: 7..8,
        kind: OnlyOurs,
        bits: 0xfc,
        reason: "programs of other systems (FreeBSD 9, OpenBSD 12, standalone 255) are not for a Linux emulator",
    },
    Difference {
        entries: AllBut(&["mips", "mipsel", "mipsn32", "mipsn32el", "mips64", "mips64el", "loongarch64"]),
        bytes: 8..9,
        kind: OnlyTheirs,
        bits: 0xff,
        reason: "ABI versions differ, and AppImage writes \"AI\" and its type into bytes 8 to 10",
    },
    Difference {
        entries: AllBut(&[]),
        bytes: 9..16,
        kind: OnlyTheirs,
        bits: 0xff,
        reason: "padding: AppImage writes there, and no loader reads it",
    },
    Difference {
        entries: These(&["ppc64le"]),
        bytes: 19..20,
        kind: OnlyOurs,
        bits: 0xff,
        reason: "the script leaves the high byte of e_machine open, and takes 255 other machines",
    },
    Difference {
        entries: These(&["microblaze"]),
        bytes: 16..17,
        kind: Conflict,
        bits: 0x02,
        reason: "e_type in little-endian order in a big-endian header: the script's entry never matches",
    },
    Difference {
        entries: These(&["microblaze"]),
        bytes: 17..18,
        kind: Conflict,
        bits: 0x02,
        reason: "the other half of the same mistake",
    },
    Difference {
        entries: These(&["microblaze"]),
        bytes: 16..17,
        kind: OnlyOurs,
        bits: 0x01,
        reason: "the bit that is free between ET_EXEC and ET_DYN is in the other byte, for the same mistake",
    },
    Difference {
        entries: These(&["microblaze"]),
        bytes: 17..18,
        kind: OnlyTheirs,
        bits: 0x01,
        reason: "the bit that is free between ET_EXEC and ET_DYN is in this byte",
    },
    Difference {
        entries: These(WITH_FLAGS),
        bytes: 20..24,
        kind: OnlyTheirs,
        bits: 0xff,
        reason: "e_version: always 1, as EI_VERSION is, and no loader looks at it",
    },
    Difference {
        entries: These(&["mips"]),
        bytes: 38..39,
        kind: OnlyOurs,
        bits: 0xe0,
        reason: "EF_MIPS_ABI: O64 and the EABIs are not o32, which QEMU runs them as, and Linux refuses them",
    },
    Difference {
        entries: These(&["mipsel"]),
        bytes: 37..38,
        kind: OnlyOurs,
        bits: 0xe0,
        reason: "EF_MIPS_ABI: O64 and the EABIs are not o32, which QEMU runs them as, and Linux refuses them",
    },
];

/// This project's entries that the script lacks.
const ONLY_OURS: &[(&str, &str)] = &[
    ("qemu-arm-osabi65", "ARM FDPIC; the script compares no OSABI at all"),
    ("qemu-arm-osabi97", "ARM before the EABI; the script compares no OSABI at all"),
    ("qemu-armeb-osabi65", "ARM FDPIC; the script compares no OSABI at all"),
    ("qemu-armeb-osabi97", "ARM before the EABI; the script compares no OSABI at all"),
    ("qemu-microblaze", "the official EM_MICROBLAZE, 189; the script knows the old number only"),
    ("qemu-microblazeel", "the official EM_MICROBLAZE, 189; the script knows the old number only"),
];

impl Entries {
    fn contain(&self, name: &str) -> bool {
        match self {
            These(names) => names.contains(&name),
            AllBut(names) => !names.contains(&name),
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len() % 2 == 0, "{text}");
    let byte = |index| u8::from_str_radix(&text[index..index + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The bits that the two compare differently, for each byte and kind.
fn differences(theirs: &Rule, ours: &Rule) -> BTreeMap<(usize, Kind), u8> {
    let at = |bytes: &[u8], offset: usize| bytes.get(offset).copied().unwrap_or(0);
    let mut found = BTreeMap::new();
    for offset in 0..theirs.mask().len().max(ours.mask().len()) {
        let (their_mask, our_mask) = (at(theirs.mask(), offset), at(ours.mask(), offset));
        let unequal = (at(theirs.magic(), offset) ^ at(ours.magic(), offset)) & their_mask & our_mask;
        let kinds = [(OnlyTheirs, their_mask & !our_mask), (OnlyOurs, our_mask & !their_mask), (Conflict, unequal)];
        found.extend(kinds.into_iter().filter(|(_, bits)| *bits != 0).map(|(kind, bits)| ((offset, kind), bits)));
    }
    found
}

#[test]
fn rules_differ_from_qemus_only_where_it_is_intended() {
    let oracle: Vec<Theirs> = serde_json::from_str(ORACLE).expect("the oracle is well formed");
    let table = ArchTable::builtin();
    let mut ours_left: BTreeMap<String, Rule> = table
        .architectures()
        .iter()
        .flat_map(dispatch_table::Architecture::rules)
        .map(|entry| (entry.name, entry.rule))
        .collect();
    let mut wrong = Vec::new();

    for theirs in &oracle {
        let Theirs { name, qemu, .. } = theirs;
        let architecture = table.architectures().iter().find(|a| format!("qemu-{}", a.name) == *qemu);
        let Some(architecture) = architecture else {
            wrong.push(format!("{name}: there is no architecture for {qemu}"));
            continue;
        };
        let class = if theirs.class == 64 { Class::Elf64 } else { Class::Elf32 };
        let data = if theirs.data == "LE" { Data::Little } else { Data::Big };
        assert_eq!((architecture.class, architecture.data), (class, data), "{name}");
        let place = architecture.machine.iter().position(|machine| machine.number == theirs.e_machine);
        let entry = match place {
            Some(0) => qemu.clone(),
            _ => format!("{qemu}-em{}", theirs.e_machine),
        };
        let Some(ours) = ours_left.remove(&entry) else {
            wrong.push(format!("{name}: there is no entry {entry}"));
            continue;
        };
        let magic = Rule::new(0, &unhex(&theirs.magic), &unhex(&theirs.mask)).expect("magic and mask of one length");
        let mut found = differences(&magic, &ours);
        for listed in DIFFERENCES.iter().filter(|listed| listed.entries.contain(name)) {
            for offset in listed.bytes.clone() {
                let bits = found.remove(&(offset, listed.kind)).unwrap_or(0);
                if bits != listed.bits {
                    wrong.push(format!(
                        "{name}: byte {offset}: {:?} {bits:#04x}, while {:#04x} is listed ({})",
                        listed.kind, listed.bits, listed.reason
                    ));
                }
            }
        }
        wrong.extend(
            found
                .iter()
                .map(|((offset, kind), bits)| format!("{name}: byte {offset}: {kind:?} {bits:#04x} is not listed")),
        );
    }

    for (name, reason) in ONLY_OURS {
        if ours_left.remove(*name).is_none() {
            wrong.push(format!("{name} is listed as missing in the script ({reason}), and is not"));
        }
    }
    wrong.extend(ours_left.keys().map(|name| format!("{name} is missing in the script, and not listed")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Otherwise, a listed entry that the script does not have would go unnoticed.
#[test]
fn listed_entries_exist() {
    let oracle: Vec<Theirs> = serde_json::from_str(ORACLE).expect("the oracle is well formed");
    for Difference { entries: These(names) | AllBut(names), .. } in DIFFERENCES {
        for name in *names {
            assert!(oracle.iter().any(|theirs| theirs.name == *name), "{name}");
        }
    }
}
