//! Rust's own tools.

use std::process::Command;

use crate::program::output;
use crate::{Result, root};

/// A cargo command in the project's directory.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root());
    cargo
}

/// The target to build for; .cargo/config.toml says why it is always named.
pub fn host_target() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    Ok(host(&version).ok_or("rustc does not tell its host")?.to_owned())
}

/// The compiler's default target, as `rustc -vV` prints it.
fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_tells_its_host() {
        let version = "rustc 1.85.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.85.0\n";
        assert_eq!(host(version), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host(""), None);
    }
}
