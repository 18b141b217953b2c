//! The programs of binfmt-support and of OpenRC, which register entries. They are unpacked, and not
//! installed.

use std::path::{Path, PathBuf};

/// binfmt-support's.
pub const UPDATE_BINFMTS: &str = "usr/sbin/update-binfmts";
/// The script of OpenRC's service `binfmt`.
pub const OPENRC: &str = "lib/rc/sh/binfmt.sh";

/// The file of this name among them; `xtask fetch` fetches them.
pub fn path(name: &str) -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/consumers");
    std::env::var_os("BINFMT_DISPATCH_CONSUMERS").map_or(fallback, PathBuf::from).join(name)
}
