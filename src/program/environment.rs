//! The environment that a started program gets.

use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// All strings of the environment. The standard library shows only those of the form `NAME=value`.
pub fn environment() -> Vec<Vec<u8>> {
    if let Some(block) = std::fs::read("/proc/self/environ").ok().filter(|block| block.ends_with(b"\0")) {
        return block[..block.len() - 1].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    }
    std::env::vars_os()
        .map(|(name, value)| {
            let mut variable = name.into_vec();
            variable.push(b'=');
            variable.extend(value.as_bytes());
            variable
        })
        .collect()
}
