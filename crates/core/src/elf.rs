//! The ELF header and program headers, in either class and byte order (System V gABI, chapters 4
//! and 5).
//!
//! Used twice: for the guest, whose bytes are hostile, and for the emulator to be mapped.

use crate::bytes;
use crate::message::{Number, Out, Say, display, say};

/// Size of `Elf64_Ehdr`, the larger of the two headers, in bytes.
pub const MAX_HEADER: usize = 64;
/// `\x7fELF`.
pub const MAGIC: [u8; 4] = *b"\x7fELF";
/// Offsets into `e_ident`.
pub mod ident {
    /// Offset of `EI_CLASS`: 1 for 32-bit, 2 for 64-bit.
    pub const CLASS: usize = 4;
    /// Offset of `EI_DATA`: 1 for little-endian, 2 for big-endian.
    pub const DATA: usize = 5;
    /// Offset of `EI_VERSION`.
    pub const VERSION: usize = 6;
    /// Offset of `EI_OSABI`.
    pub const OSABI: usize = 7;
}
/// Offset of `e_type` in both classes.
pub const TYPE: usize = 16;
/// Offset of `e_machine` in both classes.
pub const MACHINE: usize = 18;
/// `EV_CURRENT`, the only ELF version.
pub const EV_CURRENT: u8 = 1;
/// `e_type` of an executable at fixed addresses.
pub const ET_EXEC: u16 = 2;
/// `e_type` of a position-independent executable or shared object.
pub const ET_DYN: u16 = 3;
/// `e_type` of an object file that is not linked yet.
pub const ET_REL: u16 = 1;
/// `e_type` of a core dump.
pub const ET_CORE: u16 = 4;
/// `p_type` of a segment to map.
pub const PT_LOAD: u32 = 1;
/// `p_type` of the name of the dynamic linker.
pub const PT_INTERP: u32 = 3;
/// `p_type` of the note that holds GNU properties.
pub const PT_GNU_PROPERTY: u32 = 0x6474_e553;
/// `p_type` of the segment whose flags are the stack's permissions.
pub const PT_GNU_STACK: u32 = 0x6474_e551;
/// `p_flags`: executable.
pub const PF_X: u32 = 1;
/// `p_flags`: writable.
pub const PF_W: u32 = 2;
/// `p_flags`: readable.
pub const PF_R: u32 = 4;

/// `EI_CLASS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// ELFCLASS32.
    Elf32,
    /// ELFCLASS64.
    Elf64,
}

/// `EI_DATA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// ELFDATA2LSB.
    Little,
    /// ELFDATA2MSB.
    Big,
}

/// `e_machine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine(pub u16);

impl Class {
    /// The class that `EI_CLASS` names.
    pub const fn from_ident(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Class::Elf32),
            2 => Some(Class::Elf64),
            _ => None,
        }
    }

    /// `EI_CLASS`.
    pub const fn ident(self) -> u8 {
        match self {
            Class::Elf32 => 1,
            Class::Elf64 => 2,
        }
    }

    /// Size of the ELF header, in bytes.
    pub const fn header_size(self) -> u16 {
        match self {
            Class::Elf32 => 52,
            Class::Elf64 => 64,
        }
    }

    /// Size of one program header, in bytes.
    pub const fn program_header_size(self) -> u16 {
        match self {
            Class::Elf32 => 32,
            Class::Elf64 => 56,
        }
    }

    /// Offset of `e_flags` in the header.
    pub const fn flags_offset(self) -> usize {
        match self {
            Class::Elf32 => 36,
            Class::Elf64 => 48,
        }
    }
}

impl Data {
    /// The byte order that `EI_DATA` names.
    pub const fn from_ident(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Data::Little),
            2 => Some(Data::Big),
            _ => None,
        }
    }

    /// `EI_DATA`.
    pub const fn ident(self) -> u8 {
        match self {
            Data::Little => 1,
            Data::Big => 2,
        }
    }

    /// `value` in this byte order, as a file stores it.
    pub const fn u16_bytes(self, value: u16) -> [u8; 2] {
        match self {
            Data::Little => value.to_le_bytes(),
            Data::Big => value.to_be_bytes(),
        }
    }

    /// `value` in this byte order, as a file stores it.
    pub const fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self {
            Data::Little => value.to_le_bytes(),
            Data::Big => value.to_be_bytes(),
        }
    }
}

impl Say for Class {
    fn say(&self, out: &mut Out<'_>) {
        out(match self {
            Class::Elf32 => "32-bit",
            Class::Elf64 => "64-bit",
        });
    }
}

