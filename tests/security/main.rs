//! Attacks on privileged programs. Each is first made on QEMU registered directly with flag C,
//! where it must succeed if the table says that this version is vulnerable: that shows that the
//! test would notice. Then it is made through an image, where it must fail, and the program must
//! run as if there were no attack.

#[path = "../support/mod.rs"]
mod support;

// Files that take long to make.
mod artefacts;
// Closed standard descriptors.
mod descriptors;
// Privileged programs and an attacker beside them.
mod lab;
// Limits that make some step fail.
mod limits;
// Variables that steer dynamic linkers and C libraries.
mod loader;
// The guest's memory: it contains no secret.
mod memory;
// Programs whose names are options of QEMU.
mod options;
// Emulators that the attacker puts where one is expected.
mod places;
// SECURITY.md and its tests.
mod promises;
// Paths that change between one moment and the next.
mod swaps;
// Variables that steer QEMU.
mod variables;
