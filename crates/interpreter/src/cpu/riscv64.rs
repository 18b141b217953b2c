//! 64-bit RISC-V hosts (the RISC-V psABI; `start_thread` in `arch/riscv/kernel/process.c`;
//! `arch/riscv/kernel/entry.S`).

use core::arch::{asm, global_asm};

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::initial_stack::SPARE;

/// The values that an emulator's ELF header must have.
pub const HOST: Host = Host { machine: Machine(243), class: Class::Elf64, data: Data::Little };

/// Whether linkers may write relative relocations unpacked: GNU ld 2.44 does not write the packed
/// form for this CPU.
pub const UNPACKED: bool = true;
/// The largest page size that a kernel for this CPU may have, in bytes.
pub const LARGEST_PAGE: usize = 4096;
/// Whether machines differ in the number of address bits that programs have: 38 or 47
/// (`arch/riscv/include/asm/pgtable.h`, `MMAP_VA_BITS`).
pub const ADDRESSES_VARY: bool = true;
/// Number of the lowest random bits, in addresses that the kernel chooses, that are not used for
/// another choice: at least 18 bits are random, from bit 12 on (`arch/riscv/Kconfig`,
/// `ARCH_MMAP_RND_BITS_MIN`).
pub const RANDOM_BITS_LEFT: u32 = 0;
/// `MAP_NORESERVE` (uapi/asm-generic/mman.h).
pub const MAP_NORESERVE: usize = 0x4000;

/// Numbers of the system calls (`uapi/asm-generic/unistd.h`; `scripts/syscall.tbl` since 6.11).
pub mod nr {
    pub const WRITE: usize = 64;
    pub const CLOSE: usize = 57;
    pub const FSTAT: usize = 80;
    pub const MMAP: usize = 222;
    pub const MPROTECT: usize = 226;
    pub const MUNMAP: usize = 215;
    pub const BRK: usize = 214;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const PREAD64: usize = 67;
    pub const MREMAP: usize = 216;
    pub const EXECVE: usize = 221;
    pub const UNAME: usize = 160;
    pub const FCNTL: usize = 25;
    pub const PRCTL: usize = 167;
    pub const EXIT_GROUP: usize = 94;
    pub const OPENAT: usize = 56;
    pub const NEWFSTATAT: usize = 79;
    pub const READLINKAT: usize = 78;
    pub const FACCESSAT: usize = 48;
}

/// Offsets in `struct stat`, in machine words, of `st_size`, `st_dev`, `st_ino`, and the two words
/// of `st_mtime` (uapi/asm-generic/stat.h).
pub const STAT_SIZE: usize = 6;
pub const STAT_DEV: usize = 0;
pub const STAT_INO: usize = 1;
pub const STAT_MTIME: usize = 11;
pub const STAT_MTIME_NSEC: usize = 12;

/// Makes a system call; a result from -4095 to -1 is an errno.
///
/// # Safety
/// The caller answers for the call's effects on memory and descriptors.
pub unsafe fn syscall(nr: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the kernel clobbers only a0, the vector registers, which no compiled code uses here,
    // and the memory that the caller answers for.
    unsafe {
        asm!(
            "ecall",
            in("a7") nr,
            inlateout("a0") a as isize => result,
            in("a1") b, in("a2") c, in("a3") d, in("a4") e, in("a5") f,
            options(nostack),
        );
    }
    result
}

/// The system call `exit_group`. If the process is forbidden to make it, it dies by SIGILL.
pub fn exit(code: u8) -> ! {
    // SAFETY: no code runs after it.
    unsafe {
        asm!("ecall", "unimp", in("a7") nr::EXIT_GROUP, in("a0") usize::from(code), options(noreturn, nostack));
    }
}

unsafe extern "C" {
    /// Starts the program at `entry` with the stack pointer `sp` and all other registers as after
    /// execve(2), except t0.
    ///
    /// # Safety
    /// `sp` must point to an initial stack and be a multiple of 16, and `entry` to the entry point
    /// of a mapped program.
    #[link_name = "dispatch_enter"]
    pub fn enter(sp: *const usize, entry: usize) -> !;
}

