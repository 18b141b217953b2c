//! Where programs run while they are measured: in namespaces of their own, with the user's root
//! directory as `/`.
//!
//! True before: the process has one thread. True after [`enter`]: the process is in the root
//! directory, which is read-only unless it is `/`; its registry is private and empty; `/tmp` is
//! private, empty and writable.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_table::{ArchTable, Architecture};
use nix::mount::{MsFlags, mount};
use nix::sys::memfd::MFdFlags;
use nix::sys::statvfs::statvfs;
use nix::unistd::chroot;
use serde::{Deserialize, Serialize};

use super::Registered;
use super::workload::{SOURCES, WORKLOADS, text};
use crate::defaults;
use crate::failure::{Doing, Failure};
use crate::image::destination::Destination;
use crate::image::emulators::Source;
use crate::image::{self, Content};
use crate::platform::memfd::DESCRIPTORS;
use crate::platform::{helper, memfd, namespace};
use crate::registry::selection;
use crate::registry::{Flags, Registry};

/// `EI_OSABI` within the ELF header.
const OSABI: u64 = 7;
/// `ELFOSABI_STANDALONE`: no row accepts it, and the kernel does not look at it
/// (`fs/binfmt_elf.c`).
const STANDALONE: u8 = 255;

/// The private directory of the measured programs, in their root directory.
pub const SCRATCH: &str = "/tmp";
/// The directory that they share with the process outside.
pub const SHARED: &str = "/tmp/shared";

/// What runs where, for a request to a helper process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setting {
    /// The table, as JSON.
    table: String,
    /// Name of the architecture.
    pub architecture: String,
    /// Path of the root directory.
    root: Vec<u8>,
    /// Path of the emulator.
    emulator: Vec<u8>,
}

impl Setting {
    /// Programs of `architecture` in the root directory `root`, by the emulator at `emulator`.
    pub fn new(table: &ArchTable, architecture: &Architecture, root: &Path, emulator: &Path) -> Self {
        let [root, emulator] = [root, emulator].map(|path| path.as_os_str().as_bytes().to_vec());
        Setting { table: table.json(), architecture: architecture.name.clone(), root, emulator }
    }

    /// The table.
    ///
    /// # Errors
    /// It is none.
    pub fn table(&self) -> Result<ArchTable, Failure> {
        ArchTable::parse(&self.table)
            .map_err(|error| Failure::BadTable { path: helper::STREAM.into(), error: Box::new(error) })
    }

    /// Path of the root directory.
    pub fn root(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.root))
    }

    /// Path of the emulator.
    pub fn emulator(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.emulator))
    }
}

/// The entered namespaces, and what can be registered there.
#[derive(Debug)]
pub struct Arena<'t> {
    architecture: &'t Architecture,
    registry: Registry,
    files: Files,
    /// What is registered.
    registered: Option<Registered>,
}

/// What can be registered.
#[derive(Debug)]
pub struct Files {
    /// The emulator.
    pub direct: File,
    /// An image with the emulator embedded, if one is needed.
    pub image: Option<File>,
    /// The same with translations.
    pub translated: Option<File>,
}

/// Marks `file` so that the kernel executes it natively, whatever is registered: no rule accepts
/// this `EI_OSABI`.
fn spared(file: File) -> Result<File, Failure> {
    let failed = |error| Failure::io(Doing::Write, Path::new(memfd::SHOWN), error);
    file.write_all_at(&[STANDALONE], OSABI).map_err(failed)?;
    Ok(file)
}

fn in_memory() -> Result<File, Failure> {
    memfd::executable(c"binfmt-dispatch", MFdFlags::MFD_CLOEXEC)
        .map_err(|errno| Failure::io(Doing::Make, Path::new(memfd::SHOWN), errno.into()))
}

/// A copy of the emulator at `path`, for registration.
///
/// # Errors
/// It cannot be read.
pub fn direct(path: &Path) -> Result<File, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::io(Doing::Read, path, error))?;
    let mut file = in_memory()?;
    file.write_all(&bytes).map_err(|error| Failure::io(Doing::Write, Path::new(memfd::SHOWN), error))?;
    spared(file)
}

/// An image of `table` with the emulator at `path` embedded, and with these translations.
///
/// # Errors
/// As [`image::write`].
pub fn image(
    table: &ArchTable,
    architecture: &Architecture,
    path: &Path,
    translations: Option<Vec<u8>>,
) -> Result<File, Failure> {
    let file = in_memory()?;
    let source = Source::of_file(architecture, path.to_owned());
    let emulators = [Source { trained: translations.map(Rc::new), ..source }];
    let destination = Destination::here();
    let content = Content {
        table,
        destination,
        command: image::this_command()?,
        emulators: &emulators,
        examine: true,
        outside: Vec::new(),
        ask_all: true,
        prelink: destination.addresses(),
        seed: 0,
    };
    image::write(&content, &file, Path::new(memfd::SHOWN))?;
    spared(file)
}

