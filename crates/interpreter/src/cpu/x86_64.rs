//! x86-64 hosts (System V psABI 3.4.1, "Initial Stack and Register State";
//! `arch/x86/entry/entry_64.S`).

use core::arch::{asm, global_asm};

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::initial_stack::SPARE;

/// The values that an emulator's ELF header must have.
pub const HOST: Host = Host { machine: Machine(62), class: Class::Elf64, data: Data::Little };

/// Whether linkers may write relative relocations unpacked: GNU ld 2.38 and later write the packed
/// form for this CPU.
pub const UNPACKED: bool = false;
/// The largest page size that a kernel for this CPU may have, in bytes.
pub const LARGEST_PAGE: usize = 4096;
/// Whether machines differ in the number of address bits that programs have: it is 47, unless a
/// program asks for more (`arch/x86/include/asm/page_64_types.h`, `DEFAULT_MAP_WINDOW`).
pub const ADDRESSES_VARY: bool = false;
/// Number of the lowest random bits, in addresses that the kernel chooses, that are not used for
/// another choice: at least 28 bits are random, from bit 12 on (`arch/x86/Kconfig`,
/// `ARCH_MMAP_RND_BITS_MIN`).
pub const RANDOM_BITS_LEFT: u32 = 9;
/// `MAP_NORESERVE` (uapi/asm-generic/mman.h).
pub const MAP_NORESERVE: usize = 0x4000;

/// Numbers of the system calls (`arch/x86/entry/syscalls/syscall_64.tbl`).
pub mod nr {
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const FSTAT: usize = 5;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const BRK: usize = 12;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const PREAD64: usize = 17;
    pub const MREMAP: usize = 25;
    pub const EXECVE: usize = 59;
    pub const UNAME: usize = 63;
    pub const FCNTL: usize = 72;
    pub const PRCTL: usize = 157;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const NEWFSTATAT: usize = 262;
    pub const READLINKAT: usize = 267;
    pub const FACCESSAT: usize = 269;
}

/// Offsets in `struct stat`, in machine words, of `st_size`, `st_dev`, `st_ino`, and the two words
/// of `st_mtim` (uapi/asm/stat.h).
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
    // SAFETY: the kernel clobbers only rcx, r11, and the memory that the caller answers for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The system call `exit_group`. If the process is forbidden to make it, it dies by SIGILL.
pub fn exit(code: u8) -> ! {
    // SAFETY: no code runs after it.
    unsafe {
        asm!("syscall", "ud2", in("eax") nr::EXIT_GROUP as u32, in("edi") u32::from(code), options(noreturn, nostack));
    }
}

unsafe extern "C" {
    /// Starts the program at `entry` with the stack pointer `sp` and all other registers as after
    /// execve(2).
    ///
    /// # Safety
    /// `sp` must point to an initial stack and be a multiple of 16, and `entry` to the entry point
    /// of a mapped program.
    #[link_name = "dispatch_enter"]
    pub fn enter(sp: *const usize, entry: usize) -> !;
}

// The kernel enters at `_start`: rsp points to argc, and all other registers are zero. Words below
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
    "xor ebp, ebp",
    "mov rbx, rsp",
    "sub rsp, {spare}",
    "and rsp, -16",
    "lea rdi, [rip + __ehdr_start]",
    "lea rsi, [rip + _DYNAMIC]",
    "call dispatch_relocate",
    "mov rdi, rbx",
    "lea rsi, [rip + __ehdr_start]",
    "call dispatch_begin",
    "ud2",
    ".size _start, . - _start",
    ".popsection",
    spare = const SPARE * size_of::<usize>(),
);

// The entry address is passed in memory just below the new stack pointer, so that no register has
// to hold it. rdx must be zero: glibc treats it as a function to call at exit.
global_asm!(
    ".globl dispatch_enter",
    ".hidden dispatch_enter",
    "dispatch_enter:",
    "mov [rdi - 8], rsi",
    "mov rsp, rdi",
    "xor eax, eax",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor esi, esi",
    "xor edi, edi",
    "xor ebp, ebp",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r11d, r11d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "pxor xmm0, xmm0",
    "pxor xmm1, xmm1",
    "pxor xmm2, xmm2",
    "pxor xmm3, xmm3",
    "pxor xmm4, xmm4",
    "pxor xmm5, xmm5",
    "pxor xmm6, xmm6",
    "pxor xmm7, xmm7",
    "pxor xmm8, xmm8",
    "pxor xmm9, xmm9",
    "pxor xmm10, xmm10",
    "pxor xmm11, xmm11",
    "pxor xmm12, xmm12",
    "pxor xmm13, xmm13",
    "pxor xmm14, xmm14",
    "pxor xmm15, xmm15",
    "cld",
    "jmp qword ptr [rsp - 8]",
);

// The functions that the compiler expects from a libc. The string instructions have a high start-up
// cost, which does not matter for the few hundred bytes copied here.
global_asm!(
    ".macro dispatch_function name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,@function",
    "\\name:",
    ".endm",
    "dispatch_function memmove",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx", // Unsigned: below means that the source's end lies in the destination.
    "jae 2f",
    "std",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "rep movsb",
    "cld",
    "ret",
    "dispatch_function memcpy",
    "mov rax, rdi",
    "mov rcx, rdx",
    "2:",
    "rep movsb",
    "ret",
    "dispatch_function memset",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "dispatch_function bcmp",
    "dispatch_function memcmp",
    "xor eax, eax",
    "xor ecx, ecx",
    "3:",
    "cmp rcx, rdx",
    "je 4f",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]",
    "inc rcx",
    "sub eax, r8d",
    "je 3b",
    "4:",
    "ret",
    "dispatch_function strlen",
    "mov rax, -1",
    "5:",
    "inc rax",
    "cmp byte ptr [rdi + rax], 0",
    "jne 5b",
    "ret",
);
