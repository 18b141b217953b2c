//! `cargo fuzz run elf`; see the body.

#![no_main]

#[path = "../bodies/elf.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::run(bytes);
});
