//! Where the emulators in an image that is written with a seed are prelinked for.

use std::ops::Range;

/// 4 GiB of the 1 TiB in which the kernel of most machines of the CPU chooses addresses: those of
/// aarch64 have 48 bits, others 47.
pub const fn bases(aarch64: bool) -> Range<u64> {
    if aarch64 { 0xff00_4000_0000..0xff01_4000_0000 } else { 0x7f00_4000_0000..0x7f01_4000_0000 }
}

/// Those of this machine.
pub const BASES: Range<u64> = bases(cfg!(target_arch = "aarch64"));

/// Whether programs of this machine have these addresses. Kernels with other page sizes, and
/// riscv64 kernels with three levels of page tables, have fewer; emulators go elsewhere there.
pub fn is_in_reach() -> bool {
    let on_stack = 0u8;
    &raw const on_stack as u64 > BASES.end
}
