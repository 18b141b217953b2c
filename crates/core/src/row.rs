//! One architecture in the compiled table.

use core::ffi::CStr;
use core::fmt;

use crate::bytes::{self, Strings};
use crate::elf::{Class, Data, Machine};
use crate::guest::Guest;
use crate::record::{Extent, Field, record};

record! {
    /// One architecture.
    pub struct RowRecord {
        /// `EI_CLASS`.
        pub class: u8,
        /// `EI_DATA`.
        pub data: u8,
        /// [`Argv0`].
        pub argv0: u8,
        /// [`Strategy`].
        pub strategy: u8,
        /// Bits of `e_flags` to compare.
        pub flags_mask: u32,
        /// Value that these bits must have.
        pub flags_value: u32,
        /// `pr_type` of the GNU property that says what a program needs; 0 if it is not read.
        pub property: u32,
        /// The property's bits that the usual model lacks.
        pub lacks: u32,
        /// The emulator's number among the image's programs; 0 if it is not embedded.
        pub program: u32,
        /// Everything that has no fixed length.
        pub lists: RowLists,
    }
}

record! {
    /// The lists of a row; the first [`RowLists::STRINGS`] are lists of strings.
    pub struct RowLists {
        /// QEMU's name of the CPU, one string.
        pub name: Extent,
        /// Absolute paths of emulators, in the order in which they are tried. With
        /// [`Strategy::Disabled`], who has disabled the architecture.
        pub paths: Extent,
        /// Models for the emulator's option `-cpu`: the usual one, and a larger one for programs
        /// that need it.
        pub cpus: Extent,
        /// Options for the emulator.
        pub options: Extent,
        /// `NAME=value` settings for the emulator.
        pub environment: Extent,
        /// Directories that may hold the guest's libraries.
        pub sysroots: Extent,
        /// `e_machine` numbers, two bytes each.
        pub machines: Extent,
        /// `EI_OSABI` values, one byte each.
        pub osabi: Extent,
        /// The emulator by path whose version is known, an [`AskedRecord`]; empty if there is none.
        pub asked: Extent,
        /// The rows for guests below certain directories, [`BelowRecord`]s.
        pub below: Extent,
    }
}

/// Number of the program of an image that is the command, and so no row's emulator.
pub const COMMAND: u32 = 0;

impl RowLists {
    /// How many of them are lists of strings.
    const STRINGS: usize = 6;
}

/// How an emulator learns the guest's argv\[0\].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argv0 {
    /// By its option `-0` (QEMU since 1.7).
    DashZero,
    /// In front of the arguments, announced by `AT_FLAGS` bit 0.
    Auxv,
    /// Not at all.
    None,
}

/// How the process becomes the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Its segments are mapped into this process, which jumps to its entry point.
    Map,
    /// By execve(2). This costs credentials, `comm` and time; for emulators that need it.
    Exec,
    /// Not at all: an administrator has disabled the architecture.
    Disabled,
}

impl Argv0 {
    /// The byte in [`RowRecord::argv0`].
    pub const fn code(self) -> u8 {
        match self {
            Argv0::DashZero => 0,
            Argv0::Auxv => 1,
            Argv0::None => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Argv0::DashZero),
            1 => Some(Argv0::Auxv),
            2 => Some(Argv0::None),
            _ => None,
        }
    }
}

impl Strategy {
    /// The byte in [`RowRecord::strategy`].
    pub const fn code(self) -> u8 {
        match self {
            Strategy::Map => 0,
            Strategy::Exec => 1,
            Strategy::Disabled => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Strategy::Map),
            1 => Some(Strategy::Exec),
            2 => Some(Strategy::Disabled),
            _ => None,
        }
    }
}

/// One architecture: the headers that it accepts, and how its emulator is found and called. It
/// reads a [`RowRecord`] in place, whose fields have the same names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The table.
    bytes: &'a [u8],
    /// A [`RowRecord`].
    record: &'a [u8; RowRecord::SIZE],
}

