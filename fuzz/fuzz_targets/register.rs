//! `cargo fuzz run register`; see the body.

#![no_main]

#[path = "../bodies/register.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::run(bytes);
});
