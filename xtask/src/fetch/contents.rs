//! What the downloads contain that are made of parts of packages.

use std::fs;
use std::path::Path;

use super::Fetching;
use crate::Result;
use crate::debian::{self, Mirror, extract, host_architecture, unpack};
use crate::files::{put, with_ending};
use crate::machines::the_one;

/// The foreign programs: `<architecture>/bin/busybox`.
pub(super) fn guests(fetching: &Fetching, architectures: &[&'static str]) -> Result<()> {
    let Mirror { address, codename } = &fetching.mirror;
    let mut missing = architectures.to_vec();
    // The last release with MIPS, and the first one with RISC-V.
    for release in [codename, "bookworm", "trixie"] {
        if missing.is_empty() {
            break;
        }
        let index = fetching.index(release, &missing)?;
        let offered = index.offered()?;
        let (present, absent) = missing.into_iter().partition::<Vec<_>, _>(|it| offered.iter().any(|name| name == it));
        for package in index.download("busybox-static", &present)? {
            let architecture = debian::field(&package, "Architecture")?;
            let tree = fetching.work.path().join(&architecture);
            extract(&package, &tree)?;
            // Newer releases have it in /usr/bin.
            if !tree.join("bin").exists() {
                std::os::unix::fs::symlink("usr/bin", tree.join("bin"))?;
            }
            put(&tree, &fetching.directory.join(architecture))?;
        }
        missing = absent;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    let tried = format!("neither Debian {codename} nor bookworm or trixie on {address}");
    Err(format!("{tried} has busybox-static for {missing}: use a mirror that has them").into())
}

/// The emulators: `<release>/usr/bin/qemu-*`.
pub(super) fn emulators(fetching: &Fetching, releases: &[&'static str]) -> Result<()> {
    let host = host_architecture()?;
    for release in releases {
        // Before trixie, qemu-user was dynamically linked.
        let package = if *release == "bookworm" { "qemu-user-static" } else { "qemu-user" };
        let (unpacked, tree) = (fetching.work.path().join("unpacked"), fetching.work.path().join(release));
        let packages = fetching.index(release, &[&host])?.download(package, &[&host])?;
        extract(the_one(&packages)?, &unpacked)?;
        fs::create_dir_all(tree.join("usr"))?;
        fs::rename(unpacked.join("usr/bin"), tree.join("usr/bin"))?;
        fs::remove_dir_all(unpacked)?;
        put(&tree, &fetching.directory.join(release))?;
    }
    Ok(())
}

/// Some emulators for other hosts: `<architecture>/usr/bin/qemu-*`. All take 300 MB.
pub(super) fn hosts(fetching: &Fetching, architectures: &[&'static str]) -> Result<()> {
    const KEPT: [&str; 3] = ["qemu-arm", "qemu-s390x", "qemu-x86_64"];
    for package in fetching.index("trixie", architectures)?.download("qemu-user", architectures)? {
        let (unpacked, tree) = (fetching.work.path().join("unpacked"), fetching.work.path().join("tree"));
        extract(&package, &unpacked)?;
        fs::create_dir_all(tree.join("usr/bin"))?;
        for name in KEPT {
            let path = Path::new("usr/bin").join(name);
            fs::rename(unpacked.join(&path), tree.join(&path))?;
        }
        fs::remove_dir_all(unpacked)?;
        put(&tree, &fetching.directory.join(debian::field(&package, "Architecture")?))?;
    }
    Ok(())
}

/// The toolchain, as one root directory: `usr/bin/rustc`, `usr/bin/aarch64-linux-gnu-gcc`.
pub(super) fn toolchain(fetching: &Fetching, architectures: &[&'static str]) -> Result<()> {
    // No release has Rust's library for loong64 yet.
    let release = if architectures == ["loong64"] { "sid" } else { "trixie" };
    let mut packages = vec!["cargo".to_owned(), "rustc".to_owned()];
    for architecture in architectures {
        let cpu = match *architecture {
            "arm64" => "aarch64",
            "loong64" => "loongarch64",
            "ppc64el" => "powerpc64le",
            same => same,
        };
        packages.push(format!("gcc-{cpu}-linux-gnu"));
        packages.push(format!("libc6-dev-{architecture}-cross"));
    }
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let tree = fetching.work.path().join("tree");
    unpack(&fetching.mirror, release, &host_architecture()?, &packages, &tree)?;
    for package in fetching.index(release, architectures)?.download("libstd-rust-dev", architectures)? {
        extract(&package, &tree)?;
    }
    for part in with_ending(&tree, "")? {
        put(&part, &fetching.directory.join(part.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
