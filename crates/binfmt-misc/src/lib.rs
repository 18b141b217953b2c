//! Entries of `binfmt_misc` as text: the line that makes one ([`RegisterLine`]), the kernel's
//! description of one ([`Entry`]), the kernel's grammar ([`grammar`]), and its choice among entries
//! ([`registry`]). Nothing here touches the registry itself.
#![forbid(unsafe_code)]

mod entry;
pub mod grammar;
mod register_line;
pub mod registry;

pub use entry::{Entry, Flags, Matcher};
pub use register_line::{LineFault, MAX_LINE, RegisterLine};

/// Name of the file in the mount that creates entries.
pub const REGISTER: &str = "register";
/// Name of the file in the mount that turns all entries on and off.
pub const STATUS: &str = "status";