/// Enters the namespaces, and then the root directory `root`. If a directory `shared` is given, it
/// is [`SHARED`] there.
///
/// # Errors
/// The system forbids it, or `root` is not a root directory.
pub fn enter<'t>(
    architecture: &'t Architecture,
    root: &Path,
    files: Files,
    shared: Option<&Path>,
) -> Result<Arena<'t>, Failure> {
    let root = fs::canonicalize(root).map_err(|error| Failure::io(Doing::Read, root, error))?;
    namespace::enter(false)?;
    let nothing = None::<&str>;
    let mounted = |place: PathBuf, result: nix::Result<()>| {
        result.map_err(|errno| Failure::io(Doing::Mount, &place, errno.into()))
    };
    // It may lie in the root directory, and is to stay writable.
    let opened = |path: &Path| File::open(path).map_err(|error| Failure::io(Doing::Read, path, error));
    let shared = shared.map(opened).transpose()?;
    protect(&root).map_err(|errno| Failure::io(Doing::Mount, &root, errno.into()))?;
    for name in ["proc", "dev"] {
        let (source, target) = (Path::new("/").join(name), root.join(name));
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mounted(target.clone(), mount(Some(&source), &target, nothing, flags, nothing))?;
    }
    chroot(&root).map_err(|errno| Failure::io(Doing::Enter, &root, errno.into()))?;
    // After the chroot a symbolic link leads to the same place as for the programs.
    let scratch = Path::new(SCRATCH);
    mounted(scratch.to_owned(), mount(Some("tmpfs"), scratch, Some("tmpfs"), MsFlags::empty(), Some("mode=1777")))?;
    std::env::set_current_dir(SCRATCH).map_err(|error| Failure::io(Doing::Enter, Path::new(SCRATCH), error))?;
    furnish().map_err(|error| Failure::io(Doing::Write, Path::new(SCRATCH), error))?;
    if let Some(shared) = shared {
        let (source, target) = (PathBuf::from(format!("{DESCRIPTORS}/{}", shared.as_raw_fd())), Path::new(SHARED));
        fs::create_dir(target).map_err(|error| Failure::io(Doing::Make, target, error))?;
        mounted(target.to_owned(), mount(Some(&source), target, nothing, MsFlags::MS_BIND, nothing))?;
    }
    let registry = Registry::open(Path::new(defaults::REGISTRY))?;
    Ok(Arena { architecture, registry, files, registered: None })
}

/// Makes the root directory read-only for this process, whatever programs run in it. What is mounted
/// in it stays writable, and so does `/`: nothing can be mounted where the process has its own root.
fn protect(root: &Path) -> nix::Result<()> {
    let nothing = None::<&str>;
    if root == Path::new("/") {
        return Ok(());
    }
    mount(Some(root), root, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)?;
    // In another user namespace these flags must stay. They are numbered alike (statvfs(3), mount(2)).
    let kept = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let has = MsFlags::from_bits_truncate(statvfs(root)?.flags().bits()) & kept;
    mount(nothing, root, nothing, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | has, nothing)
}

/// Writes the workloads and their input to [`SCRATCH`], where they expect them.
fn furnish() -> io::Result<()> {
    let scratch = Path::new(SCRATCH);
    fs::write(scratch.join("text"), text())?;
    for (name, source) in SOURCES {
        fs::write(scratch.join(name), source)?;
    }
    for workload in WORKLOADS {
        let path = scratch.join(workload.name);
        fs::write(&path, workload.script())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

impl Arena<'_> {
    /// Registers the emulator, or an image, in place of the entry before it.
    ///
    /// # Errors
    /// The kernel refuses the entries.
    pub fn register(&mut self, wanted: Registered) -> Result<(), Failure> {
        if self.registered == Some(wanted) {
            return Ok(());
        }
        let Files { direct, image, translated } = &self.files;
        let file = match wanted {
            Registered::Emulator => None,
            Registered::Image => image.as_ref(),
            Registered::Translated => translated.as_ref(),
        };
        let (image, file) = (file.is_some(), file.unwrap_or(direct));
        let path = PathBuf::from(format!("{DESCRIPTORS}/{}", file.as_raw_fd()));
        // Registered as distributions do, but without flag P, which QEMU before 5.2 does not
        // understand.
        let plain = Flags { fix_binary: true, ..Flags::default() };
        let flags = if image { Flags::of_image(true) } else { plain };
        for line in selection::lines(self.architecture, &path, flags)? {
            if self.registered.is_some() {
                self.registry.unregister(line.name())?;
            }
            self.registry.register(&line)?;
        }
        self.registered = Some(wanted);
        Ok(())
    }
}
