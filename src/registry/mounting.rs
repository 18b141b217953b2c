//! Mounts the registry where it is missing, as in containers: the /proc of a container has the
//! directory, and nothing is mounted there.
//!
//! Since Linux 6.7 the entries of a user namespace last only as long as `binfmt_misc` is mounted
//! somewhere (`bm_evict_inode` in `fs/binfmt_misc.c`). Older kernels keep it mounted as long as there
//! are entries.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::Path;

use binfmt_misc::{Flags, Matcher, RegisterLine};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::mount::{FsOpenFlags, fsopen};

use super::Registry;
use crate::failure::{ContainerFault, Doing, Failure, show};

/// The type of the file system.
const KIND: &str = "binfmt_misc";
/// The name of an entry that shows whether entries last. It is also the ending of the file names
/// that the entry matches, and its interpreter does not exist.
const MARK: &str = "binfmt-dispatch.lasts";

/// A registry that is there, or was mounted. It stays mounted.
#[derive(Debug)]
pub struct Mounted {
    registry: Registry,
    /// Whether its entries outlast this mount namespace.
    pub lasting: bool,
}

impl Mounted {
    /// The registry at `directory`, which is mounted if it is missing.
    ///
    /// # Errors
    /// It is missing, and cannot be mounted.
    pub fn at(directory: &Path) -> Result<Self, Failure> {
        match Registry::open(directory) {
            Ok(registry) => Ok(Mounted { registry, lasting: true }),
            Err(failure) if is_missing(&failure) => {
                mount_at(directory)?;
                log::info!("{}: mounted", show(directory.as_os_str()));
                let registry = Registry::open(directory)?;
                let lasting = is_shared(directory) || lasts(&registry)?;
                Ok(Mounted { registry, lasting })
            }
            Err(failure) => Err(failure),
        }
    }
}

impl Deref for Mounted {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

/// Mounts the registry at `directory` if it is missing, for a command that only reads it. Without
/// privileges the command says what it cannot see.
pub fn mount_if_missing(directory: &Path) {
    if Registry::open(directory).is_err_and(|failure| is_missing(&failure)) {
        if let Err(failure) = mount_at(directory) {
            log::info!("{failure}");
        }
    }
}

/// Whether a registry could not be opened because it is not mounted.
fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::NotMounted { .. } | Failure::NoBinfmtMisc | Failure::AutomountFailed { .. })
}

fn mount_at(directory: &Path) -> Result<(), Failure> {
    // The directory comes with the kernel's module, which this loads. Without privileges, or before
    // Linux 5.2, it fails, and the next call says why.
    if fsopen(KIND, FsOpenFlags::FSOPEN_CLOEXEC).is_err_and(|errno| errno == rustix::io::Errno::NODEV) {
        return Err(Failure::Container(ContainerFault::NoModule));
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(KIND), directory, Some(KIND), flags, None::<&str>).map_err(|errno| {
        Failure::Container(match errno {
            Errno::ENODEV => ContainerFault::NoModule,
            Errno::ENOENT | Errno::ENOTDIR => ContainerFault::NoDirectory { directory: directory.to_owned() },
            _ => ContainerFault::NotMounted { directory: directory.to_owned(), error: errno.into() },
        })
    })
}

/// Whether what was mounted at `directory` is mounted in other mount namespaces too, as in a volume
/// that propagates mounts to the host (proc(5), mountinfo).
fn is_shared(directory: &Path) -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    // The last one covers the others.
    let last = mounts.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| {
        // Spaces and the like are escaped. Such a directory counts as not shared.
        fields.get(4).is_some_and(|place| Path::new(place) == directory)
    });
    last.is_some_and(|fields| fields.iter().skip(6).take_while(|it| **it != "-").any(|it| it.starts_with("shared:")))
}

/// Whether entries stay when the registry, which this process has mounted, is unmounted: somebody
/// else has mounted it too, or the kernel keeps it.
fn lasts(registry: &Registry) -> Result<bool, Failure> {
    let (name, directory) = (OsStr::new(MARK), registry.directory());
    let line = RegisterLine::new(name, Matcher::Extension(name.to_owned()), Path::new("/"), Flags::default())
        .map_err(|fault| Failure::BadLine { entry: name.to_owned(), fault })?;
    match registry.register(&line) {
        // An interrupted run left it.
        Ok(()) | Err(Failure::EntryExists { .. }) => {}
        Err(failure) => return Err(failure),
    }
    umount2(directory, MntFlags::empty()).map_err(|errno| Failure::io(Doing::Mount, directory, errno.into()))?;
    mount_at(directory)?;
    let lasts = registry.entry(name)?.is_some();
    if lasts {
        registry.unregister(name)?;
    }
    log::info!("{}: entries {} when it is unmounted", show(directory.as_os_str()), if lasts { "stay" } else { "go" });
    Ok(lasts)
}