impl<'a> Row<'a> {
    /// The row in `record`, a part of the table `bytes`; `None` if a list is outside the table, a
    /// list of strings does not end with NUL, or a code is unknown.
    #[inline(never)]
    pub(crate) fn of(bytes: &'a [u8], record: &'a [u8]) -> Option<Self> {
        let row = Row { bytes, record: record.first_chunk()? };
        let record = row.record();
        Class::from_ident(record.class)?;
        Data::from_ident(record.data)?;
        Argv0::from_code(record.argv0)?;
        Strategy::from_code(record.strategy)?;
        let lists = row.record.get(RowRecord::SIZE.checked_sub(RowLists::SIZE)?..)?;
        for (number, extent) in lists.chunks_exact(Extent::SIZE).enumerate() {
            let list = row.list(Extent::read(extent)?)?;
            if number < RowLists::STRINGS {
                Strings::new(list)?;
            }
        }
        Some(row)
    }

    /// Its fields. A caller uses few of them; inlined, only these are read.
    #[expect(clippy::inline_always, reason = "otherwise the interpreter is 900 bytes larger")]
    #[inline(always)]
    fn record(&self) -> RowRecord {
        // The length is right, so that the compiler finds no other case.
        RowRecord::read(self.record).unwrap_or_default()
    }

    pub(crate) fn list(&self, extent: Extent) -> Option<&'a [u8]> {
        bytes::slice(self.bytes, extent.offset, extent.len)
    }

    /// A list, which was found to be in the table.
    #[inline(never)]
    fn known(&self, extent: Extent) -> &'a [u8] {
        self.list(extent).unwrap_or_default()
    }

    #[inline(never)]
    fn strings(&self, extent: Extent) -> Strings<'a> {
        Strings::new(self.known(extent)).unwrap_or(Strings::EMPTY)
    }

    /// QEMU's name of the CPU.
    pub fn name(&self) -> &'a CStr {
        self.strings(self.record().lists.name).iter().next().unwrap_or_default()
    }

    /// The accepted `EI_CLASS`.
    pub fn class(&self) -> Class {
        Class::from_ident(self.record().class).unwrap_or(Class::Elf64)
    }

    /// The accepted `EI_DATA`.
    pub fn data(&self) -> Data {
        Data::from_ident(self.record().data).unwrap_or(Data::Little)
    }

    /// Bits of `e_flags` to compare.
    pub fn flags_mask(&self) -> u32 {
        self.record().flags_mask
    }

    /// Value that these bits must have.
    pub fn flags_value(&self) -> u32 {
        self.record().flags_value
    }

    /// The accepted `e_machine` numbers.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + Clone + use<'a> {
        self.known(self.record().lists.machines)
            .chunks_exact(2)
            .filter_map(|pair| bytes::array(pair, 0))
            .map(|pair| Machine(u16::from_le_bytes(pair)))
    }

    /// The accepted `EI_OSABI` values.
    pub fn osabi(&self) -> &'a [u8] {
        self.known(self.record().lists.osabi)
    }

    /// Absolute paths of emulators, in the order in which they are tried. With
    /// [`Strategy::Disabled`], who has disabled the architecture.
    pub fn paths(&self) -> Strings<'a> {
        self.strings(self.record().lists.paths)
    }

    /// Models for the emulator's option `-cpu`: the usual one, and a larger one for programs that
    /// need it.
    pub fn cpus(&self) -> Strings<'a> {
        self.strings(self.record().lists.cpus)
    }

    /// `pr_type` of the GNU property that says what a program needs; 0 if it is not read.
    pub fn property(&self) -> u32 {
        self.record().property
    }

    /// The property's bits that the usual model lacks.
    pub fn lacks(&self) -> u32 {
        self.record().lacks
    }

    /// Options for the emulator.
    pub fn options(&self) -> Strings<'a> {
        self.strings(self.record().lists.options)
    }

    /// `NAME=value` settings for the emulator.
    pub fn environment(&self) -> Strings<'a> {
        self.strings(self.record().lists.environment)
    }

    /// Directories that may hold the guest's libraries.
    pub fn sysroots(&self) -> Strings<'a> {
        self.strings(self.record().lists.sysroots)
    }

    /// How the emulator learns the guest's argv\[0\].
    pub fn argv0(&self) -> Argv0 {
        Argv0::from_code(self.record().argv0).unwrap_or(Argv0::None)
    }

    /// How the process becomes the emulator.
    pub fn strategy(&self) -> Strategy {
        Strategy::from_code(self.record().strategy).unwrap_or(Strategy::Disabled)
    }

    /// The emulator's number among the image's programs; 0 if it is not embedded.
    pub fn program(&self) -> u32 {
        self.record().program
    }

    /// The emulator by path whose version is known, see [`Table::asked`]; empty if there is none.
    pub(crate) fn asked(&self) -> &'a [u8] {
        self.known(self.record().lists.asked)
    }

    /// The rows for guests below certain directories, see [`Table::below`].
    pub(crate) fn below(&self) -> &'a [u8] {
        self.known(self.record().lists.below)
    }

    /// Whether the row accepts this guest. [`crate::Rule::of_row`] tells the kernel the same.
    pub fn accepts(&self, guest: &Guest) -> bool {
        let (header, record) = (&guest.header, self.record());
        record.class == header.class.ident()
            && record.data == header.data.ident()
            && self.machines().any(|machine| machine == header.machine)
            && header.flags & record.flags_mask == record.flags_value
            && self.osabi().contains(&header.osabi)
    }
}

