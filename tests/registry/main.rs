//! Entries of the kernel's registry: `register`, `unregister`, `status` and `unshare`, in private
//! namespaces.

#[path = "../support/mod.rs"]
mod support;

// A table and an image of alpha alone, and the scripts that use them.
mod alpha;

// Which entry gets a file.
mod agreement;
// Architectures that the table disables.
mod disabled;
// The emulators that `unshare` embeds.
mod embedding;
// From an empty registry to the image's entries and back.
mod entries;
// Whether a file runs.
mod matrix;
// Entries that are unusual, or that come and go.
mod odd;
// Others' entries are left alone.
mod others;
// The owner of an entry, from its interpreter's answer.
mod ownership;
// Remedies that work in namespaces, containers and root directories.
mod elsewhere;
// The output of `status`, and the cases in which the check fails.
mod status;
// The output of `explain` if the image cannot be seen.
mod unseen;
// The commands that `status` names.
mod remedies;
// A private registry for one command.
mod unshare;

use boon::{Compiler, Schemas};
use serde_json::Value;

/// Asserts that JSON is as a schema of `docs` says.
#[track_caller]
fn is_as_documented(schema: &str, answer: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("schema", schema).unwrap();
    let index = compiler.compile("schema", &mut schemas).unwrap();
    schemas.validate(answer, index).unwrap_or_else(|error| panic!("{error:#}\n{answer:#}"));
}
