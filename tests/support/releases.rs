//! The emulators of two Debian releases, which ci/setup fetches. The tests compare them.

use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, BUILTIN};
use serde_json::{Value, json};

use super::{Namespace, Need, artefact, tool};

/// The way in which QEMU is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// QEMU is registered directly.
    Direct,
    /// QEMU is embedded in a registered image.
    Ours,
}

/// The registered architectures: those for which programs are built, and one whose rules compare
/// `e_flags`.
const ARCHITECTURES: [&str; 5] = if cfg!(target_arch = "aarch64") {
    ["riscv64", "x86_64", "mipsel", "s390x", "mips"]
} else if cfg!(target_arch = "riscv64") {
    ["aarch64", "arm", "s390x", "x86_64", "mips"]
} else {
    ["aarch64", "arm", "s390x", "riscv64", "mips"]
};

/// A Debian release whose static QEMU ci/setup fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Release {
    /// Debian 12: QEMU 7.2.
    Bookworm,
    /// Debian 13: QEMU 10.0.
    Trixie,
}

impl Release {
    /// All releases.
    #[cfg(not(target_arch = "riscv64"))]
    pub const ALL: [Release; 2] = [Release::Bookworm, Release::Trixie];
    /// Those that have riscv64.
    #[cfg(target_arch = "riscv64")]
    pub const ALL: [Release; 1] = [Release::Trixie];

    /// Its code name.
    pub const fn name(self) -> &'static str {
        match self {
            Release::Bookworm => "bookworm",
            Release::Trixie => "trixie",
        }
    }

    /// The version of its QEMU.
    pub const fn version(self) -> &'static str {
        match self {
            Release::Bookworm => "7.2",
            Release::Trixie => "10.0",
        }
    }

    /// Of two expectations, for QEMU 7.2 and for 10.0, the one for this QEMU. A host may lack one.
    pub fn pick<T: Copy>(self, expected: [T; 2]) -> T {
        expected[self as usize]
    }

    /// The QEMU for the target that QEMU calls `cpu`.
    #[track_caller]
    pub fn qemu(self, cpu: &str) -> PathBuf {
        Need::BothQemus.is_stated();
        self.path(cpu)
    }

    /// The file that is registered for [`Way::Ours`], if it has translations.
    pub fn translated(self) -> Option<PathBuf> {
        (self == Release::Trixie && !translate().is_empty()).then(|| self.image())
    }

    /// The expected path of that QEMU.
    pub fn path(self, cpu: &str) -> PathBuf {
        let suffix = match self {
            Release::Bookworm => "-static",
            Release::Trixie => "",
        };
        directory().join(self.name()).join("usr/bin").join(format!("qemu-{cpu}{suffix}"))
    }

    /// The file that is registered for programs of the architecture `name`.
    pub fn file(self, way: Way, name: &str) -> PathBuf {
        match way {
            Way::Direct => self.qemu(name),
            Way::Ours => self.image(),
        }
    }

    /// A namespace with this QEMU for [`ARCHITECTURES`].
    pub fn registered(self, way: Way) -> Namespace {
        let (option, file) = match way {
            Way::Direct => ("--table", self.table()),
            Way::Ours => ("--interpreter", self.image()),
        };
        let file = file.to_str().expect("a plain name");
        let direct: &[&str] = if way == Way::Direct { &["--direct"] } else { &[] };
        let lines = tool(&[&["generate", "--format", "register", option, file], direct, &ARCHITECTURES].concat());
        let lines = String::from_utf8(lines).expect("lines are ASCII");
        match way {
            Way::Direct => Namespace::directly(lines),
            Way::Ours => Namespace::with_lines("through us", lines),
        }
    }

    /// The built-in rows with these emulators.
    fn table(self) -> PathBuf {
        artefact(&format!("table-with-qemu-of-{}", self.name()), |path| {
            let all: Value = serde_json::from_str(BUILTIN).expect("the built-in table is good");
            let rows = all["architectures"].as_array().expect("it has rows").iter().cloned();
            let rows = rows.filter(|row| ARCHITECTURES.iter().any(|name| row["name"] == *name));
            let with_emulator = rows.map(|mut row| {
                let emulator = self.qemu(row["name"].as_str().expect("a name"));
                row["emulators"] = json!([emulator.to_str().expect("a plain name")]);
                // This table lacks some of the architectures.
                row["native_on"] = json!([row["name"]]);
                row
            });
            let table = json!({"version": 1, "architectures": with_emulator.collect::<Vec<Value>>()}).to_string();
            ArchTable::parse(&table).expect("a good table");
            std::fs::write(path, table).expect("the target directory is writable");
        })
    }

    /// A registered image with these emulators embedded.
    fn image(self) -> PathBuf {
        artefact(&format!("image-with-qemu-of-{}", self.name()), |path| {
            let from = ARCHITECTURES.map(|name| format!("{name}={}", self.qemu(name).display()));
            let translate = if self == Release::Trixie { translate() } else { Vec::new() };
            let options = from.iter().flat_map(|from| ["--from", from]).chain(translate.iter().map(String::as_str));
            tool(&["image", "--seed", "0", "-o", path].into_iter().chain(options).collect::<Vec<&str>>());
        })
    }
}

/// The directory of `<release>/usr/bin/qemu-*`.
fn directory() -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/emulators");
    std::env::var_os("BINFMT_DISPATCH_EMULATORS").map_or(fallback, PathBuf::from)
}

/// The options that give an image translations of programs for arm64. `ci/translations` sets the
/// variable, to a root directory with the programs and with command lines for them in `/lines`; the
/// emulator of Debian 13 is then one that keeps translations.
pub fn translate() -> Vec<String> {
    let Ok(root) = std::env::var("BINFMT_DISPATCH_TESTS_TRANSLATE") else { return Vec::new() };
    let lines = format!("{root}/lines");
    ["--translate".to_owned(), root, "--train".to_owned(), lines].into()
}
