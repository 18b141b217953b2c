//! IBM Z hosts in 64-bit mode (the s390x ELF ABI; `start_thread` in
//! `arch/s390/include/asm/processor.h`; `ELF_PLAT_INIT` in `arch/s390/include/asm/elf.h`). Such
//! hosts are not offered: docs/decisions.md says what is missing.

use core::arch::{asm, global_asm};

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::initial_stack::SPARE;

/// The values that an emulator's ELF header must have.
pub const HOST: Host = Host { machine: Machine(22), class: Class::Elf64, data: Data::Big };

/// Whether linkers may write relative relocations unpacked: GNU ld 2.44 does not write the packed
/// form for this CPU.
pub const UNPACKED: bool = true;
/// The largest page size that a kernel for this CPU may have, in bytes.
pub const LARGEST_PAGE: usize = 4096;
/// Whether machines differ in the number of address bits that programs have: every program starts
/// with 42, and gets more when it asks for more (`arch/s390/include/asm/mmu_context.h`).
pub const ADDRESSES_VARY: bool = false;
/// Number of the lowest random bits, in addresses that the kernel chooses, that are not used for
/// another choice: 11 bits are random, from bit 19 on (`arch/s390/include/asm/elf.h`,
/// `MMAP_RND_MASK`).
pub const RANDOM_BITS_LEFT: u32 = 0;
/// `MAP_NORESERVE` (uapi/asm-generic/mman.h).
pub const MAP_NORESERVE: usize = 0x4000;

/// Numbers of the system calls (`arch/s390/kernel/syscalls/syscall.tbl`).
pub mod nr {
    pub const WRITE: usize = 4;
    pub const CLOSE: usize = 6;
    pub const FSTAT: usize = 108;
    pub const MMAP: usize = 90;
    pub const MPROTECT: usize = 125;
    pub const MUNMAP: usize = 91;
    pub const BRK: usize = 45;
    pub const RT_SIGPROCMASK: usize = 175;
    pub const PREAD64: usize = 180;
    pub const MREMAP: usize = 163;
    pub const EXECVE: usize = 11;
    pub const UNAME: usize = 122;
    pub const FCNTL: usize = 55;
    pub const PRCTL: usize = 172;
    pub const EXIT_GROUP: usize = 248;
    pub const OPENAT: usize = 288;
    pub const NEWFSTATAT: usize = 293;
    pub const READLINKAT: usize = 298;
    pub const FACCESSAT: usize = 300;
}

/// Offsets in `struct stat`, in machine words, of `st_size`, `st_dev`, `st_ino`, and the two words
/// of `st_mtime` (uapi/asm/stat.h).
pub const STAT_SIZE: usize = 6;
pub const STAT_DEV: usize = 0;
pub const STAT_INO: usize = 1;
pub const STAT_MTIME: usize = 9;
pub const STAT_MTIME_NSEC: usize = 10;

/// Makes a system call; a result from -4095 to -1 is an errno.
///
/// # Safety
/// The caller answers for the call's effects on memory and descriptors.
pub unsafe fn syscall(nr: usize, arguments: [usize; 6]) -> isize {
    let [mut a, b, c, d, e, f] = arguments;
    if nr == nr::MMAP {
        // The kernel reads its arguments from memory (`struct s390_mmap_arg_struct`).
        a = (&raw const arguments) as usize;
    }
    let result: isize;
    // SAFETY: the kernel clobbers only r2, and the memory that the caller answers for.
    unsafe {
        asm!(
            "svc 0",
            in("r1") nr,
            inlateout("r2") a as isize => result,
            in("r3") b, in("r4") c, in("r5") d, in("r6") e, in("r7") f,
            options(nostack),
        );
    }
    result
}

/// The system call `exit_group`. If the process is forbidden to make it, it dies by SIGILL.
pub fn exit(code: u8) -> ! {
    // SAFETY: no code runs after it.
    unsafe {
        asm!("svc 0", ".short 0", in("r1") nr::EXIT_GROUP, in("r2") usize::from(code), options(noreturn, nostack));
    }
}

