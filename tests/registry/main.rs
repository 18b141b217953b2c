//! Entries of the kernel's registry: `register`, `unregister`, `status` and `unshare` in private namespaces.

#[path = "../support/mod.rs"]
mod support;

mod alpha;

// From nothing to entries of ours and back.
mod entries;
// Entries that are not ours are left alone.
mod others;
// Whose an entry is, as its interpreter answers.
mod ownership;
// What `status` shows, and when its answer is no.
mod status;
// What `explain` says where the image cannot be seen.
mod unseen;
// A private registry for one command.
mod unshare;
