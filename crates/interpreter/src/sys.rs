//! The system calls in use, with precise types. Errors are the kernel's errno.

use core::ffi::CStr;

use dispatch_core::emulator_file::HEAD;
use dispatch_core::pipeline::{Head, PART, Part};
use dispatch_core::table::Identity;

use crate::cpu::{self, nr};

/// An open descriptor. It can be copied freely; `close` is called explicitly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

const EINTR: i32 = 4;
const EFAULT: i32 = 14;

const AT_FDCWD: usize = -100isize as usize;
const O_CLOEXEC: usize = 0o200_0000;
const F_DUPFD: usize = 0;
const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const PROT_EXEC: usize = 4;
const MREMAP_MAYMOVE: usize = 1;
const MREMAP_FIXED: usize = 2;
const MAP_PRIVATE: usize = 0x02;
const MAP_FIXED: usize = 0x10;
const MAP_ANONYMOUS: usize = 0x20;
const MAP_FIXED_NOREPLACE: usize = 0x10_0000;
const PR_SET_MM: usize = 35;
const PR_SET_MM_MAP: usize = 14;

const SIG_BLOCK: usize = 0;
const SIGPIPE: u32 = 13;

type Result<T> = core::result::Result<T, i32>;

/// Makes a system call.
///
/// # Safety
/// The call must not break memory safety: it writes only to memory mutably borrowed for it, and it
/// neither replaces nor unmaps memory in use.
unsafe fn call(nr: usize, arguments: [usize; 6]) -> Result<usize> {
    // SAFETY: by this function's contract.
    let result = unsafe { cpu::syscall(nr, arguments) };
    match usize::try_from(result) {
        Ok(value) => Ok(value),
        // Addresses in the upper half are the kernel's own, so every negative result is an errno.
        Err(_) => Err(i32::try_from(result.saturating_neg()).unwrap_or(i32::MAX)),
    }
}

/// Writes to standard error. The stream may accept only a part; a failure cannot be reported
/// anywhere.
pub fn complain(mut bytes: &[u8]) {
    // If the reader has closed the pipe, SIGPIPE must not change the exit code.
    let pipe = 1usize << (SIGPIPE - 1);
    // SAFETY: reads `pipe`.
    let _ = unsafe { call(nr::RT_SIGPROCMASK, [SIG_BLOCK, (&raw const pipe) as usize, 0, size_of_val(&pipe), 0, 0]) };
    while !bytes.is_empty() {
        // SAFETY: reads `bytes`.
        match unsafe { call(nr::WRITE, [2, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) } {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(EINTR) => {}
            _ => break,
        }
    }
}

/// Closes a descriptor.
pub fn close(fd: Fd) {
    // SAFETY: does not access memory.
    let _ = unsafe { call(nr::CLOSE, [fd.0 as usize, 0, 0, 0, 0, 0]) };
}

/// `struct stat`, as machine words.
type Stat = [usize; 18];

/// That of the file behind `fd`.
fn stat(fd: Fd) -> Result<Stat> {
    let mut words = [0; 18];
    // SAFETY: writes a `struct stat`, 18 words, to `words`.
    unsafe { call(nr::FSTAT, [fd.0 as usize, words.as_mut_ptr() as usize, 0, 0, 0, 0]) }?;
    Ok(words)
}

/// Whether both are of the same file.
fn same(one: &Stat, other: &Stat) -> bool {
    let identity = |stat: &Stat| (stat.get(cpu::STAT_DEV).copied(), stat.get(cpu::STAT_INO).copied());
    identity(one) == identity(other)
}

/// Whether `path` leads to the file behind `fd`. Nothing is opened: to open a FIFO may block, and
/// to open a device may change it.
pub fn leads_to(path: &CStr, fd: Fd) -> bool {
    let mut words = [0; 18];
    let (path, to) = (path.as_ptr() as usize, words.as_mut_ptr() as usize);
    // SAFETY: reads `path`, which ends with NUL, and writes a `struct stat`, 18 words, to `words`.
    let found = unsafe { call(nr::NEWFSTATAT, [AT_FDCWD, path, to, 0, 0, 0]) };
    found.is_ok() && stat(fd).is_ok_and(|own| same(&own, &words))
}

/// Whether `path` can be opened for reading and is the file behind `fd`.
pub fn same_readable_file(fd: Fd, path: &CStr) -> bool {
    let Ok(other) = open(path) else { return false };
    let same = stat(fd).is_ok_and(|own| stat(other).is_ok_and(|found| same(&own, &found)));
    close(other);
    same
}

/// Security rule 6: this opens only emulators, by the paths in the image's table, and a guest to be
/// executed, for comparison. There is no configuration file.
pub fn open(path: &CStr) -> Result<Fd> {
    // SAFETY: reads `path`, which ends with NUL.
    let fd = unsafe { call(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0]) }?;
    Ok(Fd(fd as i32))
}

