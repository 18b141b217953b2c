//! A user namespace with a `binfmt_misc` of its own (Linux 6.7 and newer, commit 21ca59b365c0).
//!
//! True before: the process has one thread. True after: it is root in a new user namespace, and in
//! a mount namespace whose changes no other process sees. The registry there is new and empty. It
//! alone applies to the process's programs; they cannot reach the host's entries any more.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use super::kernel::{self, Version};
use super::maps::Mapper;
use crate::defaults::REGISTRY;
use crate::failure::Failure;

/// Settings that can forbid user namespaces: name, a forbidding value, an allowing value, and
/// whether they apply to root too.
const SETTINGS: [Setting; 3] = [
    Setting { name: "user.max_user_namespaces", forbidding: "0", allowing: "15000", for_root: true },
    // Kernels of Debian and Ubuntu.
    Setting { name: "kernel.unprivileged_userns_clone", forbidding: "0", allowing: "1", for_root: false },
    // Ubuntu 23.10 and newer: the namespace can be made, but gives no privileges.
    Setting { name: "kernel.apparmor_restrict_unprivileged_userns", forbidding: "1", allowing: "0", for_root: false },
];

struct Setting {
    name: &'static str,
    forbidding: &'static str,
    allowing: &'static str,
    for_root: bool,
}

/// Enters the namespaces and mounts the registry.
///
/// For root every id keeps its number, so that programs that change users work. Any other user
/// becomes root, with the user's subordinate ids if there are any ([`super::maps`]).
/// If that fails and the command needs `other_ids`, a warning says why.
///
/// # Errors
/// The kernel or the system forbids it; the message names the setting.
pub fn enter(other_ids: bool) -> Result<(), Failure> {
    let mapper = Mapper::start();
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|errno| explain("make a user namespace", errno.into()))?;
    mapper.map(other_ids).map_err(|error| explain("map the user into the namespace", error))?;
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .map_err(|errno| explain("make the mounts private", errno.into()))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("binfmt_misc"), REGISTRY, Some("binfmt_misc"), flags, nothing)
        .map_err(|errno| not_mounted(errno, kernel::release()))?;
    log::info!("{REGISTRY}: mounted, in a mount namespace of its own");
    Ok(())
}

/// The failure to mount a `binfmt_misc` on a kernel of this release.
fn not_mounted(errno: Errno, release: Option<String>) -> Failure {
    let old =
        release.filter(|release| Version::parse(release).is_some_and(|version| version < Version::PRIVATE_REGISTRIES));
    match (errno, old) {
        // EPERM: the file system exists, but not for user namespaces. With the other two a module
        // is missing that would not help.
        (Errno::EPERM | Errno::ENODEV | Errno::ENOENT, Some(release)) => Failure::KernelTooOld { release },
        // The directory comes with the module, which the kernel does not load for a user namespace.
        (Errno::ENODEV | Errno::ENOENT, None) => Failure::NoBinfmtMisc,
        _ => explain("mount a binfmt_misc", errno.into()),
    }
}

/// The failure of `step`, with the setting that caused it, if that can be determined.
pub(super) fn explain(step: &'static str, error: io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let refused = matches!(errno, Some(Errno::EPERM | Errno::EACCES | Errno::ENOSPC | Errno::EUSERS));
    let forbids = |setting: &&Setting| {
        let path = format!("/proc/sys/{}", setting.name.replace('.', "/"));
        (setting.for_root || !geteuid().is_root())
            && fs::read_to_string(path).is_ok_and(|value| value.trim() == setting.forbidding)
    };
    match SETTINGS.iter().find(forbids).filter(|_| refused) {
        Some(&Setting { name: setting, allowing, .. }) => Failure::NamespacesForbidden { setting, allowing },
        None => Failure::Namespace { step, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_setting_explains_keeps_the_kernels_word() {
        let failure = explain("step", Errno::EIO.into());
        assert!(matches!(failure, Failure::Namespace { step: "step", .. }));
    }

    #[test]
    fn a_kernel_that_is_too_old_is_not_told_to_load_a_module() {
        let failure = |errno, release: &str| not_mounted(errno, Some(release.to_owned()));
        for errno in [Errno::EPERM, Errno::ENODEV, Errno::ENOENT] {
            assert!(matches!(failure(errno, "6.6.99"), Failure::KernelTooOld { release } if release == "6.6.99"));
        }
        for errno in [Errno::ENODEV, Errno::ENOENT] {
            assert!(matches!(failure(errno, "6.7.0"), Failure::NoBinfmtMisc));
            assert!(matches!(failure(errno, "next"), Failure::NoBinfmtMisc));
        }
        assert!(matches!(failure(Errno::EIO, "6.6.99"), Failure::Namespace { .. }));
    }

    #[test]
    fn for_older_kernels_there_is_another_way() {
        let message = Failure::KernelTooOld { release: "6.1.0-9-amd64".into() }.to_string();
        assert!(message.starts_with("Linux 6.1.0-9-amd64 has one binfmt_misc for all, "), "{message}");
        assert!(message.contains("with `binfmt-dispatch run`"), "{message}");
        assert!(message.ends_with("as root, run `binfmt-dispatch install` for the whole machine"), "{message}");
    }
}