// The kernel enters at `_start`: sp points to argc, and all other registers are zero. Words below
// it are reserved for additions to the emulator's initial stack. Nothing may use the GOT or follow
// a pointer in data before `relocate` has added the load address to them. The linker may shorten
// addresses to offsets from gp.
global_asm!(
    ".pushsection .text.start,\"ax\",@progbits",
    ".hidden __ehdr_start",
    ".hidden _DYNAMIC",
    ".hidden dispatch_relocate",
    ".hidden dispatch_begin",
    ".globl _start",
    ".type _start,@function",
    "_start:",
    ".option push",
    ".option norelax",
    "lla gp, __global_pointer$",
    ".option pop",
    "mv s0, sp",
    "li a0, {spare}",
    "sub sp, sp, a0",
    "andi sp, sp, -16",
    "lla a0, __ehdr_start",
    "lla a1, _DYNAMIC",
    "call dispatch_relocate",
    "mv a0, s0",
    "lla a1, __ehdr_start",
    "call dispatch_begin",
    "unimp",
    ".size _start, . - _start",
    ".popsection",
    spare = const SPARE * size_of::<usize>(),
);

// A jump needs a register that holds the address; `t0` is one that any call may change. a0 must be
// zero: glibc treats it as a function to call at exit. The compiler uses floating-point registers
// for floating-point numbers only, so they are still as the kernel left them.
global_asm!(
    ".globl dispatch_enter",
    ".hidden dispatch_enter",
    "dispatch_enter:",
    "mv sp, a0",
    "mv t0, a1",
    ".irp r, ra,gp,tp,t1,t2,s0,s1,a0,a1,a2,a3,a4,a5,a6,a7,s2,s3,s4,s5,s6,s7,s8,s9,s10,s11,t3,t4,t5,t6",
    "li \\r, 0",
    ".endr",
    "jr t0",
);

// The functions that the compiler expects from a libc. They are short, not fast: a few hundred
// bytes are copied here.
global_asm!(
    ".macro dispatch_function name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,@function",
    "\\name:",
    ".endm",
    "dispatch_function memmove",
    "sub a3, a0, a1",
    "bgeu a3, a2, 2f", // Unsigned: below means that the source's end lies in the destination.
    "1:",
    "beqz a2, 9f",
    "addi a2, a2, -1",
    "add a3, a1, a2",
    "lbu a4, 0(a3)",
    "add a3, a0, a2",
    "sb a4, 0(a3)",
    "j 1b",
    "dispatch_function memcpy",
    "2:",
    "mv a3, a0",
    "3:",
    "beqz a2, 9f",
    "lbu a4, 0(a1)",
    "sb a4, 0(a3)",
    "addi a1, a1, 1",
    "addi a3, a3, 1",
    "addi a2, a2, -1",
    "j 3b",
    "dispatch_function memset",
    "mv a3, a0",
    "4:",
    "beqz a2, 9f",
    "sb a1, 0(a3)",
    "addi a3, a3, 1",
    "addi a2, a2, -1",
    "j 4b",
    "9:",
    "ret",
    "dispatch_function bcmp",
    "dispatch_function memcmp",
    "mv a3, a0",
    "li a0, 0",
    "5:",
    "beqz a2, 6f",
    "lbu a4, 0(a3)",
    "lbu a5, 0(a1)",
    "addi a3, a3, 1",
    "addi a1, a1, 1",
    "addi a2, a2, -1",
    "sub a0, a4, a5",
    "beqz a0, 5b",
    "6:",
    "ret",
    "dispatch_function strlen",
    "mv a1, a0",
    "li a0, -1",
    "7:",
    "addi a0, a0, 1",
    "add a2, a1, a0",
    "lbu a2, 0(a2)",
    "bnez a2, 7b",
    "ret",
);
