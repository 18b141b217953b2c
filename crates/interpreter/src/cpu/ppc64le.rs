//! 64-bit little-endian PowerPC hosts (the ELFv2 ABI; `start_thread` in
//! `arch/powerpc/kernel/process.c`; Documentation/arch/powerpc/syscall64-abi.rst). Such hosts are
//! not offered: docs/decisions.md says what is missing.

use core::arch::global_asm;

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::initial_stack::SPARE;

/// The values that an emulator's ELF header must have.
pub const HOST: Host = Host { machine: Machine(21), class: Class::Elf64, data: Data::Little };

/// Whether linkers may write relative relocations unpacked: GNU ld 2.44 writes the packed form for
/// this CPU.
pub const UNPACKED: bool = false;
/// The largest page size that a kernel for this CPU may have, in bytes.
pub const LARGEST_PAGE: usize = 65536;
/// Whether machines differ in the number of address bits that programs have: 46 or 47, unless a
/// program asks for more (`arch/powerpc/include/asm/task_size_64.h`, `DEFAULT_MAP_WINDOW_USER64`).
pub const ADDRESSES_VARY: bool = true;
/// Number of the lowest random bits, in addresses that the kernel chooses, that are not used for
/// another choice: at least 18 bits are random, from bit 12 on, or 14 bits from bit 16 on
/// (`arch/powerpc/Kconfig`, `ARCH_MMAP_RND_BITS_MIN`).
pub const RANDOM_BITS_LEFT: u32 = 0;
/// `MAP_NORESERVE` (uapi/asm/mman.h).
pub const MAP_NORESERVE: usize = 0x40;

/// Numbers of the system calls (`arch/powerpc/kernel/syscalls/syscall.tbl`).
pub mod nr {
    pub const WRITE: usize = 4;
    pub const CLOSE: usize = 6;
    pub const FSTAT: usize = 108;
    pub const MMAP: usize = 90;
    pub const MPROTECT: usize = 125;
    pub const MUNMAP: usize = 91;
    pub const BRK: usize = 45;
    pub const RT_SIGPROCMASK: usize = 174;
    pub const PREAD64: usize = 179;
    pub const MREMAP: usize = 163;
    pub const EXECVE: usize = 11;
    pub const UNAME: usize = 122;
    pub const FCNTL: usize = 55;
    pub const PRCTL: usize = 171;
    pub const EXIT_GROUP: usize = 234;
    pub const OPENAT: usize = 286;
    pub const NEWFSTATAT: usize = 291;
    pub const READLINKAT: usize = 296;
    pub const FACCESSAT: usize = 298;
}

/// Offsets in `struct stat`, in machine words, of `st_size`, `st_dev`, `st_ino`, and the two words
/// of `st_mtime` (uapi/asm/stat.h).
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
    unsafe extern "C" {
        /// The same, with the arguments in memory.
        #[link_name = "dispatch_syscall"]
        fn syscall(nr: usize, arguments: *const usize) -> isize;
    }
    // SAFETY: `dispatch_syscall` is a function like any other in what it changes, except for the
    // memory that the caller answers for.
    unsafe { syscall(nr, arguments.as_ptr()) }
}

/// The system call `exit_group`. If the process is forbidden to make it, it dies by SIGTRAP.
pub fn exit(code: u8) -> ! {
    unsafe extern "C" {
        #[link_name = "dispatch_exit"]
        safe fn exit(code: u32) -> !;
    }
    exit(code.into())
}

unsafe extern "C" {
    /// Starts the program at `entry` with the stack pointer `sp` and all other registers as after
    /// execve(2), except ctr.
    ///
    /// # Safety
    /// `sp` must point to an initial stack and be a multiple of 16, and `entry` to the entry point
    /// of a mapped program.
    #[link_name = "dispatch_enter"]
    pub fn enter(sp: *const usize, entry: usize) -> !;
}

