//! The command line, as a person meets it: what is printed, and the exit code. Nothing here is registered outside a
//! private namespace.

#[path = "../support/mod.rs"]
mod support;
mod table;

// Emulators that are not there, or cannot be used.
mod bad_emulators;
// Files that are no programs, or that nobody can run.
mod bad_programs;
// `explain` on programs with which nothing is wrong.
mod explain;
// `generate`, and the kernel's answer to its lines.
mod generate;
// `image`: whole or not at all.
mod image;
// `list`: columns, names and JSON.
mod list;
// Programs by name, as a shell finds them.
mod names;
// Options and failures that all commands share.
mod options;
// `run`: the guest finds everything as it was.
mod run;
// Scripts, by what their first line leads to.
mod scripts;
// `tune`, as far as nothing is measured.
mod tune;
// `-v`: what each command looks at and does.
mod verbose;
