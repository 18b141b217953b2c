//! Entries of the kernel's registry: reads them, finds their owners, and chooses and changes them.

mod mount;
pub mod mounting;
pub mod own_programs;
pub mod ownership;
pub mod question;
pub mod registration;
pub mod selection;
pub mod transaction;

pub use binfmt_misc::{Entry, Flags, RegisterLine};
pub use mount::Registry;
