//! Tests on a real kernel: a private binfmt_misc, real foreign programs, and emulators that tell how they were started.
//! What QEMU does when it is registered directly is the measure, wherever there is such a thing.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod alone;
mod at_secure;
mod counts;
mod descriptors;
mod exec;
mod faults;
mod handover;
mod images;
mod inside;
mod models;
mod privileges;
mod probes;
mod processes;
mod programs;
mod refusals;
mod stacks;
mod sysroots;
mod tune;
