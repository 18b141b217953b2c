//! AArch64 hosts (AAPCS64; `start_thread` in `arch/arm64/include/asm/processor.h`;
//! `arch/arm64/kernel/entry.S`).

use core::arch::{asm, global_asm};

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::initial_stack::SPARE;

/// The values that an emulator's ELF header must have.
pub const HOST: Host = Host { machine: Machine(183), class: Class::Elf64, data: Data::Little };

/// Whether linkers may write relative relocations unpacked: GNU ld 2.40 does not write the packed
/// form for this CPU, 2.44 does.
pub const UNPACKED: bool = true;
/// The largest page size that a kernel for this CPU may have, in bytes.
pub const LARGEST_PAGE: usize = 65536;
/// Whether machines differ in the number of address bits that programs have: 39, 42, 47 or 48
/// (`arch/arm64/Kconfig`, `ARM64_VA_BITS`).
pub const ADDRESSES_VARY: bool = true;
/// Number of the lowest random bits, in addresses that the kernel chooses, that are not used for
/// another choice: at least 18 bits are random, from bit 12 on, or 14 bits from bit 16 on
/// (`arch/arm64/Kconfig`, `ARCH_MMAP_RND_BITS_MIN`).
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
    // SAFETY: the kernel clobbers only x0, the parts of SVE registers that no compiled code uses
    // here, and the memory that the caller answers for.
    unsafe {
        asm!(
            "svc #0",
            in("x8") nr,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// The system call `exit_group`. If the process is forbidden to make it, it dies by SIGTRAP.
pub fn exit(code: u8) -> ! {
    // SAFETY: no code runs after it.
    unsafe {
        asm!("svc #0", "brk #1", in("w8") nr::EXIT_GROUP as u32, in("w0") u32::from(code), options(noreturn, nostack));
    }
}

unsafe extern "C" {
    /// Starts the program at `entry` with the stack pointer `sp` and all other registers as after
    /// execve(2), except x16.
    ///
    /// # Safety
    /// `sp` must point to an initial stack and be a multiple of 16, and `entry` to the entry point
    /// of a mapped program.
    #[link_name = "dispatch_enter"]
    pub fn enter(sp: *const usize, entry: usize) -> !;
}

// The kernel enters at `_start`: sp points to argc, and all other registers are zero. Words below
// it are reserved for additions to the emulator's initial stack. Nothing may use the GOT or follow
// a pointer in data before `relocate` has added the load address to them.
global_asm!(
    ".pushsection .text.start,\"ax\",@progbits",
    ".hidden __ehdr_start",
    ".hidden _DYNAMIC",
    ".hidden dispatch_relocate",
    ".hidden dispatch_begin",
    ".globl _start",
    ".type _start,@function",
    "_start:",
    "mov x29, xzr",
    "mov x19, sp",
    "sub x0, sp, {spare}",
    "and sp, x0, #-16",
    "adrp x0, __ehdr_start",
    "add x0, x0, :lo12:__ehdr_start",
    "adrp x1, _DYNAMIC",
    "add x1, x1, :lo12:_DYNAMIC",
    "bl dispatch_relocate",
    "mov x0, x19",
    "adrp x1, __ehdr_start",
    "add x1, x1, :lo12:__ehdr_start",
    "bl dispatch_begin",
    "brk #1",
    ".size _start, . - _start",
    ".popsection",
    spare = const SPARE * size_of::<usize>(),
);

// A jump needs a register that holds the address. x16 is the one that any call may change on its
// way (AAPCS64, "intra-procedure-call"), and from which `br` may go to a `bti c`. x0 must be zero:
// glibc treats it as a function to call at exit.
global_asm!(
    ".globl dispatch_enter",
    ".hidden dispatch_enter",
    "dispatch_enter:",
    "mov sp, x0",
    "mov x16, x1",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
    "mov x\\n, xzr",
    ".endr",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "movi v\\n\\().2d, #0",
    ".endr",
    "br x16",
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
    "sub x3, x0, x1",
    "cmp x3, x2", // Unsigned: below means that the source's end lies in the destination.
    "b.hs 2f",
    "1:",
    "cbz x2, 9f",
    "sub x2, x2, #1",
    "ldrb w3, [x1, x2]",
    "strb w3, [x0, x2]",
    "b 1b",
    "dispatch_function memcpy",
    "2:",
    "mov x3, x0",
    "3:",
    "cbz x2, 9f",
    "ldrb w4, [x1], #1",
    "strb w4, [x3], #1",
    "sub x2, x2, #1",
    "b 3b",
    "dispatch_function memset",
    "mov x3, x0",
    "4:",
    "cbz x2, 9f",
    "strb w1, [x3], #1",
    "sub x2, x2, #1",
    "b 4b",
    "9:",
    "ret",
    "dispatch_function bcmp",
    "dispatch_function memcmp",
    "mov x3, x0",
    "mov w0, wzr",
    "5:",
    "cbz x2, 6f",
    "ldrb w4, [x3], #1",
    "ldrb w5, [x1], #1",
    "sub x2, x2, #1",
    "subs w0, w4, w5",
    "b.eq 5b",
    "6:",
    "ret",
    "dispatch_function strlen",
    "mov x1, x0",
    "mov x0, #-1",
    "7:",
    "add x0, x0, #1",
    "ldrb w2, [x1, x0]",
    "cbnz w2, 7b",
    "ret",
);
