//! What the command needs of the machine that it runs on.

pub mod files;
pub mod helper;
pub mod host;
pub mod memfd;
pub mod namespace;
pub mod probe;
pub mod process;
pub mod signals;
