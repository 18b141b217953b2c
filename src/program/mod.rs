//! A program that a person names, and the properties of it that the kernel and the stages use.

pub mod authority;
pub mod called;
pub mod disk;
pub mod env;
pub mod environment;
pub mod invoked;
pub mod privilege;