/// Whether the kernel can read the byte. A system call with an unmapped address fails with EFAULT,
/// where an access would raise a signal.
pub fn is_readable(byte: *const u8) -> bool {
    // The byte begins a name: an empty one, as the last byte of a payload is zero.
    // SAFETY: at most reads, and the call fails if it cannot.
    let looked = unsafe { call(nr::FACCESSAT, [usize::MAX, byte as usize, 0, 0, 0, 0]) };
    looked != Err(EFAULT)
}

/// `PATH_MAX`: the kernel refuses a longer name, including its NUL.
const PATH_MAX: usize = 4096;

/// Memory for the whole life of the process, in pages of its own.
#[repr(align(4096))]
pub struct Buffers {
    /// Buffer for a path.
    pub path: Path,
    /// Buffer for the headers of an emulator.
    pub head: Head,
    /// Buffer for a part of the guest.
    pub part: Part,
}

impl Buffers {
    pub const EMPTY: Self = Buffers { path: [0; PATH_MAX], head: [0; HEAD], part: [0; PART] };
}

/// A buffer for a path.
pub type Path = [u8; PATH_MAX];

/// Reads into `buffer` at `offset` of the file, and returns the bytes read.
pub fn read_at(fd: Fd, buffer: &mut [u8], offset: u64) -> Result<&[u8]> {
    let mut len = 0usize;
    // A file system may return less than requested.
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        let at = (offset as usize).saturating_add(len);
        // SAFETY: writes to `rest`.
        match unsafe { call(nr::PREAD64, [fd.0 as usize, rest.as_mut_ptr() as usize, rest.len(), at, 0, 0]) } {
            Ok(0) => break,
            Ok(read) => len = len.saturating_add(read),
            Err(EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(buffer.get(..len).unwrap_or_default())
}

/// The identity and length of the file.
pub fn identity(fd: Fd) -> Result<Identity> {
    let words = stat(fd)?;
    let word = |index| words.get(index).copied().unwrap_or_default() as u64;
    Ok(Identity {
        size: word(cpu::STAT_SIZE),
        inode: word(cpu::STAT_INO),
        seconds: word(cpu::STAT_MTIME),
        nanoseconds: word(cpu::STAT_MTIME_NSEC),
    })
}

/// Looks for a file at `path`.
pub fn look_for(path: &CStr) -> Result<()> {
    // SAFETY: reads `path`, which ends with NUL.
    unsafe { call(nr::FACCESSAT, [AT_FDCWD, path.as_ptr() as usize, 0, 0, 0, 0]) }.map(|_| ())
}

/// Moves the descriptor to 3 or above if it is a standard one, which is then closed, as it was for
/// the caller.
pub fn above_stdio(fd: Fd) -> Result<Fd> {
    if fd.0 > 2 {
        return Ok(fd);
    }
    // SAFETY: does not access memory.
    let moved = unsafe { call(nr::FCNTL, [fd.0 as usize, F_DUPFD, 3, 0, 0, 0]) }?;
    close(fd);
    Ok(Fd(moved as i32))
}

/// Puts the path of the file behind `fd`, as the kernel knows it now, into `buffer`, which
/// is all zeros. `None` if /proc is not mounted.
#[inline(never)]
pub fn path(fd: Fd, buffer: &mut Path) -> Option<&CStr> {
    // Last digit first, so that the first digit ends in the lowest byte.
    let mut digits = 0u128;
    let mut rest = fd.0.unsigned_abs();
    loop {
        digits = digits << 8 | u128::from(b'0'.wrapping_add((rest % 10) as u8));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let link = [*b"/proc/self/./fd/", digits.to_le_bytes()];
    let link = (&raw const link) as usize;
    // One byte is kept for the NUL. Linux opens no longer name, so a name that is cut off names
    // nothing.
    let most = buffer.len().saturating_sub(1);
    // SAFETY: reads `link`, whose last byte is NUL, and writes to `buffer`.
    unsafe { call(nr::READLINKAT, [AT_FDCWD, link, buffer.as_mut_ptr() as usize, most, 0, 0]) }.ok()?;
    // The rest of the buffer is still zero.
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Passes the kernel's release, as `uname -r` prints it, to `judge`, followed by NUL bytes. Passes
/// NUL bytes only if it cannot be read.
pub fn release(judge: fn(&[u8]) -> bool) -> bool {
    // struct new_utsname: six fields of 65 bytes, the release is the third.
    let mut names = [0u8; 390];
    // SAFETY: writes a `struct new_utsname`, 390 bytes, to `names`.
    let _ = unsafe { call(nr::UNAME, [names.as_mut_ptr() as usize, 0, 0, 0, 0, 0]) };
    judge(names.get(130..195).unwrap_or_default())
}

/// Becomes another program. Returns only with the errno.
///
/// # Safety
/// `argv` and `envp` are arrays of addresses of strings, each ended by a null.
pub unsafe fn exec(path: &CStr, argv: *const usize, envp: *const usize) -> i32 {
    // SAFETY: by this function's contract.
    match unsafe { call(nr::EXECVE, [path.as_ptr() as usize, argv as usize, envp as usize, 0, 0, 0]) } {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

/// Permissions of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Protection(usize);

impl Protection {
    pub const NONE: Self = Protection(0);

    /// From `p_flags`.
    pub fn of_segment(flags: u32) -> Self {
        use dispatch_core::elf::{PF_R, PF_W, PF_X};
        let bit = |flag, protection| if flags & flag != 0 { protection } else { 0 };
        Protection(bit(PF_R, PROT_READ) | bit(PF_W, PROT_WRITE) | bit(PF_X, PROT_EXEC))
    }
}

/// The address of a mapping.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// An address that the kernel chooses.
    Anywhere,
    /// This address, if the range is free.
    IfFree(usize),
    /// This address, replacing what is mapped there.
    Over(usize),
}

/// Maps `len` bytes: of the file from its offset, or fresh zeros.
///
/// # Safety
/// With [`Place::Over`], the caller may replace what is mapped there.
pub unsafe fn map(place: Place, len: usize, protection: Protection, file: Option<(Fd, u64)>) -> Result<usize> {
    let (address, placing) = match place {
        Place::Anywhere => (0, 0),
        // A kernel before 4.17 does not know the flag and takes the address as a hint; the caller
        // detects that.
        Place::IfFree(address) => (address, MAP_FIXED_NOREPLACE),
        Place::Over(address) => (address, MAP_FIXED),
    };
    let (source, fd, offset) = match file {
        Some((fd, offset)) => (0, fd.0 as usize, offset as usize),
        None => (MAP_ANONYMOUS | if protection.0 == 0 { cpu::MAP_NORESERVE } else { 0 }, usize::MAX, 0),
    };
    // SAFETY: by this function's contract, nothing in use is replaced.
    unsafe { call(nr::MMAP, [address, len, protection.0, MAP_PRIVATE | placing | source, fd, offset]) }
}

/// Unmaps `len` bytes.
///
/// # Safety
/// Nothing uses them.
pub unsafe fn unmap(address: usize, len: usize) {
    if len != 0 {
        // SAFETY: by this function's contract.
        let _ = unsafe { call(nr::MUNMAP, [address, len, 0, 0, 0, 0]) };
    }
}

/// Moves the mapping of `len` bytes at `from` to `to`, replacing what is mapped there.
///
/// # Safety
/// Nothing uses either range.
pub unsafe fn move_to(from: usize, len: usize, to: usize) -> Result<()> {
    // SAFETY: by this function's contract.
    unsafe { call(nr::MREMAP, [from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0]) }.map(|_| ())
}

/// Changes the permissions of a range.
///
/// # Safety
/// Nothing relies on its present permissions.
pub unsafe fn protect(address: usize, len: usize, protection: Protection) -> Result<()> {
    // SAFETY: by this function's contract.
    unsafe { call(nr::MPROTECT, [address, len, protection.0, 0, 0, 0]) }.map(|_| ())
}

/// `struct prctl_mm_map` (uapi/linux/prctl.h). It makes /proc show the guest instead of this
/// program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Description {
    pub start_code: usize,
    pub end_code: usize,
    pub start_data: usize,
    pub end_data: usize,
    pub start_brk: usize,
    pub brk: usize,
    pub start_stack: usize,
    pub arg_start: usize,
    pub arg_end: usize,
    pub env_start: usize,
    pub env_end: usize,
    pub auxv: usize,
    pub auxv_size: u32,
    pub exe_fd: i32,
}

/// Sets what /proc shows of this process, except for the heap. A kernel without
/// `CONFIG_CHECKPOINT_RESTORE` refuses; nothing depends on it.
pub fn describe(description: &Description) {
    // SAFETY: moves nothing: the heap never ends at 0.
    let Ok(brk) = (unsafe { call(nr::BRK, [0; 6]) }) else { return };
    // Linux before 5.15 requires the data to be below the heap.
    let end_data = description.end_data.min(brk.wrapping_sub(1));
    let start_data = description.start_data.min(end_data);
    let description = Description { start_data, end_data, start_brk: brk, brk, exe_fd: -1, ..*description };
    let size = size_of::<Description>();
    // SAFETY: reads `description`; the kernel maps and unmaps nothing.
    let _ = unsafe { call(nr::PRCTL, [PR_SET_MM, PR_SET_MM_MAP, (&raw const description) as usize, size, 0, 0]) };
}
