//! `install` and `uninstall` on a real kernel, in private namespaces. The emulators are those
//! installed on this machine. Nothing outside the scratch directory changes.

#[path = "../support/mod.rs"]
mod support;

// After a boot the entries are those that were registered.
mod boot;
// Man pages and completions.
mod documents;
// The installed files: in another root, below a prefix, upgraded, removed.
mod files;
// Interrupted runs.
mod interrupted;
// Runs that are killed before each of their system calls.
mod killed;
// What a later installation keeps of an earlier one.
mod kept;
// Programs that are started while entries are replaced, and many runs at once.
mod load;
// Entries of others, whatever their names are.
mod others;
// The commands that docs/questions.md shows.
mod questions;
// The commands in the pages where readers begin.
mod starts;
// Files that an installation leaves alone, and files that it removes.
mod stays;
// The tables of a site, which are compiled into what is installed.
mod tables;
// Translations that are kept, renewed or dropped.
mod translations;

use support::{Namespace, Observation, Scratch};

/// Variables of the scripts: the architectures whose emulators go into the images, and a prefix in
/// the scratch directory.
const VARIABLES: &str = r#"set -u; ROWS="aarch64 s390x" PREFIX=$PWD/prefix"#;

/// Time limit of a script, in seconds; some install hundreds of times.
const PATIENCE: u32 = 600;

/// A directory with the probes of two architectures.
fn with_probes() -> Scratch {
    let scratch = Scratch::new();
    for name in ["aarch64", "s390x"] {
        scratch.probe(name, name);
    }
    scratch
}

/// Runs a script with an empty registry in the scratch directory. Asserts that it exits with 0.
#[track_caller]
fn run(scratch: &Scratch, script: &str) -> Observation {
    let seen = Namespace::empty().within(PATIENCE).run(scratch, &format!("{VARIABLES}\n{script}"));
    seen.exited(0);
    seen
}