impl Say for Data {
    fn say(&self, out: &mut Out<'_>) {
        out(match self {
            Data::Little => "little-endian",
            Data::Big => "big-endian",
        });
    }
}

display!(Class, Data, HeaderFault);

/// Reads the fields of one record whose layout depends on class and byte order.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub bytes: &'a [u8],
    pub class: Class,
    pub data: Data,
}

impl Fields<'_> {
    fn u16(self, offset: usize) -> Option<u16> {
        let raw = bytes::array(self.bytes, offset)?;
        Some(match self.data {
            Data::Little => u16::from_le_bytes(raw),
            Data::Big => u16::from_be_bytes(raw),
        })
    }

    pub fn u32(self, offset: usize) -> Option<u32> {
        let raw = bytes::array(self.bytes, offset)?;
        Some(match self.data {
            Data::Little => u32::from_le_bytes(raw),
            Data::Big => u32::from_be_bytes(raw),
        })
    }

    /// An `Elf32_Word` at `narrow` or an `Elf64_Xword` at `wide`.
    fn word(self, narrow: usize, wide: usize) -> Option<u64> {
        match self.class {
            Class::Elf32 => self.u32(narrow).map(u64::from),
            Class::Elf64 => {
                let raw = bytes::array(self.bytes, wide)?;
                Some(match self.data {
                    Data::Little => u64::from_le_bytes(raw),
                    Data::Big => u64::from_be_bytes(raw),
                })
            }
        }
    }
}

/// The fault of an ELF header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The file does not begin with `\x7fELF`.
    NotElf,
    /// The file ends inside the header.
    Truncated {
        /// Length of the file, in bytes.
        len: usize,
        /// Length of a header, in bytes.
        need: usize,
    },
    /// `EI_CLASS` is neither 1 nor 2.
    Class(u8),
    /// `EI_DATA` is neither 1 nor 2.
    Data(u8),
    /// `EI_VERSION` is not 1.
    Version(u8),
    /// `e_type` is neither `ET_EXEC` nor `ET_DYN`.
    Type(u16),
    /// `e_ehsize` does not match the class.
    HeaderSize {
        /// `e_ehsize`.
        found: u16,
        /// 52 or 64.
        expected: u16,
    },
    /// `e_phentsize` does not match the class.
    ProgramHeaderSize {
        /// `e_phentsize`.
        found: u16,
        /// 32 or 56.
        expected: u16,
    },
}

impl Say for HeaderFault {
    fn say(&self, out: &mut Out<'_>) {
        let number = |number: u16| Number::of(number);
        match *self {
            HeaderFault::NotElf => out("not an ELF file"),
            HeaderFault::Truncated { len, need } => {
                let (len, need) = (Number::Decimal(len as u64), Number::Decimal(need as u64));
                say!(out, "ELF header cut short at ", len, " of ", need, " bytes");
            }
            HeaderFault::Class(class) => {
                say!(out, "ELF class ", number(class.into()), " is neither 1 (32-bit) nor 2 (64-bit)");
            }
            HeaderFault::Data(data) => {
                say!(out, "ELF byte order ", number(data.into()), " is neither 1 (little-endian) nor 2 (big-endian)");
            }
            HeaderFault::Version(version) => say!(out, "ELF version ", number(version.into()), " is not 1"),
            HeaderFault::Type(ET_REL) => out("an object file, not a program"),
            HeaderFault::Type(ET_CORE) => out("a core dump, not a program"),
            HeaderFault::Type(kind) => say!(out, "ELF type ", number(kind), " is neither 2 nor 3 (a program)"),
            HeaderFault::HeaderSize { found, expected } => {
                say!(out, "ELF header size ", number(found), " is not ", number(expected));
            }
            HeaderFault::ProgramHeaderSize { found, expected } => {
                say!(out, "ELF program header size ", number(found), " is not ", number(expected));
            }
        }
    }
}

/// An ELF header that passed the checks of QEMU's loader (linux-user/elfload.c, `elf_check_ident`,
/// `elf_check_ehdr`), except that of the machine number. Neither QEMU nor Linux looks at
/// `e_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `EI_CLASS`.
    pub class: Class,
    /// `EI_DATA`.
    pub data: Data,
    /// `EI_OSABI`.
    pub osabi: u8,
    /// `e_type`: [`ET_EXEC`] or [`ET_DYN`].
    pub kind: u16,
    /// `e_machine`.
    pub machine: Machine,
    /// `e_entry`.
    pub entry: u64,
    /// `e_phoff`.
    pub phoff: u64,
    /// `e_flags`.
    pub flags: u32,
    /// `e_phnum`.
    pub phnum: u16,
}

