//! Maps an emulator from its descriptor, as the kernel's ELF loader would (fs/binfmt_elf.c, `elf_load`).

use dispatch_core::elf::{PF_W, PF_X};
use dispatch_core::program::{Mapping, Program};

use crate::stack::Block;
use crate::sys::{self, Description, Fd, Place, Protection};

/// A mapped emulator.
pub struct Loaded {
    bias: usize,
}

/// EEXIST: the addresses of an emulator that cannot move are taken.
const EEXIST: i32 = 17;

impl Loaded {
    /// Where an address of the file is in memory.
    pub fn address(&self, address: u64) -> usize {
        self.bias.wrapping_add(address as usize)
    }

    /// Gives the process to it.
    pub fn enter(&self, block: &Block, program: &Program<'_>) -> ! {
        // SAFETY: `map` has mapped all of the program, and its entry point lies in it.
        unsafe { block.enter(self.address(program.entry)) }
    }

    /// What /proc shall show of the emulator's own memory.
    pub fn description(&self, program: &Program<'_>) -> Description {
        let mut description = Description::default();
        for mapping in program.mappings() {
            let start = self.address(mapping.address);
            let end = start.saturating_add((mapping.file_len as usize).saturating_add(mapping.fresh_len as usize));
            if mapping.flags & PF_X != 0 {
                (description.start_code, description.end_code) = (start, end);
            } else if mapping.flags & PF_W != 0 {
                (description.start_data, description.end_data) = (start, end);
            }
        }
        description
    }
}

/// Maps `program` out of `file`.
///
/// # Errors
/// The kernel's errno; what was mapped stays, for the process ends with the refusal.
pub fn map(file: Fd, program: &Program<'_>) -> Result<Loaded, i32> {
    let low = program.low as usize;
    let loaded = Loaded { bias: reserve(program)?.wrapping_sub(low) };
    for mapping in program.mappings() {
        place(file, &loaded, &mapping)?;
    }
    Ok(loaded)
}

/// Reserves the emulator's whole range and returns its start.
fn reserve(program: &Program<'_>) -> Result<usize, i32> {
    let len = program.high.saturating_sub(program.low) as usize;
    if !program.relocatable {
        let low = program.low as usize;
        // SAFETY: replaces nothing.
        let got = unsafe { sys::map(Place::IfFree(low), len, Protection::NONE, None) }?;
        return if got == low { Ok(low) } else { Err(EEXIST) };
    }
    // One page more than needed for each page of alignment, and back what is not used.
    let slack = program.align.saturating_sub(program.page()) as usize;
    // SAFETY: replaces nothing.
    let got = unsafe { sys::map(Place::Anywhere, len.saturating_add(slack), Protection::NONE, None) }?;
    let below = (program.align as usize).wrapping_sub(got) & (program.align as usize).wrapping_sub(1);
    let start = got.saturating_add(below);
    // SAFETY: reserved just now, and not part of the emulator's range.
    unsafe { sys::unmap(got, below) };
    // SAFETY: as above.
    unsafe { sys::unmap(start.saturating_add(len), slack.saturating_sub(below)) };
    Ok(start)
}

/// Puts one segment into the reserved range.
fn place(file: Fd, loaded: &Loaded, mapping: &Mapping) -> Result<(), i32> {
    let protection = Protection::of_segment(mapping.flags);
    let start = loaded.address(mapping.address);
    let file_len = mapping.file_len as usize;
    if file_len != 0 {
        // SAFETY: inside the reserved range.
        unsafe { sys::map(Place::Over(start), file_len, protection, Some((file, mapping.offset))) }?;
    }
    let (zero, zero_len) = mapping.zero;
    if zero_len != 0 {
        // SAFETY: the rest of the last page of a writable segment that was mapped just now.
        unsafe { core::ptr::write_bytes(loaded.address(zero) as *mut u8, 0, zero_len as usize) };
    }
    if mapping.fresh_len != 0 {
        let fresh = start.saturating_add(file_len);
        // SAFETY: inside the reserved range.
        unsafe { sys::map(Place::Over(fresh), mapping.fresh_len as usize, protection, None) }?;
    }
    Ok(())
}
