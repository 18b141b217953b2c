//! Executable files in memory, and paths to them.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::signals::SizeLimit;

/// `MFD_EXEC`, as in `<linux/memfd.h>`: without it, `vm.memfd_noexec=1` makes the file not
/// executable.
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);

/// An empty executable file.
///
/// # Errors
/// EACCES if `vm.memfd_noexec` forbids it, and the other errors of `memfd_create(2)`.
pub fn executable(name: &CStr, flags: MFdFlags) -> Result<File, Errno> {
    let made = match memfd_create(name, flags | MFD_EXEC) {
        // Linux before 6.3 has neither the flag nor the setting.
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    };
    made.map(File::from)
}

/// An executable file that contains `bytes`.
///
/// # Errors
/// As [`executable`], and the errors of write(2).
pub fn holding(name: &CStr, flags: MFdFlags, bytes: &[u8]) -> io::Result<File> {
    let mut file = executable(name, flags)?;
    let _limit = SizeLimit::begin();
    file.write_all(bytes)?;
    Ok(file)
}

/// The text that messages show in place of a path.
pub const SHOWN: &str = "a file in memory";

/// The directory where open files have paths.
pub const DESCRIPTORS: &str = "/proc/self/fd";

/// Whether open files have paths, which takes a /proc.
pub fn has_paths() -> bool {
    Path::new(DESCRIPTORS).exists()
}

/// The path of an open file, for this process and those that it starts; `None` without a /proc.
pub fn path(file: &File) -> Option<PathBuf> {
    has_paths().then(|| Path::new(DESCRIPTORS).join(file.as_raw_fd().to_string()))
}

/// The path of an open file, for all processes that may look into this one.
pub fn path_for_all(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}
