//! The known differences in what an ELF header does. What is not here must not differ, and what is here has to.

use dispatch_core::guest::QUESTION;
use dispatch_table::Architecture;

use super::fields::{Changed, LENGTH, MARK, bytes};
use crate::differences::Kind;

/// What is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The table's rules: with QEMU as with us, the kernel keeps from it what is for something else.
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
    /// For programs of which architectures; if there are none, of all.
    pub of: &'static [&'static str],
    /// With which entries.
    pub entries: &'static [Entry],
    /// How the program ends with QEMU registered directly, and through us.
    pub endings: [&'static str; 2],
    /// What it is worth.
    pub kind: Kind,
    /// Why.
    pub reason: &'static str,
}

impl Known {
    /// Whether programs of the architecture `name` show it.
    pub fn is_of(&self, name: &str) -> bool {
        self.of.is_empty() || self.of.contains(&name)
    }

    /// Whether it is told for this header, of a program of `row`.
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

/// All of them, the same with both QEMUs.
pub const KNOWN: &[Known] = &[
    Known {
        fields: &["e_ehsize", "e_phentsize"],
        values: "not the size of the class",
        takes: |_, _| true,
        of: &[],
        entries: BOTH,
        endings: ["255", "126"],
        kind: Kind::Improvement,
        reason: "Neither runs it. Through us one line says what the field has and should have, with the exit code that shells give for a program that cannot be run.",
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
        reason: "A program for FreeBSD or Solaris is not started as if it were for Linux. QEMU does not look at the field, and nor do the entries of its own script; the table's rules leave such a file to the kernel.",
    },
    Known {
        fields: &["e_flags"],
        values: "any of `0xe000`",
        takes: |_, flags| flags & 0xe000 != 0,
        of: &["mips"],
        entries: ANY,
        endings: ["runs", "127"],
        kind: Kind::Improvement,
        reason: "A program for O64 or EABI is not started as if it were for o32. QEMU starts it, Linux on MIPS does not; the table's rules leave it to the kernel.",
    },
    Known {
        fields: &[MARK],
        values: "`bd-ident`",
        takes: |row, value| bytes(value, QUESTION.len(), row.data) == QUESTION,
        of: &[],
        entries: BOTH,
        endings: ["runs", "0"],
        kind: Kind::Unavoidable,
        reason: "The mark of a question to the interpreter, which answers with its version and the image's identity instead of running the program: how else could it be known which file the kernel has open? No other tool writes it.",
    },
];
