//! The distribution that is installed here, for remedies with its own package names
//! (os-release(5)).

use std::path::Path;

/// A family of distributions with the same package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Debian,
    Fedora,
    Suse,
    Arch,
    Alpine,
    Void,
    Gentoo,
    NixOs,
}

/// Values of `ID` and `ID_LIKE`.
const IDS: [(&str, Family); 18] = [
    ("debian", Family::Debian),
    ("ubuntu", Family::Debian),
    ("raspbian", Family::Debian),
    ("fedora", Family::Fedora),
    ("rhel", Family::Fedora),
    ("centos", Family::Fedora),
    ("azurelinux", Family::Fedora),
    ("suse", Family::Suse),
    ("opensuse", Family::Suse),
    ("opensuse-leap", Family::Suse),
    ("opensuse-tumbleweed", Family::Suse),
    ("arch", Family::Arch),
    ("archarm", Family::Arch),
    ("manjaro", Family::Arch),
    ("alpine", Family::Alpine),
    ("void", Family::Void),
    ("gentoo", Family::Gentoo),
    ("nixos", Family::NixOs),
];

/// Debian's names of architectures, where they are not the table's.
const DEBIAN: [(&str, &str); 6] = [
    ("aarch64", "arm64"),
    ("loongarch64", "loong64"),
    ("mips64el", "mips64el"),
    ("ppc", "powerpc"),
    ("ppc64le", "ppc64el"),
    ("x86_64", "amd64"),
];

/// The name of the distribution itself, of the system below `root`.
pub fn id(root: &Path) -> Option<String> {
    value(&description(root)?, "ID")
}

fn description(root: &Path) -> Option<String> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    read("etc/os-release").or_else(|| read("usr/lib/os-release"))
}

fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

impl Family {
    /// The family of the system below `root`; `None` if it is unknown.
    pub fn of(root: &Path) -> Option<Self> {
        Self::named(&description(root)?)
    }

    fn named(text: &str) -> Option<Self> {
        let ids = [value(text, "ID"), value(text, "ID_LIKE")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        ids.split_whitespace().find_map(|id| IDS.iter().find(|(known, _)| *known == id).map(|(_, family)| *family))
    }

    /// The command, as root, that installs QEMU's user mode for the row `architecture`.
    pub fn emulator(self, architecture: &str) -> String {
        match self {
            Family::Debian => "apt install qemu-user-static".to_owned(),
            Family::Fedora => "dnf install qemu-user-static".to_owned(),
            Family::Suse => "zypper install qemu-linux-user".to_owned(),
            Family::Arch => "pacman -S qemu-user-static".to_owned(),
            Family::Alpine => format!("apk add qemu-{architecture}"),
            Family::Void => "xbps-install qemu-user-static".to_owned(),
            Family::Gentoo => "emerge app-emulation/qemu (with USE=static-user)".to_owned(),
            Family::NixOs => "nix-env -iA nixos.pkgsStatic.qemu-user".to_owned(),
        }
    }

    /// The commands, as root, that install the C library of the row `architecture` whose dynamic
    /// linker is `linker`. `native` if this machine runs such programs by itself. `None` if the
    /// distribution has no package for it.
    pub fn c_library(self, architecture: &str, linker: &str, native: bool) -> Option<Vec<String>> {
        if self != Family::Debian || linker.contains("musl") || linker.starts_with("/system/") {
            return None;
        }
        let debian = match (architecture, linker.ends_with("ld-linux.so.3")) {
            ("arm", true) => "armel",
            ("arm", false) => "armhf",
            (name, _) => DEBIAN.iter().find(|(row, _)| *row == name).map_or(name, |(_, debian)| debian),
        };
        Some(if native {
            vec![
                format!("dpkg --add-architecture {debian}"),
                "apt update".to_owned(),
                format!("apt install libc6:{debian}"),
            ]
        } else {
            vec![format!("apt install libc6-{debian}-cross")]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_ids() {
        assert_eq!(Family::named("NAME=x\nID=ubuntu\nID_LIKE=debian\n"), Some(Family::Debian));
        assert_eq!(Family::named("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some(Family::Fedora));
        assert_eq!(Family::named("ID=linuxmint\nID_LIKE='ubuntu debian'\n"), Some(Family::Debian));
        assert_eq!(Family::named("ID=plan9\n"), None);
        assert_eq!(Family::named(""), None);
    }

    #[test]
    fn packages_have_the_distributions_names() {
        assert_eq!(Family::Alpine.emulator("aarch64"), "apk add qemu-aarch64");
        let library = |row, linker, native| Some(Family::Debian.c_library(row, linker, native)?.join(" && "));
        assert_eq!(library("arm", "/lib/ld-linux.so.3", false).unwrap(), "apt install libc6-armel-cross");
        assert_eq!(library("aarch64", "/lib/ld-linux-aarch64.so.1", false).unwrap(), "apt install libc6-arm64-cross");
        assert!(library("i386", "/lib/ld-linux.so.2", true).unwrap().ends_with("apt install libc6:i386"));
        assert_eq!(library("aarch64", "/lib/ld-musl-aarch64.so.1", false), None);
        assert_eq!(Family::Arch.c_library("aarch64", "/lib/ld-linux-aarch64.so.1", false), None);
    }
}
