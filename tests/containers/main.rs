//! Programs that build and run containers, with binfmt-dispatch as they find it: as a plain user in
//! `unshare`.

#[path = "../support/mod.rs"]
mod support;

// Images of containers and root directories.
mod builds;
