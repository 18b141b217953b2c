//! Failures of `container`, whose remedies are about how the container is started.

use std::fmt;
use std::io;
use std::path::PathBuf;

use dispatch_core::NAME;
use dispatch_core::refusal::{EXIT_BROKEN, EXIT_NO, EXIT_NO_EMULATOR};

use super::{show, text};

/// The remedy for a container that may do too little.
const PRIVILEGED: &str = "start the container as root, with `--privileged`";

/// Why `container` did not do what it was asked to.
#[derive(Debug)]
pub enum ContainerFault {
    /// The registry is missing, and cannot be mounted.
    NotMounted {
        /// Where it should be.
        directory: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// There is no directory to mount it on, as where /proc/sys is masked.
    NoDirectory {
        /// Where it should be.
        directory: PathBuf,
    },
    /// The kernel has no `binfmt_misc`, and cannot load its module.
    NoModule,
    /// The registry may not be written to.
    NotWritable {
        /// Where it is mounted.
        directory: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// The entries would last only as long as the container.
    NotLasting,
    /// This process was not started from an image.
    NoImage,
    /// The image embeds no emulator for an architecture that was named.
    NotEmbedded {
        /// The architecture.
        architecture: String,
    },
    /// The address is in use, or is none of this machine's.
    NotServed {
        /// The address.
        address: String,
        /// The kernel's error.
        error: io::Error,
    },
}

impl ContainerFault {
    /// The process's exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            ContainerFault::NoImage => EXIT_BROKEN,
            ContainerFault::NotEmbedded { .. } => EXIT_NO_EMULATOR,
            _ => EXIT_NO,
        }
    }
}

impl fmt::Display for ContainerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContainerFault::NotMounted { directory, error } => write!(
                f,
                "{}: binfmt_misc is not mounted there, and cannot be: {PRIVILEGED}: {}",
                show(directory.as_os_str()),
                text(error)
            ),
            ContainerFault::NoDirectory { directory } => write!(
                f,
                "{}: there is no such directory to mount binfmt_misc on: {PRIVILEGED}, and without anything over /proc",
                show(directory.as_os_str())
            ),
            ContainerFault::NoModule => {
                f.write_str("this kernel has no binfmt_misc: on the host, as root, run `modprobe binfmt_misc`")
            }
            ContainerFault::NotWritable { directory, error } => {
                write!(f, "{}: cannot be written: {PRIVILEGED}: {}", show(directory.as_os_str()), text(error))
            }
            ContainerFault::NotLasting => f.write_str(
                "binfmt_misc is mounted in this container alone, and its entries end with the container: on the host, \
                 as root, run `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc`, and start it again",
            ),
            ContainerFault::NoImage => {
                write!(f, "this program is not in an image, which embeds emulators: make one with `{NAME} image`")
            }
            ContainerFault::NotEmbedded { architecture } => write!(
                f,
                "{architecture}: the image has no emulator for it: leave it out, or use another image; \
                 `{NAME} list --image` shows what it has"
            ),
            ContainerFault::NotServed { address, error } => {
                write!(f, "{address}: cannot be served: choose another address with --report: {}", text(error))
            }
        }
    }
}
