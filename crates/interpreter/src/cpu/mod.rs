//! Everything that depends on the host's CPU: one file each, all with the same names in it.
//!
//! * `HOST`, what an emulator's ELF header must say;
//! * `nr`, the numbers of the system calls used;
//! * `syscall`, `exit`, `enter`, and the symbols `_start`, `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`,
//!   `strlen`, which the compiler calls.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("this host's CPU needs its own file in crates/interpreter/src/cpu, with the names that mod.rs lists");
