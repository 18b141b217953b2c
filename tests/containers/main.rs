//! Containers: programs that build and run them, in `unshare`, as a plain user; and containers that
//! hold nothing but the image, in private namespaces: what is registered from them works, is known on
//! the host, and outlasts them.

#[path = "../support/mod.rs"]
mod support;

// Images of containers and root directories.
mod builds;
// A root directory with the image alone, and the scripts that start it as a container.
mod container;

// In place of the images that people use to register QEMU.
mod drop_in;
// The levels of x86-64.
mod levels;
// Entries of others, under the same names and under other ones.
mod others;
// Containers that may do too little, and kernels that refuse.
mod confined;
// An installation that is killed, and run again.
mod killed;
// A new image in place of an old one while programs start.
mod upgrade;
// Many nodes, upgraded in waves.
mod waves;
// Metrics and health over HTTP.
mod report;
