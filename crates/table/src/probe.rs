//! The smallest complete program: ELF header, one program header, code. Layout: System V gABI,
//! chapters 4 and 5.

use dispatch_core::elf::{self, Class, Data};

use crate::architecture::Architecture;

/// Address of the mapping: the largest page size of any emulated Linux, and Linux's default
/// `vm.mmap_min_addr`.
const BASE: u64 = 0x1_0000;
/// `EI_NIDENT`.
const IDENT_SIZE: usize = 16;

/// Writes fields in a class and byte order.
struct Writer {
    class: Class,
    data: Data,
    bytes: Vec<u8>,
}

impl Writer {
    /// `Elf32_Half`, `Elf64_Half`.
    fn half(&mut self, value: u16) {
        self.bytes.extend(self.data.u16_bytes(value));
    }

    /// `Elf32_Word`, `Elf64_Word`.
    fn word(&mut self, value: u32) {
        self.bytes.extend(self.data.u32_bytes(value));
    }

    /// `Elf32_Addr` or `Elf64_Addr`, and other fields whose width depends on the class. No value
    /// here exceeds 32 bits.
    fn wide(&mut self, value: u64) {
        let bytes = match self.data {
            Data::Little => value.to_le_bytes(),
            Data::Big => value.to_be_bytes(),
        };
        self.bytes.extend(match (self.class, self.data) {
            (Class::Elf64, _) => &bytes[..],
            (Class::Elf32, Data::Little) => &bytes[..4],
            (Class::Elf32, Data::Big) => &bytes[4..],
        });
    }
}

impl Architecture {
    /// A complete static program of about 100 bytes that exits with status 0. If it runs,
    /// everything from the kernel's entry to the emulator works.
    pub fn probe_elf(&self) -> Vec<u8> {
        elf(self, &self.probe.code)
    }

    /// The same program with other code.
    pub fn program(&self, code: &[u8]) -> Vec<u8> {
        elf(self, code)
    }
}

/// A static `ET_EXEC` file, mapped whole and readable and executable at [`BASE`].
fn elf(architecture: &Architecture, code: &[u8]) -> Vec<u8> {
    let &Architecture { class, data, .. } = architecture;
    let (header_size, segment_size) = (class.header_size(), class.program_header_size());
    let code_offset = u64::from(header_size + segment_size);
    let file_size = code_offset + code.len() as u64;
    let machine = architecture.machine.first().map_or(0, |machine| machine.number);

    let mut ident = [0; IDENT_SIZE];
    ident[..elf::MAGIC.len()].copy_from_slice(&elf::MAGIC);
    ident[elf::ident::CLASS] = class.ident();
    ident[elf::ident::DATA] = data.ident();
    ident[elf::ident::VERSION] = elf::EV_CURRENT;
    ident[elf::ident::OSABI] = architecture.osabi.first().copied().unwrap_or(0);

    let mut out = Writer { class, data, bytes: ident.to_vec() };
    out.half(elf::ET_EXEC);
    out.half(machine);
    out.word(elf::EV_CURRENT.into());
    out.wide(BASE + code_offset); // e_entry
    out.wide(header_size.into()); // e_phoff
    out.wide(0); // e_shoff
    out.word(architecture.probe.flags);
    out.half(header_size);
    out.half(segment_size);
    out.half(1); // e_phnum
    out.half(0); // e_shentsize
    out.half(0); // e_shnum
    out.half(0); // e_shstrndx

    let segment_flags = elf::PF_R | elf::PF_X;
    out.word(elf::PT_LOAD);
    if class == Class::Elf64 {
        out.word(segment_flags);
    }
    out.wide(0); // p_offset
    out.wide(BASE); // p_vaddr
    out.wide(BASE); // p_paddr
    out.wide(file_size);
    out.wide(file_size); // p_memsz
    if class == Class::Elf32 {
        out.word(segment_flags);
    }
    out.wide(BASE); // p_align

    out.bytes.extend(code);
    out.bytes
}
