//! The stages of binfmt-dispatch, from what the kernel left on the stack to what is about to be done:
//!
//! ```text
//! handoff -> identify -> choose -> find_emulator -> plan -> hand-over
//!     \__________\__________\____________\________\-> Refusal
//! ```
//!
//! Everything here is a pure function of its arguments: no `unsafe`, no allocation, no system call. The interpreter carries a
//! [`plan::Plan`] out; the command prints the same value. Bytes that come from outside are untrusted: every read is
//! range-checked and no input panics.
#![no_std]
// Tests may panic: that is how they fail.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

#[cfg(test)]
extern crate std;

pub mod bytes;
mod choose;
pub mod elf;
pub mod guest;
pub mod handoff;
pub mod image;
pub mod initial_stack;
pub mod pipeline;
pub mod plan;
pub mod privilege;
pub mod program;
pub mod record;
pub mod refusal;
pub mod rule;
pub mod say;
pub mod table;

pub use guest::Guest;
pub use handoff::Handoff;
pub use plan::Plan;
pub use refusal::Refusal;
pub use rule::Rule;
pub use table::{Row, Table};

/// The name in front of every message.
pub const NAME: &str = "binfmt-dispatch";
