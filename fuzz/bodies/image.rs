//! Any bytes as an image: the reader refuses it or reads it, within the bounds of
//! docs/image-format.md, and never panics.

use dispatch_core::elf::Machine;
use dispatch_core::emulator_file::MAX_SPAN;
use dispatch_core::image::{Embedded, Image, ImageHeader, ProgramRecord, checksum};
use dispatch_core::record::Field;
use dispatch_core::table::TABLE_MAGIC;

/// `EM_X86_64`, so that otherwise correct inputs get past the header.
const HOST: Machine = Machine(62);
/// Page size of this host, in bytes.
const PAGE: u64 = 0x1000;

/// Returns whether it is an image, after its checksum has been corrected.
pub fn run(bytes: &[u8]) -> bool {
    read(bytes);
    // Few inputs have the right checksum by chance. With it, the rest of the reader is reached.
    let mut bytes = bytes.to_vec();
    let sum = ImageHeader::SIZE - u64::SIZE;
    if bytes.len() < ImageHeader::SIZE {
        return false;
    }
    let right = checksum(&bytes[..sum]).to_le_bytes();
    bytes[sum..ImageHeader::SIZE].copy_from_slice(&right);
    // Few have the magic of a table at the offset in the header.
    let table = ImageHeader::read(&bytes).and_then(|header| usize::try_from(header.table.offset).ok());
    let end = table.and_then(|start| start.checked_add(TABLE_MAGIC.len()));
    if let Some(magic) = table.zip(end).and_then(|(start, end)| bytes.get_mut(start.max(ImageHeader::SIZE)..end)) {
        magic.copy_from_slice(&TABLE_MAGIC);
    }
    read(&bytes)
}

fn read(bytes: &[u8]) -> bool {
    let Some(header) = ImageHeader::read(bytes) else { return false };
    let image = match Image::read(bytes, header.len, HOST, PAGE) {
        Ok(image) => image,
        Err(fault) => {
            assert!(!fault.to_string().contains(char::is_control), "{fault}");
            return false;
        }
    };
    for row in image.table.rows().flatten() {
        let _ = image.emulator(&row);
        row.paths()
            .iter()
            .chain(row.options().iter())
            .for_each(|string| assert!(string.to_bytes().len() < bytes.len()));
    }
    image.programs().flatten().for_each(|program| check(&program, &header));
    true
}

/// The properties on which the interpreter relies when it moves a program.
fn check(program: &Embedded<'_>, header: &ImageHeader) {
    let ProgramRecord { relocatable, low, high, align, base, entry, phdr, body, .. } = *program.record();
    let end = low + body.len;
    assert!(body.offset + body.len <= header.len && end <= high && high - low <= MAX_SPAN);
    assert!(align.is_power_of_two() && [low, high, base, body.offset, body.len].iter().all(|n| n % PAGE == 0));
    assert!((low..end).contains(&entry) && (low..end).contains(&phdr) && relocatable + u64::from(base == 0) > 0);
    let mut reached = low;
    for part in program.segments() {
        assert!(reached <= part.address && part.address + part.len <= high && part.flags & 3 != 3);
        reached = part.address + part.len;
    }
    // This also holds behind the body, where a writable segment continues.
    program.words().for_each(|word| assert!(low <= word.address && word.address + 8 <= high));
}
