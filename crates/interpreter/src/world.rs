//! Files and environment, as the stages see them ([`World`]).

use core::cell::Cell;
use core::ffi::CStr;

use dispatch_core::pipeline::{Part, World};
use dispatch_core::plan::variable_name;
use dispatch_core::table::Identity;

use crate::stack::Stack;
use crate::sys::{self, Fd, Path};

/// The error for a path that is too long for the kernel, `ENAMETOOLONG`.
const UNSEEN: i32 = 36;

/// Files and environment, accessed through the kernel.
pub struct Live<'s> {
    /// The stack, which holds the strings.
    pub stack: &'s Stack,
    /// Addresses of the environment.
    pub environment: &'static [Cell<usize>],
    /// Buffer for the paths that are tried; `None` once it holds one that is needed later.
    pub path: Option<&'static mut Path>,
}

impl World for Live<'_> {
    type File = Fd;

    fn open(&mut self, path: &CStr) -> Result<Fd, i32> {
        sys::open(path)
    }

    fn read_at<'b>(&mut self, fd: Fd, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], i32> {
        sys::read_at(fd, buffer, offset)
    }

    fn identity(&mut self, fd: Fd) -> Result<Identity, i32> {
        sys::identity(fd)
    }

    fn look_for(&mut self, root: &CStr, path: &CStr) -> Result<(), i32> {
        let (root, path) = (root.to_bytes(), path.to_bytes_with_nul());
        let Some(joined) = &mut self.path else { return Err(UNSEEN) };
        let Some((to_root, rest)) = joined.split_at_mut_checked(root.len()) else { return Err(UNSEEN) };
        let Some(to_path) = rest.get_mut(..path.len()) else { return Err(UNSEEN) };
        to_root.copy_from_slice(root);
        to_path.copy_from_slice(path);
        CStr::from_bytes_until_nul(&joined[..]).map_or(Err(UNSEEN), sys::look_for)
    }

    fn path<'b>(&mut self, fd: Fd, buffer: &'b mut Part) -> Option<&'b [u8]> {
        sys::path(fd, buffer).map(CStr::to_bytes)
    }

    fn env_is_set(&mut self, name: &[u8]) -> bool {
        self.environment.iter().any(|address| variable_name(self.stack.string(address.get()).to_bytes()) == name)
    }
}
