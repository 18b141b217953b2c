//! 64-bit LoongArch hosts (the LoongArch psABI; `start_thread` in
//! `arch/loongarch/kernel/process.c`; `ELF_PLAT_INIT` in `arch/loongarch/include/asm/elf.h`). Such
//! hosts are not offered: docs/decisions.md says what is missing.

use core::arch::{asm, global_asm};

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::initial_stack::SPARE;

/// The values that an emulator's ELF header must have.
pub const HOST: Host = Host { machine: Machine(258), class: Class::Elf64, data: Data::Little };

/// Whether linkers may write relative relocations unpacked: GNU ld 2.44 writes the packed form for
/// this CPU.
pub const UNPACKED: bool = false;
/// The largest page size that a kernel for this CPU may have, in bytes.
pub const LARGEST_PAGE: usize = 65536;
/// Whether machines differ in the number of address bits that programs have: at most 40, 47 or 48,
/// and fewer if the CPU has fewer (`arch/loongarch/include/asm/processor.h`, `TASK_SIZE64`).
pub const ADDRESSES_VARY: bool = true;
/// Number of the lowest random bits, in addresses that the kernel chooses, that are not used for
/// another choice: at least 12 bits are random, from bit 12 on or higher (`arch/loongarch/Kconfig`,
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
    // SAFETY: the kernel clobbers only a0, t0 to t8, and the memory that the caller answers for.
    unsafe {
        asm!(
            "syscall 0",
            in("$a7") nr,
            inlateout("$a0") a as isize => result,
            in("$a1") b, in("$a2") c, in("$a3") d, in("$a4") e, in("$a5") f,
            lateout("$t0") _, lateout("$t1") _, lateout("$t2") _, lateout("$t3") _, lateout("$t4") _,
            lateout("$t5") _, lateout("$t6") _, lateout("$t7") _, lateout("$t8") _,
            options(nostack),
        );
    }
    result
}

/// The system call `exit_group`. If the process is forbidden to make it, it dies by SIGTRAP.
pub fn exit(code: u8) -> ! {
    // SAFETY: no code runs after it.
    unsafe {
        asm!("syscall 0", "break 0", in("$a7") nr::EXIT_GROUP, in("$a0") usize::from(code), options(noreturn, nostack));
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
    "move $s0, $sp",
    "addi.d $sp, $sp, -{spare}",
    "bstrins.d $sp, $zero, 3, 0",
    "la.pcrel $a0, __ehdr_start",
    "la.pcrel $a1, _DYNAMIC",
    "bl dispatch_relocate",
    "move $a0, $s0",
    "la.pcrel $a1, __ehdr_start",
    "bl dispatch_begin",
    "break 0",
    ".size _start, . - _start",
    ".popsection",
    spare = const SPARE * size_of::<usize>(),
);

// A jump needs a register that holds the address; t0 is one that any call may change. a0 must be
// zero: glibc treats it as a function to call at exit. The compiler uses vector registers to copy
// memory.
global_asm!(
    ".globl dispatch_enter",
    ".hidden dispatch_enter",
    "dispatch_enter:",
    "move $sp, $a0",
    "move $t0, $a1",
    ".irp r, ra,tp,a0,a1,a2,a3,a4,a5,a6,a7,t1,t2,t3,t4,t5,t6,t7,t8,r21,fp,s0,s1,s2,s3,s4,s5,s6,s7,s8",
    "move $\\r, $zero",
    ".endr",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "vxor.v $vr\\n, $vr\\n, $vr\\n",
    ".endr",
    "jr $t0",
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
    "sub.d $a3, $a0, $a1",
    "bgeu $a3, $a2, 2f", // Unsigned: below means that the source's end lies in the destination.
    "1:",
    "beqz $a2, 9f",
    "addi.d $a2, $a2, -1",
    "ldx.bu $a3, $a1, $a2",
    "stx.b $a3, $a0, $a2",
    "b 1b",
    "dispatch_function memcpy",
    "2:",
    "move $a3, $a0",
    "3:",
    "beqz $a2, 9f",
    "ld.bu $a4, $a1, 0",
    "st.b $a4, $a3, 0",
    "addi.d $a1, $a1, 1",
    "addi.d $a3, $a3, 1",
    "addi.d $a2, $a2, -1",
    "b 3b",
    "dispatch_function memset",
    "move $a3, $a0",
    "4:",
    "beqz $a2, 9f",
    "st.b $a1, $a3, 0",
    "addi.d $a3, $a3, 1",
    "addi.d $a2, $a2, -1",
    "b 4b",
    "9:",
    "ret",
    "dispatch_function bcmp",
    "dispatch_function memcmp",
    "move $a3, $a0",
    "move $a0, $zero",
    "5:",
    "beqz $a2, 6f",
    "ld.bu $a4, $a3, 0",
    "ld.bu $a5, $a1, 0",
    "addi.d $a3, $a3, 1",
    "addi.d $a1, $a1, 1",
    "addi.d $a2, $a2, -1",
    "sub.d $a0, $a4, $a5",
    "beqz $a0, 5b",
    "6:",
    "ret",
    "dispatch_function strlen",
    "move $a1, $a0",
    "addi.d $a0, $zero, -1",
    "7:",
    "addi.d $a0, $a0, 1",
    "ldx.bu $a2, $a1, $a0",
    "bnez $a2, 7b",
    "ret",
);
