//! Entering a root directory, to look at it as a program in it would.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot, getegid, geteuid};

use super::namespace::explain;
use super::{maps, rooted};
use crate::failure::{Doing, Failure};

/// Makes `root` the root directory of this process, and its working directory, with the /proc of
/// the system around it if it has a directory for one. True before: the process has one thread. No
/// other process sees the mount. A plain user needs a user namespace for it, and keeps the ids.
///
/// # Errors
/// `root` is not a directory, or the kernel or the system forbids it.
pub fn enter(root: &Path) -> Result<(), Failure> {
    let unusable = |error| Failure::io(Doing::Enter, root, error);
    if !root.metadata().map_err(unusable)?.is_dir() {
        return Err(unusable(std::io::ErrorKind::NotADirectory.into()));
    }
    let ids = (geteuid(), getegid());
    let user = if geteuid().is_root() { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
    unshare(CloneFlags::CLONE_NEWNS | user).map_err(|errno| explain("make a namespace", errno.into()))?;
    if !user.is_empty() {
        maps::keep(ids).map_err(|error| explain("map the user into the namespace", error))?;
    }
    let nothing = None::<&str>;
    let private = match mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing) {
        // In a chroot, `/` need not be a mount point.
        Err(Errno::EINVAL) => false,
        made => made.map(|()| true).map_err(|errno| explain("make the mounts private", errno.into()))?,
    };
    match rooted::resolve(root, Path::new("/proc")) {
        Ok(proc) if private && proc.is_dir() && !proc.join("self").exists() => {
            let mounted = mount(Some("/proc"), &proc, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing);
            mounted.map_err(|errno| explain("mount /proc in the root directory", errno.into()))?;
        }
        _ => {}
    }
    chdir(root).map_err(|errno| unusable(errno.into()))?;
    chroot(".").map_err(|errno| explain("enter the root directory", errno.into()))?;
    log::info!("{}: entered, as the root directory", root.display());
    Ok(())
}
