//! The reader of images, given anything: it refuses or reads, within the bounds of docs/image-format.md, and never
//! panics.

#![no_main]

use dispatch_core::elf::Machine;
use dispatch_core::image::{Image, ImageHeader, checksum};
use dispatch_core::record::Field;
use libfuzzer_sys::fuzz_target;

/// EM_X86_64, so that inputs that are right in all else get past the header.
const HOST: Machine = Machine(62);

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // Few inputs have the right checksum by chance; with it, the rest of the reader is reached.
    let mut bytes = bytes.to_vec();
    let sum = ImageHeader::SIZE - u64::SIZE;
    if bytes.len() >= ImageHeader::SIZE {
        let right = checksum(&bytes[..sum]).to_le_bytes();
        bytes[sum..ImageHeader::SIZE].copy_from_slice(&right);
        read(&bytes);
    }
});

fn read(bytes: &[u8]) {
    let Some(header) = ImageHeader::read(bytes) else { return };
    let Ok(image) = Image::read(bytes, header.len, HOST, 0x1000) else { return };
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
}