impl Header {
    /// Reads and checks the header at the start of `file`.
    ///
    /// # Errors
    /// The first [`HeaderFault`] in the order of the header's fields.
    pub fn parse(file: &[u8]) -> Result<Self, HeaderFault> {
        // A file that ends within its magic is reported as short only if the bytes that it has
        // match the magic.
        let agreeing = file.iter().zip(&MAGIC).take_while(|(a, b)| a == b).count();
        if agreeing < MAGIC.len() && agreeing < file.len() || file.is_empty() {
            return Err(HeaderFault::NotElf);
        }
        let short = |need| HeaderFault::Truncated { len: file.len(), need };
        let ident: [u8; 16] = bytes::array(file, 0).ok_or(short(Class::Elf32.header_size().into()))?;
        let [_, _, _, _, class, data, version, osabi, ..] = ident;
        let class = Class::from_ident(class).ok_or(HeaderFault::Class(class))?;
        let data = Data::from_ident(data).ok_or(HeaderFault::Data(data))?;
        if version != EV_CURRENT {
            return Err(HeaderFault::Version(version));
        }
        let need = usize::from(class.header_size());
        let fields = Fields { bytes: file.get(..need).ok_or(short(need))?, class, data };
        // Every offset below lies inside the header: its size is checked above.
        let complete = || {
            let wide = |narrow, wide| if class == Class::Elf32 { narrow } else { wide };
            Some((
                (fields.u16(wide(40, 52))?, fields.u16(wide(42, 54))?),
                Header {
                    class,
                    data,
                    osabi,
                    kind: fields.u16(TYPE)?,
                    machine: Machine(fields.u16(MACHINE)?),
                    entry: fields.word(24, 24)?,
                    phoff: fields.word(28, 32)?,
                    flags: fields.u32(class.flags_offset())?,
                    phnum: fields.u16(wide(44, 56))?,
                },
            ))
        };
        let ((ehsize, phentsize), header) = complete().ok_or(short(need))?;
        if header.kind != ET_EXEC && header.kind != ET_DYN {
            return Err(HeaderFault::Type(header.kind));
        }
        if ehsize != class.header_size() {
            return Err(HeaderFault::HeaderSize { found: ehsize, expected: class.header_size() });
        }
        if phentsize != class.program_header_size() {
            return Err(HeaderFault::ProgramHeaderSize { found: phentsize, expected: class.program_header_size() });
        }
        Ok(header)
    }

    /// Size of the program header table, in bytes.
    pub fn program_headers_size(&self) -> u64 {
        u64::from(self.phnum).saturating_mul(self.class.program_header_size().into())
    }

    /// The program headers in `table`, the bytes at `e_phoff`. Fewer than `e_phnum` if `table` is
    /// short.
    pub fn program_headers<'a>(&self, table: &'a [u8]) -> impl Iterator<Item = ProgramHeader> + Clone + use<'a> {
        let Header { class, data, phnum, .. } = *self;
        table
            .chunks_exact(class.program_header_size().into())
            .take(phnum.into())
            .filter_map(move |bytes| ProgramHeader::parse(Fields { bytes, class, data }))
    }
}

/// One program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramHeader {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`, bytes into the file.
    pub offset: u64,
    /// `p_vaddr`, an address before relocation.
    pub vaddr: u64,
    /// `p_filesz`, in bytes.
    pub filesz: u64,
    /// `p_memsz`, in bytes.
    pub memsz: u64,
    /// `p_align`, in bytes; 0 and 1 mean no alignment.
    pub align: u64,
}

impl ProgramHeader {
    fn parse(fields: Fields<'_>) -> Option<Self> {
        Some(ProgramHeader {
            kind: fields.u32(0)?,
            flags: fields.u32(if fields.class == Class::Elf32 { 24 } else { 4 })?,
            offset: fields.word(4, 8)?,
            vaddr: fields.word(8, 16)?,
            filesz: fields.word(16, 32)?,
            memsz: fields.word(20, 40)?,
            align: fields.word(28, 48)?,
        })
    }

    /// The bytes of an `Elf64_Phdr`, little-endian, with `p_paddr` equal to `p_vaddr`.
    pub fn to_elf64_le(&self) -> [u8; 56] {
        let Self { kind, flags, offset, vaddr, filesz, memsz, align } = *self;
        let mut bytes = [0; 56];
        let words = [offset, vaddr, vaddr, filesz, memsz, align].into_iter().flat_map(u64::to_le_bytes);
        let fields = kind.to_le_bytes().into_iter().chain(flags.to_le_bytes()).chain(words);
        bytes.iter_mut().zip(fields).for_each(|(to, byte)| *to = byte);
        bytes
    }
}
