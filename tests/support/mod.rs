//! Shared by the tests of the command and those on a real kernel: a directory for each test,
//! private namespaces with their own `binfmt_misc`, observations of runs, real foreign programs,
//! and emulators that report how they were started. Nothing here touches the machine's own
//! registry, unless the machine is disposable.

// Each suite uses only a part of this module.
#![allow(dead_code, unused_imports)]

mod consumers;
mod elf;
mod emulators;
mod executable;
mod foreign;
mod guests;
mod hosts;
pub mod keeper;
mod namespace;
mod observation;
pub mod packages;
pub mod prelinked;
mod prerequisites;
mod registry;
mod releases;
mod report;
mod row;
mod scratch;
mod tool;

pub use elf::{Elf, dynamic_guest, guest_with_code, guest_with_property, segment};
pub use emulators::{Kind, artefact, build, caller, compiled, hanging, injector, killer, native, saying};
pub use foreign::{FOREIGN, Foreign};
pub use guests::{for_each, guest, guests};
pub use hosts::Host;
pub use namespace::{Namespace, REGISTRY, both, both_with_argv0, image_flags};
pub use observation::Observation;
pub(crate) use prerequisites::need;
pub use prerequisites::{Need, have};
pub use registry::{Registry, kernel_since, page, patience};
pub use releases::{Release, Way, translate};
pub use report::Report;
pub use row::{Row, reporting};
pub use scratch::{Scratch, probe};
pub use tool::{TOOL, tool};
