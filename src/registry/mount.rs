//! The live registry: the kernel's `binfmt_misc` file system, checked to be one before anything is
//! written.
//!
//! The kernel asks the newest entry first, and lists the newest first when the directory is read
//! (fs/libfs.c, `dcache_readdir`): of the enabled entries that accept a program, the first one gets
//! it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{AUTOFS_SUPER_MAGIC, FsType, fstatfs};

use binfmt_misc::{Entry, Flags, Matcher, REGISTER, RegisterLine, STATUS};

use crate::defaults::REGISTRY;
use crate::failure::{Doing, Failure, show, warn};

/// `BINFMTFS_MAGIC`, as in `<linux/magic.h>`: `f_type` of a `binfmt_misc` file system.
const BINFMTFS_MAGIC: FsType = FsType(0x4249_4e4d);
/// A path that is no file: `/dev/null` is no directory.
const NOWHERE: &str = "/dev/null/no-interpreter";
/// Written to the file of an entry, this removes it; `0` and `1` turn it off and on.
const REMOVE: &[u8] = b"-1";

/// A directory that is a `binfmt_misc` file system.
#[derive(Clone, Debug)]
pub struct Registry {
    directory: PathBuf,
}

/// A lock that keeps other runs of this command from changing entries.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is released when dropped")] Flock<File>);

