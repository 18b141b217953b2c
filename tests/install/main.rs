//! `install` and `uninstall` with a real kernel, in private namespaces. The emulators are those that this machine has
//! installed; nothing outside of the scratch directory changes.

#[path = "../support/mod.rs"]
mod support;

// After a boot the entries are those that were registered.
mod boot;
// What is installed: into a root, below a prefix, upgraded, removed.
mod files;
// Runs that are interrupted: what they take back, and what the next one ends.
mod interrupted;
// Runs that are killed before each of their system calls.
mod killed;
// Programs that are started while entries are replaced, and many runs at once.
mod load;
// Entries of others, whatever their names are.
mod others;
// What an installation leaves alone, and what it takes away.
mod stays;
// The tables of a site, which are compiled into what is installed.
mod tables;

use support::{Namespace, Observation, Scratch};

/// Variables of the scripts: architectures whose emulators go into the images, and a place in the scratch directory.
const VARIABLES: &str = r#"set -u; ROWS="aarch64 s390x" PREFIX=$PWD/prefix"#;

/// How long a script may take, in seconds: some install hundreds of times.
const PATIENCE: u32 = 600;

/// Runs a script with an empty registry in the scratch directory; it has to exit with 0.
#[track_caller]
fn run(scratch: &Scratch, script: &str) -> Observation {
    let seen = Namespace::empty().within(PATIENCE).run(scratch, &format!("{VARIABLES}\n{script}"));
    seen.exited(0);
    seen
}
