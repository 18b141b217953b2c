//! The command line as a person uses it: the output, and the exit code. Nothing here is registered
//! outside a private namespace.

#[path = "../support/mod.rs"]
mod support;

// The table that most of these tests use.
mod table;

// Architectures by any name, and unknown names.
mod architectures;
// Emulators that do not exist, or cannot be used.
mod bad_emulators;
// Files that are no programs, or that cannot be run.
mod bad_programs;
// Colours, and where there are none.
mod colours;
// Man pages and completions.
mod documents;
// `explain` on programs that can run.
mod explain;
// Messages that no other test is about.
mod failures;
// The formats of `generate`, and what reads them.
mod formats;
// `generate`, and the kernel's answer to its lines.
mod generate;
// Files that are made to do harm.
mod hostile;
// `image`: a file is written completely or not at all.
mod image;
// The labels of security modules.
mod labels;
// `lint`: what it finds, and where.
mod lint;
// `lint`, compared with systemd-binfmt.
mod lint_systemd;
// `list`: columns, names and JSON.
mod list;
// Programs by name, as a shell finds them.
mod names;
// Options and failures that all commands share.
mod options;
// `explain` on standard input, below a root directory, and for another machine.
mod places;
// `run`: the guest finds descriptors and environment unchanged.
mod run;
// Scripts: the program to which their first line leads.
mod scripts;
// Rows and words on terminals.
mod terminals;
// `image --sources`: packages, sources, and the offer.
mod sources;
// `tune`, without measurements.
mod tune;
// `-v`: the steps of each command.
mod verbose;
