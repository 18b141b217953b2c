//! A program that a person names, and its properties for the kernel and the stages.

pub mod disk;
pub mod environment;
pub mod invoked;
pub mod privilege;
