//! The reader of images, given anything: it refuses or reads, within the bounds of docs/image-format.md, and never
//! panics.

use dispatch_core::elf::Machine;
use dispatch_core::image::{Image, ImageHeader, checksum};
use dispatch_core::record::Field;

/// EM_X86_64, so that inputs that are right in all else get past the header.
const HOST: Machine = Machine(62);

/// Whether it is an image, once its checksum is right.
pub fn run(bytes: &[u8]) -> bool {
    read(bytes);
    // Few inputs have the right checksum by chance; with it, the rest of the reader is reached.
    let mut bytes = bytes.to_vec();
    let sum = ImageHeader::SIZE - u64::SIZE;
    if bytes.len() < ImageHeader::SIZE {
        return false;
    }
    let right = checksum(&bytes[..sum]).to_le_bytes();
    bytes[sum..ImageHeader::SIZE].copy_from_slice(&right);
    read(&bytes)
}

fn read(bytes: &[u8]) -> bool {
    let Some(header) = ImageHeader::read(bytes) else { return false };
    let image = match Image::read(bytes, header.len, HOST, 0x1000) {
        Ok(image) => image,
        Err(fault) => {
            assert!(!fault.to_string().contains(char::is_control), "{fault}");
            return false;
        }
    };
    for row in image.table.rows().flatten() {
        let _ = image.emulator(&row);
        row.paths.iter().chain(row.options.iter()).for_each(|string| assert!(string.to_bytes().len() < bytes.len()));
    }
    for program in image.programs().flatten() {
        let end = program.record.low + program.record.body.len;
        assert!(program.record.body.offset + program.record.body.len <= header.len);
        program
            .segments()
            .for_each(|part| assert!(program.record.low <= part.address && part.address + part.len <= end));
        program.words().for_each(|word| assert!(program.record.low <= word.address && word.address + 8 <= end));
    }
    true
}
