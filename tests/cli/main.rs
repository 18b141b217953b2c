//! The command line, as a person meets it: what is printed, and the exit code. Nothing here is registered outside a
//! private namespace.

#[path = "../support/executable.rs"]
mod executable;
mod lab;

mod bad_emulators;
mod bad_programs;
mod explain;
mod generate;
mod image;
mod list;
mod names;
mod options;
mod run;
mod scripts;
mod tune;
mod verbose;
