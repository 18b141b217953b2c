//! Every system call that the interpreter makes, its purpose, and the outcome if it fails. A call
//! that is not in the table fails the tests.

use Outcome::{Lost, Nothing, Refused, Runs, WithoutSysroot};
use nix::errno::Errno;

/// A call that was made, as inject.c reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub nr: i64,
    /// Its arguments.
    pub arguments: [i64; 6],
    /// Its result; `None` if it does not return.
    pub result: Option<i64>,
}

/// The outcome if a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest runs as if nothing had happened.
    Runs,
    /// The guest runs; the emulator gets no sysroot.
    WithoutSysroot,
    /// The guest is refused with this exit code, in one line that contains this text.
    Refused(i32, &'static str),
    /// The guest has already been refused, and the line is lost.
    Lost,
    /// The call cannot fail.
    Nothing,
}

/// The purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// `uname`: whether the kernel is one that sets `AT_FLAGS`.
    Release,
    /// `readlinkat`: the path of a privileged guest.
    OwnPath,
    /// `readlinkat`: the path of a guest whose row has rows for directories.
    Directory,
    /// `faccessat`: whether the last byte of the payload is there.
    Payload,
    /// `pread64`: the guest's first bytes.
    GuestStart,
    /// `pread64`: the guest's program headers and the name of its dynamic linker, if they are far
    /// into the file.
    GuestHeaders,
    /// `faccessat`: whether a dynamic linker is there.
    Linker,
    /// `openat`: the emulator.
    Emulator,
    /// `fstat`: the emulator's length.
    EmulatorLength,
    /// `pread64`: the emulator's headers.
    EmulatorHeaders,
    /// `mmap`: reserves the addresses that the emulator was prelinked for, first with and then
    /// without those around them.
    Prelinked,
    /// `mmap`: reserves addresses for the emulator.
    Room,
    /// `munmap`: the reserved addresses that an aligned emulator does not use; and addresses in the
    /// wrong place.
    Slack,
    /// `mmap`: a segment of the emulator, or the memory after it.
    Segment,
    /// `mremap`: the emulator out of the payload.
    MoveIn,
    /// `mprotect`: a segment of it.
    Protect,
    /// `fcntl`: the guest's descriptor to 3 or above.
    MoveUp,
    /// `close`: a descriptor that is not needed any more.
    Close,
    /// `openat`: the guest by its path, as the emulator will.
    GuestAgain,
    /// `fstat`: whether that is the same file.
    SameFile,
    /// `execve`: the emulator.
    Execute,
    /// `brk`: where the heap is.
    Heap,
    /// `prctl`: what /proc shows.
    Describe,
    /// `munmap`: the payload; or `mmap` over it, so that its addresses stay reserved.
    ClearOut,
    /// `rt_sigprocmask`: blocks SIGPIPE, which a pipe without a reader would cause.
    HoldBack,
    /// `write`: the line.
    Line,
    /// `exit_group`.
    Exit,
}

/// The table's row for a role.
pub struct Entry {
    /// The role.
    pub role: Role,
    /// Errors of the system call, as its manual page lists them, and ENOSYS and EPERM, which
    /// seccomp filters return.
    pub errors: &'static [Errno],
    /// The usual outcome.
    pub outcome: Outcome,
    /// The errors with another outcome.
    pub except: &'static [(Errno, Outcome)],
    /// The reason why the guest may still run.
    pub because: &'static str,
}

/// The errors that seccomp filters return for a call that they forbid.
pub const FORBIDDEN: [Errno; 2] = [Errno::ENOSYS, Errno::EPERM];

macro_rules! errors {
    ($($name:ident)*) => {
        &[$(Errno::$name,)* Errno::ENOSYS, Errno::EPERM]
    };
}

const ACCESS: &[Errno] = errors!(EACCES EBADF EFAULT EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EROFS ETXTBSY);
const PREAD: &[Errno] = errors!(EAGAIN EBADF EFAULT EINTR EINVAL EIO EISDIR ENXIO EOVERFLOW ESPIPE);
const OPEN: &[Errno] = errors!(EACCES EAGAIN EBADF EBUSY EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EISDIR ELOOP EMFILE
    ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EOPNOTSUPP EOVERFLOW EROFS ETXTBSY);
const STAT: &[Errno] = errors!(EBADF EFAULT EIO ENOMEM EOVERFLOW);
const MMAP: &[Errno] = errors!(EACCES EAGAIN EBADF EEXIST EINVAL ENFILE ENODEV ENOMEM EOVERFLOW ETXTBSY);
const MUNMAP: &[Errno] = errors!(EINVAL ENOMEM);
const PRCTL: &[Errno] = errors!(EACCES EBADF EBUSY EFAULT EINVAL ENODEV ENXIO EOPNOTSUPP);
const EXECVE: &[Errno] = errors!(E2BIG EACCES EAGAIN EFAULT EINVAL EIO EISDIR ELIBBAD ELOOP EMFILE ENAMETOOLONG ENFILE
    ENOENT ENOEXEC ENOMEM ENOTDIR ETXTBSY);