unsafe extern "C" {
    /// Starts the program at `entry` with the stack pointer `sp` and all other registers as after
    /// execve(2), except r1.
    ///
    /// # Safety
    /// `sp` must point to an initial stack and be a multiple of 16, and `entry` to the entry point
    /// of a mapped program.
    #[link_name = "dispatch_enter"]
    pub fn enter(sp: *const usize, entry: usize) -> !;
}

// The kernel enters at `_start`: r15 points to argc, a multiple of 16, and r14 is zero. Words below
// it are reserved for additions to the emulator's initial stack, followed by the frame that a
// called function may write to. Nothing may use the GOT or follow a pointer in data before
// `relocate` has added the load address to them.
global_asm!(
    ".pushsection .text.start,\"ax\",@progbits",
    ".hidden __ehdr_start",
    ".hidden _DYNAMIC",
    ".hidden dispatch_relocate",
    ".hidden dispatch_begin",
    ".globl _start",
    ".type _start,@function",
    "_start:",
    "lgr %r10, %r15",
    "aghi %r15, -{spare} - 160",
    "xc 0(8, %r15), 0(%r15)",
    "larl %r2, __ehdr_start",
    "larl %r3, _DYNAMIC",
    "brasl %r14, dispatch_relocate",
    "lgr %r2, %r10",
    "larl %r3, __ehdr_start",
    "brasl %r14, dispatch_begin",
    ".short 0",
    ".size _start, . - _start",
    ".popsection",
    spare = const SPARE * size_of::<usize>(),
);

// A jump needs a register that holds the address; r1 is one that any call may change. r14 must be
// zero: glibc treats it as a function to call at exit. The access registers, whose first two hold
// the thread pointer, are not used here.
global_asm!(
    ".globl dispatch_enter",
    ".hidden dispatch_enter",
    "dispatch_enter:",
    "lgr %r15, %r2",
    "lgr %r1, %r3",
    ".irp n, 0,2,3,4,5,6,7,8,9,10,11,12,13,14",
    "lghi %r\\n, 0",
    ".endr",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "lzdr %f\\n",
    ".endr",
    "br %r1",
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
    "lgr %r1, %r2",
    "sgr %r1, %r3",
    "clgr %r1, %r4", // Unsigned: below means that the source's end lies in the destination.
    "jhe 2f",
    "1:",
    "aghi %r4, -1",
    "jl 9f",
    "ic %r5, 0(%r4, %r3)",
    "stc %r5, 0(%r4, %r2)",
    "j 1b",
    "dispatch_function memcpy",
    "2:",
    "lgr %r1, %r2",
    "3:",
    "aghi %r4, -1",
    "jl 9f",
    "ic %r5, 0(%r3)",
    "stc %r5, 0(%r1)",
    "la %r1, 1(%r1)",
    "la %r3, 1(%r3)",
    "j 3b",
    "dispatch_function memset",
    "lgr %r1, %r2",
    "4:",
    "aghi %r4, -1",
    "jl 9f",
    "stc %r3, 0(%r1)",
    "la %r1, 1(%r1)",
    "j 4b",
    "9:",
    "br %r14",
    "dispatch_function bcmp",
    "dispatch_function memcmp",
    "lgr %r1, %r2",
    "lghi %r2, 0",
    "5:",
    "aghi %r4, -1",
    "jl 6f",
    "llgc %r2, 0(%r1)",
    "llgc %r5, 0(%r3)",
    "la %r1, 1(%r1)",
    "la %r3, 1(%r3)",
    "sgr %r2, %r5",
    "je 5b",
    "6:",
    "br %r14",
    "dispatch_function strlen",
    "lgr %r1, %r2",
    "lghi %r2, -1",
    "7:",
    "aghi %r2, 1",
    "llgc %r3, 0(%r2, %r1)",
    "ltgr %r3, %r3",
    "jne 7b",
    "br %r14",
);
