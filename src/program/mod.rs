//! A program that a person names, and what the kernel and the stages have to know of it.

pub mod disk;
pub mod environment;
pub mod invoked;
pub mod privilege;
