//! The architectures, emulators, CPU models and programs that can be measured.

/// An architecture.
pub struct Architecture {
    /// Debian's name.
    pub name: &'static str,
    /// The last release of Debian that has it.
    pub release: &'static str,
    /// CPU models to compare with the emulators' defaults. Some are below what distributions need,
    /// to show what that costs.
    pub models: &'static [&'static str],
}

/// An emulator.
pub struct Emulator {
    /// The name by which users choose it.
    pub version: &'static str,
    /// The release of Debian that has it.
    pub release: &'static str,
    /// Its package in Debian.
    pub package: &'static str,
}

/// All architectures, in the order in which they are measured.
pub const ARCHITECTURES: [Architecture; 11] = [
    Architecture {
        name: "arm64",
        release: "trixie",
        models: &["max,pauth-impdef=on", "max,pauth=off", "max,pauth=off,sve=off", "neoverse-n1", "cortex-a76"],
    },
    Architecture {
        name: "riscv64",
        release: "trixie",
        models: &[
            "max,ztso=off",
            "max,ztso=off,zama16b=off",
            "rva23s64",
            "rva22s64",
            "rv64",
            "rv64,v=true,vext_spec=v1.0",
        ],
    },
    Architecture { name: "amd64", release: "trixie", models: &["max", "Haswell-noTSX", "max,-avx2", "Nehalem"] },
    Architecture { name: "i386", release: "trixie", models: &["max", "max,-avx2", "Nehalem", "pentium3"] },
    Architecture { name: "armhf", release: "trixie", models: &["max", "cortex-a15", "cortex-a7"] },
    Architecture { name: "armel", release: "trixie", models: &["max", "cortex-a15", "arm1176"] },
    Architecture { name: "ppc64el", release: "trixie", models: &["power8", "power9", "power10"] },
    Architecture { name: "s390x", release: "trixie", models: &["max"] },
    Architecture {
        name: "mips64el",
        release: "bookworm",
        models: &["MIPS64R2-generic", "Loongson-3A4000", "Octeon68XX"],
    },
    Architecture { name: "mipsel", release: "bookworm", models: &["34Kf", "74Kf", "P5600"] },
    Architecture { name: "loong64", release: "sid", models: &["la464", "max"] },
];

/// All emulators.
pub const EMULATORS: [Emulator; 3] = [
    Emulator { version: "7.2", release: "bookworm", package: "qemu-user-static" },
    Emulator { version: "10.0", release: "trixie", package: "qemu-user" },
    Emulator { version: "newest", release: "trixie-backports", package: "qemu-user" },
];

/// Packages of the root directories.
pub const PACKAGES: [&str; 18] = [
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "gcc",
    "grep",
    "gzip",
    "libc-bin",
    "libc6-dev",
    "make",
    "mawk",
    "perl-base",
    "python3-minimal",
    "sed",
    "tar",
    "xz-utils",
];

/// Packages that the longer work installs with apt: a compiler, and what it needs.
pub const BUILD_PACKAGES: [&str; 3] = ["gcc", "libc6-dev", "make"];
/// Packages that it installs with pip.
pub const PYTHON_PACKAGES: [&str; 2] = ["django==5.1.4", "sphinx==8.1.3"];
/// Packages that it installs with npm.
pub const NODE_PACKAGES: [&str; 2] = ["express@4.21.2", "typescript@5.6.3"];

/// A small project to compile.
pub const PROJECT: &str = "hello-2.10";
/// Path of its source in Debian's archive.
pub const PROJECT_SOURCE: &str = "pool/main/h/hello/hello_2.10.orig.tar.gz";

/// The items of `all` named in `names`, in the order of `names`; all of them if `names` is empty.
pub fn chosen<'c, C>(all: &'c [C], names: &[String], name: impl Fn(&C) -> &str) -> Vec<&'c C> {
    if names.is_empty() {
        return all.iter().collect();
    }
    names.iter().filter_map(|wanted| all.iter().find(|one| name(one) == wanted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_named_are_chosen() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().copied().map(str::to_owned).collect();
            chosen(&EMULATORS, &wanted, |emulator| emulator.version).iter().map(|it| it.version).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["7.2", "10.0", "newest"]);
        assert_eq!(names(&["newest", "7.2"]), ["newest", "7.2"]);
    }
}
