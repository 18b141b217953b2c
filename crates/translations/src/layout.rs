//! The layout of a file: its structures, and the limits of QEMU's reader.

use dispatch_core::record::{Field, record};

/// The first bytes of a file: `FILE_MAGIC` with its NUL.
pub const MAGIC: [u8; 8] = *b"tb-recs\0";
/// The version that is read and written: `FILE_VERSION`.
pub const VERSION: u32 = 1;
/// Fewest slots of an index. It is [`MAX_PROBES`], because QEMU refuses a smaller index.
pub const SLOTS: usize = MAX_PROBES;
/// The first bytes of a file of packed records: `PACKED_MAGIC` with its NUL.
pub const PACKED_MAGIC: [u8; 8] = *b"tb-pack\0";
/// The version of its layout, which an emulator's note names: `PACKED_VERSION`.
pub const PACKED_VERSION: u32 = 3;
/// Bits of a slot that tell the place of a packed record, in units of [`PACKED_ALIGN`]; the others
/// are those of its hash: `PLACE_BITS`.
pub const PLACE_BITS: u32 = 26;
/// The place of a packed record is a multiple of this, in bytes.
pub const PACKED_ALIGN: usize = 2;
/// Packed records lie in chunks of this length, in bytes, each of which has a checksum: `CHUNK`.
pub const CHUNK: usize = 1024;
/// The code does not depend on the block's address, but for its offset in the page: `CF_PCREL`.
pub const CF_PCREL: u32 = 0x0002_0000;
/// How many slots are looked at for one hash: `MAX_PROBES`.
pub const MAX_PROBES: usize = 32;
/// Length of the header with its reserved part, in bytes: `sizeof(Header)`.
pub const HEADER: usize = 256;
/// Length of a slot, in bytes: `sizeof(Slot)`.
pub const SLOT: usize = 8;
/// The length and the place of a record, and those of its code, are multiples of this, in bytes:
/// `RECORD_ALIGN`.
pub const ALIGN: usize = 16;
/// The length of a finished file is a multiple of this, in bytes: the smallest page size of the hosts.
/// An image fills it up to whole pages where they are larger.
pub const PAGE: usize = 4096;
/// Length of what refers to something outside the block, in bytes: an operand on `x86_64`, an
/// instruction on `aarch64`.
pub const OPERAND: usize = 4;
/// Size of a CPU model with its NUL, in bytes.
pub const MODEL: usize = 80;

record! {
    /// The start of a file. Zeros follow, up to 256 bytes, and then the index.
    pub struct FileHeader {
        /// [`MAGIC`].
        pub magic: [u8; 8],
        /// [`VERSION`].
        pub version: u32,
        /// Number of slots in the index, a power of two.
        pub slots: u32,
        /// What the code in the file depends on.
        pub origin: OriginRecord,
        /// [`checksum`] of the header's bytes before this field.
        pub checksum: u64,
        /// Where the records end, in bytes from the start of the file.
        pub end: u64,
        /// Number of records that the index names.
        pub count: u64,
    }
}

record! {
    /// What the code in a file depends on besides the blocks.
    pub struct OriginRecord {
        /// Build-id of the emulator, with zeros behind it.
        pub build: [u8; 32],
        /// Features of the host's CPU, as QEMU numbers them (`host/cpuinfo.h`); on `aarch64`, in the
        /// upper half, the length of a line of its instruction cache.
        pub features: u64,
        /// Size of the guest's pages, in bytes.
        pub page: u32,
        /// `e_machine` of the host.
        pub machine: u32,
        /// The emulated CPU, as `-cpu` names it, with zeros behind it.
        pub model: Model,
    }
}

