//! ELF headers that are valid except for the bytes that a sweep changes.

use std::ops::Range;

use dispatch_core::Rule;
use dispatch_core::elf::{self, Class, Data, Machine};

/// A header as linkers write it, with flags and OSABI 0.
pub fn header(class: Class, data: Data, kind: u16, machine: Machine) -> Vec<u8> {
    let mut header = vec![0; elf::MACHINE + 2];
    set(&mut header, 0, &elf::MAGIC);
    set(&mut header, elf::ident::VERSION, &[elf::EV_CURRENT]);
    set_variant(&mut header, class, data, machine);
    set(&mut header, elf::TYPE, &data.u16_bytes(kind));
    complete(&mut header);
    header
}

/// A header that a rule accepts: its magic, with the constant fields filled in.
pub fn accepted(rule: &Rule) -> Vec<u8> {
    let mut header = rule.magic().to_vec();
    complete(&mut header);
    header
}

/// Overwrites the bytes from `offset` on.
pub fn set(header: &mut [u8], offset: usize, bytes: &[u8]) {
    header[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Overwrites class, byte order and machine.
pub fn set_variant(header: &mut [u8], class: Class, data: Data, Machine(machine): Machine) {
    set(header, elf::ident::CLASS, &[class.ident(), data.ident()]);
    set(header, elf::MACHINE, &data.u16_bytes(machine));
}

/// Class and byte order of a header.
pub fn variant(header: &[u8]) -> Option<(Class, Data)> {
    Class::from_ident(header[elf::ident::CLASS]).zip(Data::from_ident(header[elf::ident::DATA]))
}

/// `e_ehsize` and `e_phentsize`. The interpreter checks them (as QEMU does), while the rules do
/// not: rules that did would be longer, and no linker writes other values. A guest with a wrong
/// value is refused with a message, instead of the kernel's "Exec format error".
pub fn unseen(class: Class) -> [Range<usize>; 2] {
    let sizes = class.flags_offset() + 4;
    [sizes..sizes + 2, sizes + 2..sizes + 4]
}

/// Makes a header as long as its class needs, and sets the fields that no rule sees. Without a
/// class or a byte order these fields do not exist.
pub fn complete(header: &mut Vec<u8>) {
    let Some((class, data)) = variant(header) else { return };
    header.resize(class.header_size().into(), 0);
    let [size, segment_size] = unseen(class);
    set(header, size.start, &data.u16_bytes(class.header_size()));
    set(header, segment_size.start, &data.u16_bytes(class.program_header_size()));
}
