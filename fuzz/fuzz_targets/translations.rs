//! `cargo fuzz run translations`; see the body.

#![no_main]

#[path = "../bodies/translations.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::run(bytes);
});
