//! `cargo fuzz run guest`; see the body.

#![no_main]

#[path = "../bodies/guest.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::run(bytes);
});
