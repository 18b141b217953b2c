//! The fields of the ELF header, and the values with which they are tried (System V gABI, chapter
//! 4).

use dispatch_core::Guest;
use dispatch_core::elf::{Class, Data};
use dispatch_core::guest::QUESTION;
use dispatch_table::{ArchTable, Architecture};

/// Offset and size of a field, in bytes, for each class; and values to try besides those for every
/// field.
struct Field {
    name: &'static str,
    class_32: (usize, usize),
    class_64: (usize, usize),
    values: &'static [u64],
}

const fn field(
    name: &'static str,
    class_32: (usize, usize),
    class_64: (usize, usize),
    values: &'static [u64],
) -> Field {
    Field { name, class_32, class_64, values }
}

/// A field at the same offset in both classes.
const fn same(name: &'static str, place: (usize, usize), values: &'static [u64]) -> Field {
    field(name, place, place, values)
}

const FIELDS: &[Field] = &[
    same("EI_CLASS", (4, 1), &[3]),
    same("EI_DATA", (5, 1), &[3]),
    same("EI_VERSION", (6, 1), &[3]),
    // NetBSD, Linux, Solaris, FreeBSD, OpenBSD, ARM's two, and a value in between.
    same("EI_OSABI", (7, 1), &[2, 3, 4, 6, 9, 12, 63, 64, 65, 97]),
    same("EI_ABIVERSION", (8, 1), &[2]),
    // The second value is AppImage's; its type 2 begins one byte earlier.
    same("EI_PAD", (9, 7), &[0x02_49, 0x49_02_00_00_00_00_00]),
    // The mark has no meaning in the byte order that is not the program's.
    same(MARK, (8, 8), &[u64::from_le_bytes(QUESTION), u64::from_be_bytes(QUESTION)]),
    // Objects, core dumps, what systems and processors may define.
    same("e_type", (16, 2), &[3, 4, 5, 0xfe00, 0xfeff, 0xff00]),
    same("e_machine", (18, 2), &[7, 10, 0x1234, 0xa390]),
    same("e_version", (20, 4), &[2, 0x0100_0000]),
    field("e_entry", (24, 4), (24, 8), &[]),
    field("e_phoff", (28, 4), (32, 8), &[33, 0x1000, 0x10_0000]),
    field("e_shoff", (32, 4), (40, 8), &[33, 0x1000, 0x10_0000]),
    field("e_flags", (36, 4), (48, 4), &[0x1000, 0x2000, 0x3000, 0x4000, 0x8000, 0x200, 0x400, 0x0500_0000]),
    field("e_ehsize", (40, 2), (52, 2), &[52, 64]),
    field("e_phentsize", (42, 2), (54, 2), &[32, 56]),
    field("e_phnum", (44, 2), (56, 2), &[2, 18, 19, 31, 32, 100, 0xfffe]),
    field("e_shentsize", (46, 2), (58, 2), &[40, 64]),
    field("e_shnum", (48, 2), (60, 2), &[100]),
    field("e_shstrndx", (50, 2), (62, 2), &[100, 0xff00]),
];

/// Fields about the program headers. With wrong values QEMU's behaviour depends on the contents of
/// its memory.
pub const PROGRAM_HEADERS: [&str; 2] = ["e_phoff", "e_phnum"];
/// Two fields together, which contain the mark of a question to the interpreter.
pub const MARK: &str = "EI_ABIVERSION+EI_PAD";
/// The pseudo field of files that are cut short.
pub const LENGTH: &str = "length";
/// Lengths of such files, in bytes.
const LENGTHS: &[usize] = &[0, 1, 3, 4, 5, 15, 16, 17, 20, 24, 39, 40, 51, 52, 53, 63, 64, 65, 84, 100];

/// The number of values to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All values, and files that are cut short.
    All,
    /// For a large program: only the ends and the neighbours of the program's own value.
    Few,
}
pub use Extent::{All as ALL, Few as FEW};

/// A program with one field changed.
pub struct Changed {
    /// Its name, which is also a file's name.
    pub name: String,
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    pub file: Vec<u8>,
}

/// `file` with every field changed to every value, and once unchanged.
pub fn changed(name: &str, file: &[u8], extent: Extent) -> Vec<Changed> {
    let header = Guest::identify(file).expect("it is a program").header;
    let mut all = vec![Changed { name: name.to_owned(), field: "", value: 0, file: file.to_vec() }];
    for field in FIELDS {
        let (offset, size) = if header.class == Class::Elf32 { field.class_32 } else { field.class_64 };
        let place = offset..offset + size;
        let good = number(&file[place.clone()], header.data);
        for value in values(field, good, size, extent) {
            let mut file = file.to_vec();
            file[place.clone()].copy_from_slice(&bytes(value, size, header.data));
            all.push(Changed { name: format!("{name}-{}-{value:#x}", field.name), field: field.name, value, file });
        }
    }
    if extent == Extent::All {
        let lengths = LENGTHS.iter().filter(|len| **len < file.len());
        all.extend(lengths.map(|&len| Changed {
            name: format!("{name}-{LENGTH}-{len}"),
            field: LENGTH,
            value: len as u64,
            file: file[..len].to_vec(),
        }));
    }
    all
}

/// The values to try for a field of `size` bytes whose right value is `good`: the ends, the
/// neighbours, the sign bit, and the field's own list.
fn values(field: &Field, good: u64, size: usize, extent: Extent) -> Vec<u64> {
    let most = u64::MAX >> (64 - 8 * size);
    let mut values = vec![0, most, good.wrapping_sub(1), good.wrapping_add(1)];
    if extent == Extent::All {
        values.extend([1, most >> 1, (most >> 1) + 1, good ^ 1]);
        values.extend(field.values);
    }
    // Flags mostly have a meaning for each bit.
    if extent == Extent::All && field.name == "e_flags" {
        values.extend((0..32).map(|bit| good ^ 1 << bit));
    }
    values.iter_mut().for_each(|value| *value &= most);
    values.sort_unstable();
    values.dedup();
    values.retain(|value| *value != good);
    values
}

/// Whether the table accepts `file` for another row than `row`. Such a file says nothing about this
/// row.
pub fn of_another_row(file: &[u8], row: &Architecture) -> bool {
    let table = ArchTable::builtin();
    let rows = table.architectures().iter().filter(|other| other.name != row.name);
    rows.flat_map(Architecture::rules).any(|entry| entry.rule.accepts(file))
}

fn number(bytes: &[u8], data: Data) -> u64 {
    let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    match data {
        Data::Little => bytes.iter().rev().fold(0, shift),
        Data::Big => bytes.iter().fold(0, shift),
    }
}

/// A number as a field of `size` bytes.
pub fn bytes(number: u64, size: usize, data: Data) -> Vec<u8> {
    match data {
        Data::Little => number.to_le_bytes()[..size].to_vec(),
        Data::Big => number.to_be_bytes()[8 - size..].to_vec(),
    }
}
