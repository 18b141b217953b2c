//! Attacks on privileged programs. Each is first made on QEMU registered directly with flag C, where it must succeed if the
//! table says that this version is vulnerable, so that the test is known to bite; then through an image, where it must fail
//! and the program must run as if nobody had tried.

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod lab;
mod limits;
mod loader;
mod memory;
mod options;
mod places;
mod promises;
mod swaps;
mod variables;
