//! Code that depends on the host's CPU: one file per CPU, all with the same names in the same
//! order, so that `diff` of two of them compares the CPUs.
//!
//! * `HOST`, the values that an emulator's ELF header must have;
//! * `UNPACKED`, whether `relocate` (start.rs) has to expect `DT_RELA`;
//! * `LARGEST_PAGE`, `ADDRESSES_VARY`, `RANDOM_BITS_LEFT`, properties of its memory (load.rs);
//! * `MAP_NORESERVE`, the flag of mmap(2) that differs;
//! * `nr`, the numbers of the system calls used;
//! * `STAT_SIZE`, `STAT_DEV`, `STAT_INO`, `STAT_MTIME`, `STAT_MTIME_NSEC`, where `struct stat` has
//!   these fields, in words;
//! * `syscall`, `exit`, `enter`;
//! * the symbol `_start`, which reserves `SPARE` words below the stack pointer and calls
//!   `dispatch_relocate` and `dispatch_begin` (start.rs);
//! * the symbols `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp` and `strlen`, which the compiler
//!   calls.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

#[cfg(target_arch = "loongarch64")]
mod loongarch64;
#[cfg(target_arch = "loongarch64")]
pub use loongarch64::*;

#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
mod ppc64le;
#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
pub use ppc64le::*;

#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "riscv64")]
pub use riscv64::*;

#[cfg(target_arch = "s390x")]
mod s390x;
#[cfg(target_arch = "s390x")]
pub use s390x::*;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(
    target_arch = "aarch64",
    target_arch = "loongarch64",
    all(target_arch = "powerpc64", target_endian = "little"),
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "x86_64"
)))]
compile_error!("this host's CPU needs its own file in crates/interpreter/src/cpu, with the names that mod.rs lists");
