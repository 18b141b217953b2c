//! Tests on a real kernel: a private `binfmt_misc`, real foreign programs, and emulators that
//! report how they were started. Where possible, the result must be the same as with QEMU
//! registered directly.

#[path = "../support/mod.rs"]
mod support;

// Addresses that a program can have.
mod addresses;
// The image where there is nothing else: no emulator, no /proc, no /dev.
mod alone;
// Files that take long to make.
mod artefacts;
// Starts that the kernel marks as privileged.
mod at_secure;
// Programs below a directory that has a row of its own.
mod below;
// Promises in numbers.
mod counts;
// The descriptors that an emulator finds.
mod descriptors;
// Architectures that the table disables.
mod disabled;
// Emulators that have to be executed.
mod exec;
// The interpreter's system calls, made to fail.
mod faults;
// The hand-over as the emulator sees it.
mod handover;
// Registered files that are damaged.
mod images;
// Embedded emulators, as they see it themselves.
mod embedded;
// Registries of whole machines.
mod machine;
// Strict accounting of memory.
mod memory;
// The CPU model that an emulator is given.
mod models;
// Programs that gain privileges.
mod privileges;
// The smallest program of every architecture.
mod probes;
// The inherited state of a process, and its appearance to others.
mod processes;
// Foreign programs, started in every way.
mod programs;
// Programs that are refused, and the messages.
mod refusals;
// Small stacks.
mod stacks;
// Libraries below a sysroot.
mod sysroots;
// Entries with flag T.
mod transparent;
// Translations beside an embedded emulator.
mod translations;
// Measuring CPU models.
mod tune;
