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
    // The stack of the first thread has the highest addresses. Those of other threads are where
    // files are, which now and then is below the bases.
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs is mounted");
    let stack = maps.lines().find(|line| line.ends_with("[stack]")).and_then(|line| line.split('-').next());
    stack.and_then(|start| u64::from_str_radix(start, 16).ok()).is_some_and(|start| start > BASES.end)
}
