//! `cargo fuzz run emulator`; see the body.

#![no_main]

#[path = "../bodies/emulator.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::run(bytes);
});
