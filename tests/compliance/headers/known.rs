//! The known differences caused by an ELF header. Anything else must not differ, and these must.

use dispatch_core::guest::QUESTION;
use dispatch_table::Architecture;

use super::fields::{Changed, LENGTH, MARK, bytes};
use crate::differences::Kind;

/// The registered entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The table's rules. The kernel does not pass on files for something else, to QEMU or to the
    /// interpreter.
    Rules,
    /// An entry for any file.
    Any,
}

/// A known difference.
pub struct Known {
    /// The fields, each of which has to show it.
    pub fields: &'static [&'static str],
    /// Their values, in words.
    pub values: &'static str,
    /// Their values.
    pub takes: fn(&Architecture, u64) -> bool,
    /// The architectures whose programs show it; an empty list means all.
    pub of: &'static [&'static str],
    /// The entries with which it shows.
    pub entries: &'static [Entry],
    /// How the program ends with QEMU registered directly, and through binfmt-dispatch.
    pub endings: [&'static str; 2],
    /// Its value for the user.
    pub kind: Kind,
    /// The reason for it.
    pub reason: &'static str,
}

impl Known {
    /// Whether programs of the architecture `name` show it.
    pub fn is_of(&self, name: &str) -> bool {
        self.of.is_empty() || self.of.contains(&name)
    }

    /// Whether it is about this header of a program of `row`.
    pub fn covers(&self, case: &Changed, row: &Architecture) -> bool {
        self.fields.contains(&case.field) && (self.takes)(row, case.value)
    }

    /// Its row in docs/compliance.md.
    pub fn row(&self) -> String {
        let fields: Vec<String> = self.fields.iter().map(|field| format!("`{field}`")).collect();
        let values = match self.of {
            [] => self.values.to_owned(),
            of => format!("{}, of {}", self.values, of.join(", ")),
        };
        let entry = if self.entries.contains(&Entry::Rules) { "either" } else { "any file" };
        let [direct, ours] = self.endings;
        format!("| {} | {values} | {entry} | {direct} | {ours} | {} | {} |", fields.join(", "), self.kind, self.reason)
    }
}

const BOTH: &[Entry] = &[Entry::Rules, Entry::Any];
const ANY: &[Entry] = &[Entry::Any];

/// All known differences. They are the same with both versions of QEMU.
pub const KNOWN: &[Known] = &[
    Known {
        fields: &["e_ehsize", "e_phentsize"],
        values: "not the size of the class",
        takes: |_, _| true,
        of: &[],
        entries: BOTH,
        endings: ["255", "126"],
        kind: Kind::Improvement,
        reason: "Neither runs it. binfmt-dispatch prints one line with the value of the field and the right value, and exits with the code that shells use for a program that cannot be run.",
    },
    Known {
        fields: &[LENGTH],
        values: "20 bytes or more, less than the header",
        takes: |row, len| (20..row.class.header_size().into()).contains(&len),
        of: &[],
        entries: BOTH,
        endings: ["1", "126"],
        kind: Kind::Improvement,
        reason: "The same, for a file that is cut short.",
    },
    Known {
        fields: &[LENGTH],
        values: "less than 20 bytes",
        takes: |_, len| len < 20,
        of: &[],
        entries: ANY,
        endings: ["1", "126"],
        kind: Kind::Improvement,
        reason: "The same.",
    },
    Known {
        fields: &["EI_CLASS", "EI_DATA", "EI_VERSION"],
        values: "not those of the row",
        takes: |_, _| true,
        of: &[],
        entries: ANY,
        endings: ["255", "126"],
        kind: Kind::Improvement,
        reason: "The same.",
    },
    Known {
        fields: &["e_type"],
        values: "neither 2 nor 3",
        takes: |_, kind| !(2..=3).contains(&kind),
        of: &[],
        entries: ANY,
        endings: ["255", "126"],
        kind: Kind::Improvement,
        reason: "The same.",
    },
    Known {
        fields: &["e_machine"],
        values: "of no row",
        takes: |_, _| true,
        of: &[],
        entries: ANY,
        endings: ["255", "127"],
        kind: Kind::Improvement,
        reason: "The same; there is no emulator for it.",
    },
    Known {
        fields: &["EI_OSABI"],
        values: "not among the row's `osabi`",
        takes: |row, osabi| row.osabi.iter().all(|of_row| u64::from(*of_row) != osabi),
        of: &[],
        entries: ANY,
        endings: ["runs", "126"],
        kind: Kind::Improvement,
        reason: "A program for FreeBSD or Solaris is not started as if it were for Linux. Neither QEMU nor the entries of its own script check the field. The table's rules leave such a file to the kernel.",
    },
    Known {
        fields: &["e_flags"],
        values: "any of `0xe000`",
        takes: |_, flags| flags & 0xe000 != 0,
        of: &["mips", "mipsel"],
        entries: ANY,
        endings: ["runs", "127"],
        kind: Kind::Improvement,
        reason: "A program for O64 or EABI is not started as if it were for o32. QEMU starts it; Linux on MIPS does not. The table's rules leave it to the kernel.",
    },
    Known {
        fields: &[MARK],
        values: "`bd-ident`",
        takes: |row, value| bytes(value, QUESTION.len(), row.data) == QUESTION,
        of: &[],
        entries: BOTH,
        endings: ["runs", "0"],
        kind: Kind::Unavoidable,
        reason: "This is the mark of a question to the interpreter. The interpreter answers with its version and the image's identity, and does not run the program. There is no other way to learn which file the kernel has open. No other tool writes the mark.",
    },
];