const WRITE: &[Errno] = errors!(EAGAIN EBADF EDESTADDRREQ EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC EPIPE);

const NO_LINKER: Outcome = Refused(126, "its dynamic linker /nonexistent/ld-aarch64.so.1 cannot be found");
const CANNOT_MAP: Outcome = Refused(126, "cannot map the emulator ");
const UNREADABLE: Outcome = Refused(126, "has to open the program by its path, and cannot");

/// The table.
#[rustfmt::skip]
pub const TABLE: &[Entry] = &[
    Entry { role: Role::Release, errors: errors!(EFAULT), outcome: Runs, except: &[],
        because: "a kernel whose release is unknown counts as new" },
    Entry { role: Role::OwnPath, errors: errors!(EACCES EBADF EFAULT EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR),
        outcome: Runs, except: &[], because: "/ stands for its path then, which is nobody's program" },
    Entry { role: Role::Directory, errors: errors!(EACCES EBADF EFAULT EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR),
        outcome: Runs, except: &[], because: "the architecture's own row counts then" },
    Entry { role: Role::Payload, errors: ACCESS, outcome: Runs,
        except: &[(Errno::EFAULT, Refused(125, "the image is cut short"))],
        because: "any other error says that the kernel could read the byte" },
    Entry { role: Role::GuestStart, errors: PREAD, outcome: Refused(126, "cannot read the program: "),
        except: &[(Errno::EINTR, Runs)], because: "it is read again" },
    Entry { role: Role::GuestHeaders, errors: PREAD, outcome: WithoutSysroot,
        except: &[(Errno::EINTR, Runs)], because: "a sysroot is a convenience, and the emulator says what is wrong" },
    Entry { role: Role::Linker, errors: ACCESS, outcome: WithoutSysroot,
        except: &[(Errno::ENOENT, NO_LINKER), (Errno::ENOTDIR, NO_LINKER)],
        because: "where a place cannot be looked at, the emulator says what is wrong" },
    Entry { role: Role::Emulator, errors: OPEN, outcome: Refused(126, "cannot open the emulator "),
        except: &[(Errno::ENOENT, Refused(127, "no emulator for ")), (Errno::ENOTDIR, Refused(127, "no emulator for "))],
        because: "" },
    Entry { role: Role::EmulatorLength, errors: STAT, outcome: Refused(126, "cannot examine the emulator "),
        except: &[], because: "" },
    Entry { role: Role::EmulatorHeaders, errors: PREAD, outcome: Refused(126, "cannot read the emulator "),
        except: &[(Errno::EINTR, Runs)], because: "it is read again" },
    Entry { role: Role::Prelinked, errors: MMAP, outcome: Runs, except: &[],
        because: "it goes where the kernel likes, with all its relocations" },
    Entry { role: Role::Room, errors: MMAP, outcome: CANNOT_MAP, except: &[], because: "" },
    Entry { role: Role::Slack, errors: MUNMAP, outcome: Runs, except: &[],
        because: "addresses that nobody uses stay taken" },
    Entry { role: Role::Segment, errors: MMAP, outcome: CANNOT_MAP, except: &[], because: "" },
    Entry { role: Role::MoveIn, errors: errors!(EAGAIN EFAULT EINVAL ENOMEM), outcome: CANNOT_MAP, except: &[],
        because: "" },
    Entry { role: Role::Protect, errors: errors!(EACCES EINVAL ENOMEM), outcome: CANNOT_MAP, except: &[], because: "" },
    Entry { role: Role::MoveUp, errors: errors!(EBADF EINVAL EMFILE),
        outcome: Refused(126, "cannot move the program's descriptor: "), except: &[], because: "" },
    Entry { role: Role::Close, errors: errors!(EBADF EDQUOT EINTR EIO ENOSPC), outcome: Runs, except: &[],
        because: "Linux has closed it all the same, close(2); nothing was written to it" },
    Entry { role: Role::GuestAgain, errors: OPEN, outcome: UNREADABLE, except: &[], because: "" },
    Entry { role: Role::SameFile, errors: STAT, outcome: UNREADABLE, except: &[], because: "" },
    Entry { role: Role::Execute, errors: EXECVE, outcome: Refused(126, "cannot execute the emulator "), except: &[],
        because: "" },
    Entry { role: Role::Heap, errors: errors!(ENOMEM), outcome: Runs, except: &[],
        because: "only what /proc shows depends on it" },
    Entry { role: Role::Describe, errors: PRCTL, outcome: Runs, except: &[],
        because: "kernels without CONFIG_CHECKPOINT_RESTORE refuse; only what /proc shows depends on it" },
    Entry { role: Role::ClearOut, errors: MMAP, outcome: Runs, except: &[],
        because: "it stays mapped; everybody may read the image" },
    Entry { role: Role::HoldBack, errors: errors!(EFAULT EINVAL), outcome: Runs, except: &[],
        because: "it is refused already, and the line is written all the same" },
    Entry { role: Role::Line, errors: WRITE, outcome: Lost, except: &[(Errno::EINTR, Runs)],
        because: "there is nobody to tell; the exit code stands" },
    Entry { role: Role::Exit, errors: &[], outcome: Nothing, except: &[], because: "it cannot fail, exit_group(2)" },
];

