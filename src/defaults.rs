//! Where things are unless the command line says otherwise.

/// Where the kernel's registry is mounted.
pub const REGISTRY: &str = "/proc/sys/fs/binfmt_misc";
/// The image: outside every PATH, since it is not called by name.
pub const IMAGE: &str = "/usr/libexec/binfmt-dispatch/binfmt-dispatch";
/// Where `install` puts things.
pub const PREFIX: &str = "/usr";
/// Tables of the site's own, which `image` and `install` add to the built-in one.
pub const SITE: &str = "/etc/binfmt-dispatch";
/// The command that `unshare` runs when none is given and SHELL is not set.
pub const SHELL: &str = "sh";
