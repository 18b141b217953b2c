//! binfmt-dispatch, the human door: explains, generates, builds images, registers, verifies.
//!
//! Everything it says about a file is a rendering of the same plan that the interpreter carries out.

// What this process executes (`run`, `unshare`) must find signals and descriptors as a person left them; the standard
// library's own start-up ignores SIGPIPE and fills closed descriptors.
#![cfg_attr(not(test), no_main)]

mod boot;
mod cli;
mod commands;
mod defaults;
mod disk;
mod entry;
mod failure;
mod guest;
mod host;
mod image;
mod installation;
mod memory;
mod namespace;
mod native;
mod output;
mod ownership;
mod privilege;
mod probe;
mod question;
mod registration;
mod registry;
mod selection;
mod transaction;
mod tune;
