//! Entries of the kernel's registry: `register`, `unregister`, `status` and `unshare`, in private
//! namespaces.

#[path = "../support/mod.rs"]
mod support;

// A table and an image of alpha alone, and the scripts that use them.
mod alpha;

// Whether `explain` and the kernel agree.
mod agreement;
// From an empty registry to the image's entries and back.
mod entries;
// Others' entries are left alone.
mod others;
// The owner of an entry, from its interpreter's answer.
mod ownership;
// The output of `status`, and the cases in which the check fails.
mod status;
// The output of `explain` if the image cannot be seen.
mod unseen;
// A private registry for one command.
mod unshare;
