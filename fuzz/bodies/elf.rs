//! The project's reader of ELF headers and goblin's: they accept the same headers, and read the
//! same fields.

use dispatch_core::bytes::slice;
use dispatch_core::elf::{Class, Data, EV_CURRENT, Header, HeaderFault, Machine};
use goblin::container::{Container, Ctx};
use goblin::elf::header::{EI_DATA, EI_OSABI, EI_VERSION, ELFDATA2MSB};
use goblin::elf::{Elf, ProgramHeader};

/// Returns whether both accept the program.
pub fn run(bytes: &[u8]) -> bool {
    let ours = Header::parse(bytes);
    let theirs = Elf::parse_header(bytes).ok().filter(|header| differences(header).is_ok());
    let (Ok(ours), Some(theirs)) = (ours, theirs) else {
        assert!(ours.is_err() && theirs.is_none(), "ours: {ours:?}\ngoblin's: {theirs:?}");
        return false;
    };
    let container = theirs.container().expect("the class is good");
    let ctx = Ctx::new(container, theirs.endianness().expect("the byte order is good"));
    let expected = Header {
        class: if container == Container::Big { Class::Elf64 } else { Class::Elf32 },
        data: if theirs.e_ident[EI_DATA] == ELFDATA2MSB { Data::Big } else { Data::Little },
        osabi: theirs.e_ident[EI_OSABI],
        kind: theirs.e_type,
        machine: Machine(theirs.e_machine),
        entry: theirs.e_entry,
        phoff: theirs.e_phoff,
        flags: theirs.e_flags,
        phnum: theirs.e_phnum,
    };
    assert_eq!(ours, expected);
    // An incomplete table counts as missing for either. goblin does not look for an empty one.
    let Some(table) = slice(bytes, ours.phoff, ours.program_headers_size()) else { return true };
    let theirs = ProgramHeader::parse(bytes, theirs.e_phoff as usize, theirs.e_phnum.into(), ctx).expect("it is there");
    let ours: Vec<_> = ours.program_headers(table).collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let fields = (theirs.p_type, theirs.p_flags, theirs.p_offset, theirs.p_vaddr);
        assert_eq!((ours.kind, ours.flags, ours.offset, ours.vaddr), fields);
        assert_eq!((ours.filesz, ours.memsz, ours.align), (theirs.p_filesz, theirs.p_memsz, theirs.p_align));
    }
    true
}

/// All known differences: headers that goblin accepts, and that the project refuses as QEMU's
/// loader does.
fn differences(header: &goblin::elf::Header) -> Result<(), HeaderFault> {
    let class = Class::from_ident(header.e_ident[4]).expect("goblin has looked at it");
    let version = header.e_ident[EI_VERSION];
    match header {
        _ if version != EV_CURRENT => Err(HeaderFault::Version(version)),
        _ if ![2, 3].contains(&header.e_type) => Err(HeaderFault::Type(header.e_type)),
        _ if header.e_ehsize != class.header_size() => {
            Err(HeaderFault::HeaderSize { found: header.e_ehsize, expected: class.header_size() })
        }
        _ if header.e_phentsize != class.program_header_size() => {
            Err(HeaderFault::ProgramHeaderSize { found: header.e_phentsize, expected: class.program_header_size() })
        }
        _ => Ok(()),
    }
}
