//! Files as QEMU appends to them, with blocks that are made up.

use dispatch_core::record::Field;
use dispatch_translations::{FileHeader, MAGIC, OriginRecord, RecordHeader, VERSION, checksum};
use proptest::collection::vec;
use proptest::prelude::*;

/// Length of the header, in bytes.
pub const HEADER: usize = 256;
/// Its bytes that the checksum covers.
pub const SUMMED: usize = 144;
/// Size of the guest's pages, in bytes.
pub const GUEST_PAGE: u32 = 4096;

/// A record before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The fields that do not follow from the other parts.
    pub header: RecordHeader,
    /// The guest's bytes.
    pub guest: Vec<u8>,
    /// References to QEMU, then to its prologue: offsets in the code.
    pub references: Vec<u16>,
    /// The code.
    pub code: Vec<u8>,
    /// The unwind information.
    pub unwind: Vec<u8>,
}

impl Draft {
    /// The record as `tb_records_add` writes it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; RecordHeader::SIZE];
        bytes.extend(&self.guest);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        self.references.iter().for_each(|offset| bytes.extend(offset.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes.extend(self.code.iter().chain(&self.unwind));
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        let exits = self.references.len() / 2;
        let header = RecordHeader {
            length: bytes.len() as u32,
            size: self.guest.len() as u16,
            nrefs: (self.references.len() - exits) as u16,
            nexits: exits as u16,
            code_size: self.code.len() as u16,
            search_size: self.unwind.len() as u16,
            ..self.header
        };
        write(&mut bytes, 0, &header);
        seal(&mut bytes);
        bytes
    }
}

/// A record in the middle of everything that is possible.
pub fn draft(hash: u32, guest: &[u8]) -> Draft {
    let header = RecordHeader { hash, icount: 1, jmp_reset_offset_0: 4, jmp_insn_offset_0: 0, ..NO_EXITS };
    Draft { header, guest: guest.to_vec(), references: vec![0, 4], code: vec![0x90; 8], unwind: vec![1; 3] }
}

const NO_EXITS: RecordHeader = RecordHeader {
    checksum: 0,
    length: 0,
    hash: 0,
    pc: 0,
    cs_base: 0,
    flags: 0,
    cflags: 0,
    size: 0,
    icount: 0,
    jmp_reset_offset_0: 0xffff,
    jmp_reset_offset_1: 0xffff,
    jmp_insn_offset_0: 0xffff,
    jmp_insn_offset_1: 0xffff,
    based: 0,
    nrefs: 0,
    nexits: 0,
    code_size: 0,
    search_size: 0,
    reserved: 0,
};

/// Any record. Equal keys and equal bytes of the guest are frequent.
pub fn drafts(most: usize) -> impl Strategy<Value = Vec<Draft>> {
    let hash = prop_oneof![0..4_u32, Just(u32::MAX), any::<u32>()];
    let guest = prop_oneof![Just(vec![1, 2, 3, 4]), vec(any::<u8>(), 1..40)];
    let key = (hash, 0..4000_u64, any::<bool>(), 0..2_u64, 0..2_u32, any::<u32>(), 0..2_u16);
    let one = (key, guest, vec(any::<u8>(), 4..100), vec(any::<u16>(), 0..6), vec(any::<u8>(), 0..20)).prop_map(
        |((hash, pc, same, cs_base, flags, cflags, based), guest, code, references, unwind)| {
            let pc = if same { 8 } else { pc };
            let last = code.len() as u16 - 4;
            let references = references.into_iter().map(|offset| offset % (last + 1)).collect();
            let header = RecordHeader { hash, pc, cs_base, flags, cflags, based, jmp_insn_offset_1: last, ..NO_EXITS };
            Draft { header, guest, references, code, unwind }
        },
    );
    vec(one, 0..most)
}

/// A file with these records as QEMU writes it, except that the index may lack some of them.
pub fn file(records: &[Vec<u8>], slots: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEADER + 8 * slots];
    for record in records {
        let hash = u32::read(&record[12..]).expect("a record has a header");
        let place = (0..32).map(|probe| HEADER + 8 * ((hash as usize).wrapping_add(probe) & (slots - 1)));
        if let Some(place) = place.into_iter().find(|place| bytes[*place..place + 8] == [0; 8]) {
            let slot = (u64::from(hash) << 32) + bytes.len() as u64 / 16;
            bytes[place..place + 8].copy_from_slice(&slot.to_le_bytes());
        }
        bytes.extend(record);
    }
    let origin = OriginRecord { build: [7; 32], features: 0x1ff, page: GUEST_PAGE, machine: 62, ..Default::default() };
    let (end, count) = (bytes.len() as u64, records.len() as u64);
    let header = FileHeader { magic: MAGIC, version: VERSION, slots: slots as u32, origin, checksum: 0, end, count };
    write(&mut bytes, 0, &header);
    bytes[64..67].copy_from_slice(b"max");
    seal_header(&mut bytes);
    bytes
}

/// Writes a structure at an offset.
pub fn write(bytes: &mut [u8], mut at: usize, field: &impl Field) {
    field.write(&mut |part| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    });
}

/// Corrects the checksum of a record.
pub fn seal(record: &mut [u8]) {
    let sum = checksum(&record[8..]);
    write(record, 0, &sum);
}

/// Corrects the checksum of a file's header.
pub fn seal_header(file: &mut [u8]) {
    let sum = checksum(&file[..SUMMED]);
    write(file, SUMMED, &sum);
}
