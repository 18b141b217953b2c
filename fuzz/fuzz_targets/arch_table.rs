//! `cargo fuzz run arch_table`; see the body.

#![no_main]

#[path = "../bodies/arch_table.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::run(bytes);
});
