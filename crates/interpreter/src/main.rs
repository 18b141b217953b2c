//! The program that the kernel starts for a foreign program.
//!
//! It uses no `std` and no libc. Their start-up takes as long as the emulator's own, and it changes
//! state that the guest would inherit (signal dispositions, an rseq area, descriptors, the
//! environment).
//!
//! Start with `dispatch`, which is the whole pipeline. `#[inline(never)]` is used where it makes
//! the file smaller.
// No input may cause a panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![no_std]
#![no_main]

mod cpu;
mod dispatch;
mod load;
mod message;
mod payload;
mod stack;
mod start;
mod sys;
mod world;
