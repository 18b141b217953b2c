//! Entries of `binfmt_misc` as text: the line that makes one ([`RegisterLine`]), what the kernel shows of one
//! ([`Entry`]), and what the kernel makes of a line ([`grammar`]). Nothing here touches the registry itself.
#![forbid(unsafe_code)]

mod entry;
pub mod grammar;
mod register_line;

pub use entry::{Entry, Flags, Matcher};
pub use register_line::{LineFault, RegisterLine};

/// Name of the mount's file that makes entries.
pub const REGISTER: &str = "register";
/// Name of the mount's file that turns all entries on and off.
pub const STATUS: &str = "status";