impl Registry {
    /// The registry at `directory`, usually [`crate::defaults::REGISTRY`].
    ///
    /// # Errors
    /// There is no registry: the kernel does not support it, nothing is mounted there, or something
    /// else is.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let directory = directory.to_owned();
        // Opening the directory makes autofs mount the file system; stat(2) does not.
        let opened = File::open(&directory).and_then(|file| Ok(fstatfs(&file)?));
        match opened.map(|stat| stat.filesystem_type()) {
            Ok(BINFMTFS_MAGIC) => Ok(Registry { directory }),
            Ok(AUTOFS_SUPER_MAGIC) => Err(Failure::AutomountFailed { directory }),
            Ok(_) if !kernel_has_binfmt_misc() => Err(Failure::NoBinfmtMisc),
            Ok(_) => Err(Failure::NotMounted { directory }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let missing =
                    if kernel_has_binfmt_misc() { Failure::NotMounted { directory } } else { Failure::NoBinfmtMisc };
                Err(missing)
            }
            Err(error) => Err(Failure::io(Doing::Read, &directory, error)),
        }
    }

    /// The mount point.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the registry is enabled.
    ///
    /// # Errors
    /// The file `status` cannot be read.
    pub fn enabled(&self) -> Result<bool, Failure> {
        Ok(read(&self.directory.join(STATUS))?.starts_with(b"enabled"))
    }

    /// Whether it applies to programs that this process starts: it is enabled, and belongs to this
    /// user namespace. A mount outside the usual place may belong to another one.
    ///
    /// # Errors
    /// The file `status` cannot be read.
    pub fn is_live(&self) -> Result<bool, Failure> {
        let device = |directory: &Path| fs::metadata(directory).map(|metadata| metadata.dev()).ok();
        let usual = Registry::open(Path::new(REGISTRY)).ok().and_then(|usual| device(usual.directory()));
        Ok(self.enabled()? && usual.is_none_or(|usual| device(&self.directory) == Some(usual)))
    }

    /// All entries, the newest first. An entry that cannot be parsed is left out with a warning. An
    /// entry that is removed meanwhile is left out silently.
    ///
    /// # Errors
    /// The directory or an entry cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let failed = |error| Failure::io(Doing::Read, &self.directory, error);
        let mut names = Vec::new();
        for file in fs::read_dir(&self.directory).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            if name != REGISTER && name != STATUS {
                names.push(name);
            }
        }
        log::info!("{}: looked at; entries: {}", show(self.directory.as_os_str()), names.len());
        names.iter().filter_map(|name| self.entry(name).transpose()).collect()
    }

    /// The entry with this name, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn entry(&self, name: &OsStr) -> Result<Option<Entry>, Failure> {
        let path = self.directory.join(name);
        let text = match read(&path) {
            Err(Failure::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let entry = Entry::parse(name, &text);
        if let Some(entry) = &entry {
            let (state, interpreter) = (if entry.enabled { "on" } else { "off" }, show(entry.interpreter.as_os_str()));
            log::debug!("{}: {state}, for {interpreter}, flags {}", show(name), entry.flags);
        }
        if entry.is_none() {
            warn(format_args!("{}: not understood: {:?}", path.display(), String::from_utf8_lossy(&text)));
        }
        Ok(entry)
    }

    /// Waits until no other run changes entries, and keeps other runs from it while the lock lives.
    /// The directory itself is not used as the lock, because any user could lock it and make root
    /// wait.
    ///
    /// # Errors
    /// Permission is denied.
    pub fn lock(&self) -> Result<Lock, Failure> {
        let path = self.directory.join(REGISTER);
        let file = self.open_to_write(&path)?;
        let locked = Flock::lock(file, FlockArg::LockExclusive);
        locked.map(Lock).map_err(|(_, errno)| Failure::io(Doing::Lock, &path, errno.into()))
    }

    /// Whether the kernel knows flag T, as it does since Linux 7.3. It is asked to register an
    /// interpreter that does not exist, and adds no entry in any case: a kernel that knows the flag
    /// misses the interpreter, which flag F makes it open. Others do not get as far as that.
    ///
    /// # Errors
    /// Permission is denied, or the kernel answers neither.
    pub fn knows_transparent(&self) -> Result<bool, Failure> {
        let flags = Flags { fix_binary: true, ..Flags::default() }.made_transparent();
        let name = OsStr::new("binfmt-dispatch.question");
        let matcher = Matcher::Extension(name.to_owned());
        let line = RegisterLine::new(name, matcher, Path::new(NOWHERE), flags)
            .map_err(|fault| Failure::BadLine { entry: name.to_owned(), fault })?;
        let path = self.directory.join(REGISTER);
        let known = match write_at_once(&mut self.open_to_write(&path)?, &line.bytes()) {
            Ok(()) => self.unregister(name).map(|()| true)?,
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                // Only kernels that know it have a limit on interpreters.
                Some(Errno::ENOTDIR | Errno::ENOENT | Errno::EACCES | Errno::ENOSPC) => true,
                Some(Errno::EINVAL) => false,
                _ => return Err(Failure::io(Doing::Write, &path, error)),
            },
        };
        log::info!("flag T: the kernel {} it", if known { "knows" } else { "does not know" });
        Ok(known)
    }

    /// Adds an entry, which then takes precedence over all others.
    ///
    /// # Errors
    /// The name is in use, permission is denied, or the kernel refuses the line or its interpreter.
    pub fn register(&self, line: &RegisterLine) -> Result<(), Failure> {
        let path = self.directory.join(REGISTER);
        let mut file = self.open_to_write(&path)?;
        write_at_once(&mut file, &line.bytes()).map_err(|error| {
            let interpreter = line.interpreter().to_owned();
            let entry = line.name().to_owned();
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EEXIST) => Failure::EntryExists { entry },
                Some(Errno::EINVAL) => Failure::LineRefused { line: line.to_string(), error },
                // With F the kernel opens the interpreter now, as execve(2) would.
                Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ETXTBSY | Errno::ELOOP) => {
                    Failure::InterpreterRefused { entry, interpreter, error }
                }
                Some(Errno::ENOSPC) => Failure::TooManyInterpreters(entry),
                _ => Failure::io(Doing::Write, &path, error),
            }
        })?;
        log::info!("{}: registered for {}", show(line.name()), show(line.interpreter().as_os_str()));
        log::debug!("{}: written: {line}", show(path.as_os_str()));
        Ok(())
    }

    /// Removes the entry with this name.
    ///
    /// # Errors
    /// There is no such entry, or permission is denied.
    pub fn unregister(&self, name: &OsStr) -> Result<(), Failure> {
        self.write_to_entry(name, REMOVE)?;
        log::info!("{}: removed from the registry", show(name));
        Ok(())
    }

    /// Turns the entry with this name off.
    ///
    /// # Errors
    /// As [`Registry::unregister`].
    pub fn disable(&self, name: &OsStr) -> Result<(), Failure> {
        self.write_to_entry(name, b"0")?;
        log::info!("{}: turned off", show(name));
        Ok(())
    }

    fn write_to_entry(&self, name: &OsStr, command: &[u8]) -> Result<(), Failure> {
        let path = self.directory.join(name);
        let mut file = match self.open_to_write(&path) {
            Err(Failure::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::NotRegistered { entry: name.to_owned() });
            }
            file => file?,
        };
        write_at_once(&mut file, command).map_err(|error| Failure::io(Doing::Write, &path, error))
    }

    fn open_to_write(&self, path: &Path) -> Result<File, Failure> {
        OpenOptions::new().write(true).open(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Failure::NotPermitted { directory: self.directory.clone(), error }
            }
            _ => Failure::io(Doing::Write, path, error),
        })
    }
}

/// The kernel takes each write(2) for a whole line, so a line must not be split.
fn write_at_once(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    match file.write(bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::io(Doing::Read, path, error))
}

/// Whether the kernel knows the file system type; false if its module is not loaded.
fn kernel_has_binfmt_misc() -> bool {
    // Without /proc, assume that it is known: the advice is then to mount it, and mount(8) loads
    // the module.
    fs::read("/proc/filesystems").map_or(true, |text| {
        text.split(|byte| *byte == b'\n')
            .any(|line| line.split(|byte| *byte == b'\t').any(|word| word == b"binfmt_misc"))
    })
}
