//! The stages of binfmt-dispatch, from the kernel's initial stack to a plan for the emulator:
//!
//! ```text
//! handoff -> identify -> choose -> find_emulator -> find_sysroot -> plan -> hand-over
//!     \__________\__________\____________\______________\____________\-> Refusal
//! ```
//!
//! Everything here is a pure function of its arguments: no `unsafe`, no allocation, no system call.
//! The interpreter carries out a [`plan::Plan`]; the command prints the same value. Bytes from
//! outside are untrusted: every read is range-checked, and no input causes a panic.
//!
//! `#[inline(never)]` is used where it makes the interpreter smaller (measured with Rust 1.85 and
//! GNU ld).
#![forbid(unsafe_code)]
// No input may cause a panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![no_std]
// Tests may panic: that is how they fail.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

#[cfg(test)]
extern crate std;

// The stages, in the order of a start.
pub mod handoff; // the kernel's initial stack
pub mod guest; // the foreign program's header
mod choose; // the row that accepts it
pub mod emulator_file; // the emulator's program headers
pub mod plan; // what the emulator is called with
pub mod initial_stack; // the stack that it starts on
pub mod refusal; // why a guest is not run
pub mod pipeline; // the stages as verbs

// The formats.
pub mod bytes; // integers and strings in byte slices
pub mod elf; // ELF headers
pub mod image; // the image
pub mod record; // fixed-size records in the image and the table
mod row; // an architecture in the compiled table
pub mod table; // the compiled table

// The kernel's rules.
pub mod privilege; // which privileges an execve(2) gives
pub mod rule; // magic and mask of an entry

pub mod message; // text without core::fmt

pub use guest::Guest;
pub use handoff::Handoff;
pub use plan::Plan;
pub use refusal::Refusal;
pub use rule::Rule;
pub use table::{Row, Table};

/// The name in front of every message.
pub const NAME: &str = "binfmt-dispatch";
