//! Entries of the kernel's registry: what there is, whose it is, what is to be registered, and how it changes.

mod mount;
pub mod own_programs;
pub mod ownership;
pub mod question;
pub mod registration;
pub mod selection;
pub mod transaction;

pub use binfmt_misc::{Entry, Flags, RegisterLine};
pub use mount::Registry;
