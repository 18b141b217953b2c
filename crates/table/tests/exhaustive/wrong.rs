//! Shows that the proof works: tables and rules with one fault each, and the sweeps that must find
//! it.

use dispatch_core::Rule;
use dispatch_core::record::Field;
use dispatch_core::table::{RowRecord, TableHeader};
use dispatch_table::ArchTable;

use crate::proof::{Entry, Subject};

/// The fault to be found, and the sweeps that find it.
struct Wrong {
    what: &'static str,
    spoil: fn(&mut Subject),
    /// A machine number at which the grids find it.
    grid: Option<u16>,
    strangers: bool,
    bytes: bool,
}

fn entry<'a>(subject: &'a mut Subject, name: &str) -> &'a mut Entry {
    subject.entries.iter_mut().find(|entry| entry.name == name).expect("the entry exists")
}

/// Gives a byte of an entry's rule another magic and mask.
fn alter(subject: &mut Subject, name: &str, offset: usize, magic: u8, mask: u8) {
    let rule = &mut entry(subject, name).rule;
    let (mut magics, mut masks) = (rule.magic().to_vec(), rule.mask().to_vec());
    assert_ne!((magics[offset], masks[offset]), (magic, mask), "nothing is altered");
    (magics[offset], masks[offset]) = (magic, mask);
    *rule = Rule::new(0, &magics, &masks).expect("a rule");
}

const WRONG: &[Wrong] = &[
    Wrong {
        what: "e_type in the wrong byte order (QEMU's script does so for microblaze)",
        spoil: |subject| {
            alter(subject, "qemu-microblaze", 16, 2, 0xff);
            alter(subject, "qemu-microblaze", 17, 0, 0xfe);
        },
        grid: Some(189),
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "the high byte of e_machine left open (QEMU's script does so for ppc64le)",
        spoil: |subject| alter(subject, "qemu-ppc64le", 19, 0, 0),
        grid: Some(0x7715),
        strangers: true,
        bytes: true,
    },
    Wrong {
        what: "a bit of EI_DATA left open (QEMU's script does so for i386)",
        spoil: |subject| alter(subject, "qemu-i386", 5, 1, 0xfe),
        grid: None, // The other value, 0, is no byte order.
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "a bit of EI_VERSION left open (QEMU's script does so for i386)",
        spoil: |subject| alter(subject, "qemu-i386", 6, 1, 0xfe),
        grid: None,
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "EI_OSABI left open (QEMU's script does so for most)",
        spoil: |subject| alter(subject, "qemu-aarch64", 7, 0, 0),
        grid: Some(183),
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "the ABI version compared (QEMU's script does so for most)",
        spoil: |subject| alter(subject, "qemu-aarch64", 8, 0, 0xff),
        grid: None,
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "O64 and EABI programs taken for o32 (QEMU's script does so)",
        spoil: |subject| alter(subject, "qemu-mips", 38, 0, 0),
        grid: Some(8),
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "ET_EXEC only",
        spoil: |subject| alter(subject, "qemu-riscv64", 16, 2, 0xff),
        grid: Some(243),
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "a rule for a machine that its row does not have",
        spoil: |subject| {
            let extra = entry(subject, "qemu-sh4").clone();
            subject.entries.push(Entry { name: "extra".to_owned(), ..extra });
            alter(subject, "extra", 19, 0x55, 0xff);
        },
        grid: Some(0x552a),
        strangers: true,
        bytes: true,
    },
    Wrong {
        what: "the same rule twice",
        spoil: |subject| {
            let extra = entry(subject, "qemu-sh4").clone();
            subject.entries.push(extra);
        },
        grid: Some(42),
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "a rule under the name of another row",
        spoil: |subject| "sh4eb".clone_into(&mut entry(subject, "qemu-sh4").row),
        grid: Some(42),
        strangers: false,
        bytes: true,
    },
    Wrong {
        what: "a rule forgotten",
        spoil: |subject| subject.entries.retain(|entry| entry.name != "qemu-arm-osabi97"),
        grid: Some(40),
        strangers: false,
        bytes: true, // From OSABI 65, a bit away.
    },
    Wrong {
        what: "a compiled row of the other class",
        spoil: |subject| {
            let (class, name) = (TableHeader::SIZE, RowRecord::read(&subject.compiled[TableHeader::SIZE..]));
            assert_eq!(name.map(|row| row.class), Some(2), "the first row is a 64-bit one");
            subject.compiled[class] = 1;
        },
        grid: Some(183),
        strangers: false,
        bytes: true,
    },
];

#[test]
fn what_is_wrong_is_noticed() {
    for wrong in WRONG {
        let mut subject = Subject::of(&ArchTable::builtin());
        (wrong.spoil)(&mut subject);
        if let Some(machine) = wrong.grid {
            assert!(subject.grid([machine]).is_err(), "{}: the grid does not notice", wrong.what);
            let coarse = subject.coarse_grid([machine]).is_err();
            assert!(coarse || !wrong.strangers, "{}: the coarse grid does not notice", wrong.what);
        }
        assert_eq!(subject.strangers().is_err(), wrong.strangers, "{}: strangers", wrong.what);
        assert_eq!(subject.bytes().is_err(), wrong.bytes, "{}: bytes", wrong.what);
    }
}