impl Row<'_> {
    /// Whether both are the same record of the same table.
    pub fn is(&self, other: &Row<'_>) -> bool {
        core::ptr::eq(self.record, other.record)
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Row").field(&self.name()).field(&self.record()).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::vec::Vec;

    /// A row with these lists, in the order of [`RowLists`].
    pub(crate) fn row(argv0: Argv0, strategy: Strategy, lists: [&[u8]; RowLists::SIZE / Extent::SIZE]) -> Row<'static> {
        let bytes = |record: &RowRecord| {
            let mut bytes = Vec::new();
            record.write(&mut |part| bytes.extend_from_slice(part));
            bytes
        };
        let record = RowRecord {
            class: Class::Elf64.ident(),
            data: Data::Little.ident(),
            argv0: argv0.code(),
            strategy: strategy.code(),
            ..RowRecord::default()
        };
        let mut table = bytes(&record);
        table.truncate(RowRecord::SIZE - RowLists::SIZE);
        let mut at = RowRecord::SIZE as u64;
        for list in lists {
            let extent = Extent { offset: at, len: list.len() as u64 };
            extent.write(&mut |part| table.extend_from_slice(part));
            at += extent.len;
        }
        table.extend(lists.concat());
        let table = table.leak();
        Row::of(table, table).unwrap()
    }

    #[test]
    fn a_row_is_refused_if_a_list_is_broken() {
        const LISTS: [&[u8]; 10] = [b"cpu\0", b"/a\0", b"", b"", b"", b"", b"\xb7\0", b"\0", b"", b""];
        let good = row(Argv0::None, Strategy::Map, LISTS);
        assert_eq!((good.name(), good.osabi()), (c"cpu", &[0][..]));
        assert!(good.machines().eq([Machine(183)]));
        let whole = good.bytes;
        assert!(Row::of(&whole[..whole.len() - 1], whole).is_none(), "the last list that is not empty is cut off");
        assert!(Row::of(whole, &whole[..RowRecord::SIZE - 1]).is_none(), "the record is cut off");
        for (at, what) in [(0, "class"), (1, "data"), (2, "argv0"), (3, "strategy")] {
            let mut bytes = whole.to_vec();
            bytes[at] = 7;
            assert!(Row::of(&bytes, &bytes).is_none(), "{what}");
        }
        // The name without its NUL.
        let mut bytes = whole.to_vec();
        bytes[RowRecord::SIZE - RowLists::SIZE + 8] = 3;
        assert!(Row::of(&bytes, &bytes).is_none());
    }
}
