//! Debian's root directories, unpacked by ci/setup: one of the emulated architecture, and one of
//! this machine's own.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// A directory that every root directory has; the benchmark's own directory is mounted there.
const OWN: &str = "tmp";

/// The root directories.
pub struct Roots {
    /// Programs that need an emulator.
    pub foreign: PathBuf,
    /// The same programs for this machine.
    pub native: PathBuf,
}

impl Roots {
    /// Finds the root directories. `emulator` will be mounted in the foreign one, at its own path.
    pub fn prepare(emulator: &str) -> Result<Self, Box<dyn Error>> {
        let roots = std::env::var_os("BINFMT_DISPATCH_ROOTS").map(PathBuf::from);
        let roots = roots.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/roots"));
        let find = |name: &str| {
            let root = roots.join(name);
            if root.join("usr/bin").is_dir() { Ok(root) } else { Err(missing(&root)) }
        };
        let native = if std::env::consts::ARCH == "x86_64" { "amd64" } else { std::env::consts::ARCH };
        let found = Roots { foreign: find("arm64")?, native: find(native)? };
        // An empty file to mount it on.
        let place = below(&found.foreign, emulator);
        fs::create_dir_all(place.parent().ok_or("the emulator's path has no directory")?)?;
        File::options().append(true).create(true).open(place)?;
        Ok(found)
    }
}

fn missing(root: &Path) -> String {
    format!("{}: there are no programs; run ci/setup, or give --program-rounds 0", root.display())
}

/// The absolute path `path` below `root`.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Makes `root` this process's root directory. Mounts the kernel's file systems, `emulator` at its
/// own path if there is one, and `directory`, whose new path is returned.
pub fn enter(root: &Path, directory: &Path, emulator: Option<&str>) -> Result<PathBuf, Box<dyn Error>> {
    let bind = |from: &Path, to: &Path| {
        mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
            .map_err(|errno| format!("{}: cannot be mounted at {}: {errno}", from.display(), to.display()))
    };
    bind(Path::new("/proc"), &root.join("proc"))?;
    bind(Path::new("/dev"), &root.join("dev"))?;
    bind(directory, &root.join(OWN))?;
    if let Some(emulator) = emulator {
        bind(Path::new(emulator), &below(root, emulator))?;
    }
    std::os::unix::fs::chroot(root)?;
    std::env::set_current_dir("/")?;
    Ok(Path::new("/").join(OWN))
}