/// The row for `role`.
pub fn entry(role: Role) -> &'static Entry {
    TABLE.iter().find(|entry| entry.role == role).expect("every role is in the table")
}

impl Entry {
    /// The outcome of `errno`.
    pub fn outcome_of(&self, errno: Errno) -> Outcome {
        self.except.iter().find(|(found, _)| *found == errno).map_or(self.outcome, |(_, outcome)| *outcome)
    }
}

/// Number of bytes that are read at once of a guest, and of an emulator.
const GUEST_HEAD: i64 = 1024;
const EMULATOR_HEAD: i64 = 4096;
const MAP_FIXED: i64 = 0x10;
const MAP_FIXED_NOREPLACE: i64 = 0x10_0000;
const PR_SET_MM: i64 = 35;

/// The role of the last of `calls`, given the calls before it; `None` if the table does not have
/// it. `prelinked` says whether the emulator is embedded in the image and has an address to go to.
pub fn role(calls: &[Call], prelinked: bool) -> Option<Role> {
    let (call, before) = calls.split_last()?;
    let [a, _, c, d, ..] = call.arguments;
    let made = |nr| before.iter().filter(move |call: &&Call| call.nr == nr);
    let guest = calls.iter().find(|call| call.nr == nr::PREAD64).map(|call| call.arguments[0]);
    // An emulator that is executed has been opened and closed before.
    let closed = made(nr::CLOSE).any(|close| made(nr::OPENAT).any(|open| open.result == Some(close.arguments[0])));
    let end = c + d;
    Some(match call.nr {
        nr::UNAME if made(nr::PREAD64).next().is_none() => Role::Release,
        nr::READLINKAT if made(nr::PREAD64).next().is_some() => Role::Directory,
        nr::READLINKAT => Role::OwnPath,
        nr::FACCESSAT if a == -1 => Role::Payload,
        nr::FACCESSAT => Role::Linker,
        nr::PREAD64 if Some(a) == guest && end == GUEST_HEAD => Role::GuestStart,
        nr::PREAD64 if Some(a) == guest => Role::GuestHeaders,
        nr::PREAD64 if end == EMULATOR_HEAD => Role::EmulatorHeaders,
        nr::OPENAT => {
            if closed {
                Role::GuestAgain
            } else {
                Role::Emulator
            }
        }
        nr::FSTAT => {
            if closed {
                Role::SameFile
            } else {
                Role::EmulatorLength
            }
        }
        nr::MMAP | nr::MUNMAP if made(nr::BRK).next().is_some() => Role::ClearOut,
        nr::MMAP if d & MAP_FIXED_NOREPLACE != 0 && prelinked => Role::Prelinked,
        nr::MMAP => {
            if d & MAP_FIXED == 0 {
                Role::Room
            } else {
                Role::Segment
            }
        }
        nr::MUNMAP => Role::Slack,
        nr::MREMAP => Role::MoveIn,
        nr::MPROTECT => Role::Protect,
        nr::FCNTL if Some(a) == guest => Role::MoveUp,
        nr::CLOSE => Role::Close,
        nr::EXECVE => Role::Execute,
        nr::BRK => Role::Heap,
        nr::PRCTL if a == PR_SET_MM => Role::Describe,
        nr::RT_SIGPROCMASK => Role::HoldBack,
        nr::WRITE if a == 2 => Role::Line,
        nr::EXIT_GROUP => Role::Exit,
        _ => return None,
    })
}

/// Numbers of the system calls on this CPU.
pub mod nr {
    pub use nix::libc::{
        SYS_brk as BRK, SYS_close as CLOSE, SYS_execve as EXECVE, SYS_exit_group as EXIT_GROUP,
        SYS_faccessat as FACCESSAT, SYS_fcntl as FCNTL, SYS_fstat as FSTAT, SYS_mmap as MMAP, SYS_mprotect as MPROTECT,
        SYS_mremap as MREMAP, SYS_munmap as MUNMAP, SYS_openat as OPENAT, SYS_prctl as PRCTL, SYS_pread64 as PREAD64,
        SYS_readlinkat as READLINKAT, SYS_rt_sigprocmask as RT_SIGPROCMASK, SYS_uname as UNAME, SYS_write as WRITE,
    };
}
