//! Packed records, unpacked as QEMU does it.

use dispatch_core::record::Field;

/// What a packed record has unpacked, as `lz4_unpack` does it.
pub fn unpack(mut packed: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let (token, rest) = packed.split_first()?;
        packed = rest;
        let literals = length(token >> 4, &mut packed)?;
        out.extend_from_slice(taken(&mut packed, literals)?);
        if packed.is_empty() {
            return Some(out);
        }
        let offset = usize::from(u16::read(taken(&mut packed, 2)?)?);
        let length = length(token & 15, &mut packed)? + 4;
        match offset.checked_sub(dictionary.len()) {
            None => out.extend_from_slice(dictionary.get(offset..offset + length)?),
            Some(distance) => {
                for _ in 0..length {
                    out.push(*out.get(out.len().checked_sub(distance)?)?);
                }
            }
        }
    }
}

fn length(nibble: u8, packed: &mut &[u8]) -> Option<usize> {
    let mut length = usize::from(nibble);
    let mut more = nibble == 15;
    while more {
        let byte = taken(packed, 1)?[0];
        length += usize::from(byte);
        more = byte == 255;
    }
    Some(length)
}

fn taken<'a>(packed: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = packed.split_at_checked(length)?;
    *packed = rest;
    Some(taken)
}
