//! The services of this host that the command uses.

pub mod chroot;
pub mod distribution;
pub mod files;
pub mod helper;
pub mod host;
pub mod kernel;
pub mod labels;
pub mod maps;
pub mod memfd;
pub mod namespace;
pub mod packages;
pub mod probe;
pub mod process;
pub mod rooted;
pub mod signals;