record! {
    /// The start of a record. The guest's bytes, the references and the code follow.
    pub struct RecordHeader {
        /// [`checksum`] of the record's bytes behind this field.
        pub checksum: u64,
        /// Length of the record in bytes, a multiple of 16.
        pub length: u32,
        /// Hash of the key and of the guest's first bytes.
        pub hash: u32,
        /// Address of the block; for code without addresses, its offset in the page.
        pub pc: u64,
        /// Part of the CPU's state that the code depends on.
        pub cs_base: u64,
        /// Part of the CPU's state that the code depends on.
        pub flags: u32,
        /// How the block was translated.
        pub cflags: u32,
        /// Length of the guest's bytes.
        pub size: u16,
        /// Number of the guest's instructions.
        pub icount: u16,
        /// Offset in the code where the first exit goes on if it is not linked to a block; 0xffff:
        /// there is no such exit.
        pub jmp_reset_offset_0: u16,
        /// The same for the second exit.
        pub jmp_reset_offset_1: u16,
        /// Offset in the code of the operand that links the first exit to a block; 0xffff: there is
        /// none.
        pub jmp_insn_offset_0: u16,
        /// The same for the second exit.
        pub jmp_insn_offset_1: u16,
        /// 1 if the guest's addresses are moved by `guest_base`, otherwise 0.
        pub based: u16,
        /// Number of references to QEMU itself.
        pub nrefs: u16,
        /// Number of references to QEMU's prologue and epilogue.
        pub nexits: u16,
        /// Length of the code, in bytes.
        pub code_size: u16,
        /// Length of the unwind information behind the code, in bytes.
        pub search_size: u16,
        /// Zero.
        pub reserved: u16,
    }
}

record! {
    /// The start of a file of packed records. [`StateRecord`]s, the dictionary, the index, the
    /// chunks' checksums and, from the next multiple of [`CHUNK`] on, the chunks follow.
    pub struct PackedHeader {
        /// [`PACKED_MAGIC`].
        pub magic: [u8; 8],
        /// [`PACKED_VERSION`].
        pub version: u32,
        /// Number of slots in the index, a power of two.
        pub slots: u32,
        /// What the code in the file depends on.
        pub origin: OriginRecord,
        /// Number of states.
        pub states: u32,
        /// Length of the dictionary in bytes, a multiple of 8.
        pub dictionary: u32,
        /// Number of records.
        pub count: u32,
        /// Number of chunks.
        pub chunks: u32,
        /// [`checksum`] of the states and the dictionary.
        pub tables: u64,
        /// [`checksum`] of the header's bytes before this field.
        pub checksum: u64,
    }
}

record! {
    /// What many blocks have in common.
    pub struct StateRecord {
        /// Part of the CPU's state that the code depends on.
        pub cs_base: u64,
        /// Part of the CPU's state that the code depends on.
        pub flags: u32,
        /// How the block was translated.
        pub cflags: u32,
        /// 1 if the guest's addresses are moved by `guest_base`, otherwise 0.
        pub based: u32,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// The start of a packed record. The block's address follows if the code depends on it (8
    /// bytes), the guest's bytes, and a block of LZ4 up to the record's length.
    pub struct PackedRecord {
        /// Length of the record, in bytes.
        pub length: u16,
        /// Lower 16 bits of the block's offset in the guest's page.
        pub pc: u16,
        /// Number of its state.
        pub state: u16,
        /// Length of the guest's bytes.
        pub size: u16,
        /// Length of the code, in bytes.
        pub code_size: u16,
        /// Length of the unwind information behind the code, in bytes.
        pub search_size: u16,
    }
}

/// A CPU model in an [`OriginRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model(pub [u8; MODEL]);

impl Default for Model {
    fn default() -> Self {
        Self([0; MODEL])
    }
}

impl Field for Model {
    const SIZE: usize = MODEL;
    fn read(bytes: &[u8]) -> Option<Self> {
        Field::read(bytes).map(Self)
    }
    fn write(&self, sink: &mut impl FnMut(&[u8])) {
        self.0.write(sink);
    }
}

/// The bytes of a structure, appended to `bytes`.
pub fn append(bytes: &mut Vec<u8>, field: &impl Field) {
    field.write(&mut |part| bytes.extend_from_slice(part));
}

/// QEMU's checksum of bytes whose number is a multiple of 8. Each step can be undone, so any change
/// within eight bytes is noticed.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(8).fold(bytes.len() as u64, |sum, chunk| summed(sum, u64::read(chunk).unwrap_or_default()))
}

/// QEMU's checksum of a chunk: the lower half of the [`checksum`] of four sums, which a CPU computes
/// side by side. Each of them is made from every fourth eight bytes, and begins with 0.
pub fn chunk_checksum(chunk: &[u8]) -> u32 {
    let mut sums = [0; 4];
    for words in chunk.chunks_exact(size_of_val(&sums)) {
        for (sum, word) in sums.iter_mut().zip(words.chunks_exact(u64::SIZE)) {
            *sum = summed(*sum, u64::read(word).unwrap_or_default());
        }
    }
    checksum(sums.map(u64::to_le_bytes).as_flattened()) as u32
}

fn summed(sum: u64, word: u64) -> u64 {
    let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    sum ^ sum >> 32
}