// The kernel enters at `_start`: r1 points to argc, r12 holds the address of `_start`, and all
// other registers are zero. Words below it are reserved for additions to the emulator's initial
// stack, followed by the frame that a called function may write to. Nothing may use the GOT or
// follow a pointer in data before `relocate` has added the load address to them. r2 points to the
// table of contents in all functions of this file.
global_asm!(
    ".pushsection .text.start,\"ax\",@progbits",
    ".hidden __ehdr_start",
    ".hidden _DYNAMIC",
    ".hidden dispatch_relocate",
    ".hidden dispatch_begin",
    ".globl _start",
    ".type _start,@function",
    "_start:",
    "addis %r2, %r12, .TOC.-_start@ha",
    "addi %r2, %r2, .TOC.-_start@l",
    "mr %r31, %r1",
    "addi %r1, %r1, -{spare}",
    "clrrdi %r1, %r1, 4",
    "stdu %r0, -32(%r1)",
    "addis %r3, %r2, __ehdr_start@toc@ha",
    "addi %r3, %r3, __ehdr_start@toc@l",
    "addis %r4, %r2, _DYNAMIC@toc@ha",
    "addi %r4, %r4, _DYNAMIC@toc@l",
    "bl dispatch_relocate",
    "mr %r3, %r31",
    "addis %r4, %r2, __ehdr_start@toc@ha",
    "addi %r4, %r4, __ehdr_start@toc@l",
    "bl dispatch_begin",
    "trap",
    ".size _start, . - _start",
    ".popsection",
    spare = const SPARE * size_of::<usize>(),
);

// The kernel changes r0, r3 to r12, ctr, xer and cr0, and tells by cr0.SO whether r3 is an errno.
// `asm!` cannot say that it changes ctr before Rust 1.95; a call of a function does. ELFv2 puts no
// result into cr0, so it is free.
global_asm!(
    ".globl dispatch_syscall",
    ".hidden dispatch_syscall",
    ".type dispatch_syscall,@function",
    "dispatch_syscall:",
    "mr %r0, %r3",
    "mr %r9, %r4",
    ".irp n, 3,4,5,6,7,8",
    "ld \\n, 8*(\\n-3)(%r9)",
    ".endr",
    "sc",
    "bnslr",
    "neg %r3, %r3",
    "blr",
    ".globl dispatch_exit",
    ".hidden dispatch_exit",
    ".type dispatch_exit,@function",
    "dispatch_exit:",
    "li %r0, {exit_group}",
    "sc",
    "trap",
    exit_group = const nr::EXIT_GROUP,
);

// A jump needs ctr, which any call may change. r12 must hold the entry point, from which the
// program computes r2; all others must be zero: glibc treats r7 as a function to call at exit. The
// compiler uses vector registers to copy memory; the 64 of them include those for floating-point
// numbers.
global_asm!(
    ".globl dispatch_enter",
    ".hidden dispatch_enter",
    "dispatch_enter:",
    "mr %r1, %r3",
    "mr %r12, %r4",
    "mtctr %r4",
    ".irp n, 0,2,3,4,5,6,7,8,9,10,11,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "li \\n, 0",
    ".endr",
    "mtlr %r0",
    "mtxer %r0",
    "mtcrf 255, %r0",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "xxlxor \\n, \\n, \\n",
    "xxlxor 32+\\n, 32+\\n, 32+\\n",
    ".endr",
    "bctr",
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
    "subf %r6, %r4, %r3",
    "cmpld %r6, %r5", // Unsigned: below means that the source's end lies in the destination.
    "bge 2f",
    "1:",
    "cmpldi %r5, 0",
    "beqlr",
    "addi %r5, %r5, -1",
    "lbzx %r6, %r4, %r5",
    "stbx %r6, %r3, %r5",
    "b 1b",
    "dispatch_function memcpy",
    "2:",
    "addi %r6, %r3, -1",
    "addi %r4, %r4, -1",
    "3:",
    "cmpldi %r5, 0",
    "beqlr",
    "lbzu %r7, 1(%r4)",
    "stbu %r7, 1(%r6)",
    "addi %r5, %r5, -1",
    "b 3b",
    "dispatch_function memset",
    "addi %r6, %r3, -1",
    "4:",
    "cmpldi %r5, 0",
    "beqlr",
    "stbu %r4, 1(%r6)",
    "addi %r5, %r5, -1",
    "b 4b",
    "dispatch_function bcmp",
    "dispatch_function memcmp",
    "addi %r6, %r3, -1",
    "addi %r4, %r4, -1",
    "li %r3, 0",
    "5:",
    "cmpldi %r5, 0",
    "beqlr",
    "lbzu %r7, 1(%r6)",
    "lbzu %r8, 1(%r4)",
    "addi %r5, %r5, -1",
    "subf. %r3, %r8, %r7",
    "beq 5b",
    "blr",
    "dispatch_function strlen",
    "addi %r4, %r3, -1",
    "7:",
    "lbzu %r5, 1(%r4)",
    "cmpldi %r5, 0",
    "bne 7b",
    "subf %r3, %r3, %r4",
    "blr",
);
