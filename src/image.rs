//! The registered file: the interpreter with a payload as its last segment (docs/image-format.md).

pub mod layout;
mod open;
pub mod source;
mod writer;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dispatch_core::elf::{Header, PF_R, PF_X, PT_LOAD, ProgramHeader};
use dispatch_table::{ArchTable, Architecture};
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use tempfile::{NamedTempFile, TempPath};

use crate::failure::{Failure, show};
use crate::memory;

pub use open::{Carried, Effective, OpenImage, own, own_path};
pub use writer::{Command, Content, write};

/// The interpreter, as build.rs built it.
const LINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));

/// Alignment of the payload in the file and in memory, in bytes: a multiple of every page size.
const ALIGN: u64 = 0x1_0000;

/// `p_type` of the program header whose place the payload's takes.
const PT_NOTE: u32 = 4;

/// The ELF header fields that describe sections: `e_shoff`, and from `e_shentsize` to the header's end.
const SECTIONS: [std::ops::Range<usize>; 2] = [40..48, 58..64];

/// The interpreter without the sections, which no loader looks at.
fn interpreter() -> &'static [u8] {
    static CUT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let header = Header::parse(LINKED).expect("the interpreter is an ELF file");
        let end = segments(&header, LINKED).iter().map(|segment| segment.offset + segment.filesz).max();
        let mut file = LINKED[..end.map_or(0, |end| end as usize)].to_vec();
        SECTIONS.into_iter().for_each(|field| file[field].fill(0));
        file
    });
    &CUT
}

fn segments(header: &Header, file: &[u8]) -> Vec<ProgramHeader> {
    let table = &file[header.phoff as usize..(header.phoff + header.program_headers_size()) as usize];
    header.program_headers(table).collect()
}

/// The interpreter with a program header for a payload of `len` bytes after it: readable and executable, above all other
/// segments. It takes the place of PT_NOTE and moves to the end, because loadable segments are sorted by address (gABI,
/// chapter 5).
fn attached(len: u64) -> Vec<u8> {
    let mut file = interpreter().to_vec();
    let header = Header::parse(&file).expect("the interpreter is an ELF file");
    let mut headers = segments(&header, &file);
    let note =
        headers.iter().position(|segment| segment.kind == PT_NOTE).expect("the interpreter is linked with a note");
    headers.remove(note);
    let end = headers.iter().filter(|segment| segment.kind == PT_LOAD).map(|s| s.vaddr + s.memsz).max().unwrap_or(0);
    let offset = payload_offset();
    let vaddr = end.next_multiple_of(ALIGN);
    headers.push(ProgramHeader {
        kind: PT_LOAD,
        flags: PF_R | PF_X,
        offset,
        vaddr,
        filesz: len,
        memsz: len,
        align: ALIGN,
    });
    let encoded: Vec<u8> = headers.iter().flat_map(ProgramHeader::to_elf64_le).collect();
    let start = header.phoff as usize;
    file[start..start + encoded.len()].copy_from_slice(&encoded);
    file
}

/// Where a payload begins in the file, in bytes.
fn payload_offset() -> u64 {
    (interpreter().len() as u64).next_multiple_of(ALIGN)
}

/// The command of this process, for the next image.
///
/// # Errors
/// [`Failure::Io`]: its file is not there.
pub fn this_command() -> Result<Command, Failure> {
    let path = &open::own_file();
    let name = fs::read_link(path).unwrap_or_else(|_| path.to_owned());
    let bytes = match own() {
        Some(image) => image.program_elf(dispatch_core::image::COMMAND)?,
        None => fs::read(path).map_err(|error| Failure::io("read", path, error))?,
    };
    Ok(Command { bytes, path: name.to_string_lossy().into_owned() })
}

/// An image of `table` without emulators, for an image that nobody keeps, and that is for `rows`.
///
/// # Errors
/// As [`write`].
pub fn bare<'c>(table: &'c ArchTable, rows: Vec<&'c Architecture>) -> Result<Content<'c>, Failure> {
    Ok(Content { table, command: this_command()?, emulators: &[], outside: rows, prelink: None, seed: 0 })
}

/// A file that appears at `path` at once, when it is complete, or not at all.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    /// The name that it has meanwhile, where it has to have one.
    name: Option<TempPath>,
    path: PathBuf,
}

impl Replacement {
    /// Begins an executable file that is to be at `path`.
    ///
    /// # Errors
    /// [`Failure::Io`]: nothing can be written there, or something other than a file is there.
    pub fn begin(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::io("write", path, error);
        // A rename would replace a device or a pipe by a file.
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(metadata) if !metadata.is_file() => return Err(failed(io::Error::other("it is no regular file"))),
            _ => {}
        }
        // The umask applies, as it should for a program that a person writes.
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o755);
        // Without a name, nothing is left of it if this process is killed. Not every file system can do that, and a name can
        // be given to it later by its path in /proc only.
        let unnamed = || options.clone().custom_flags(OFlag::O_TMPFILE.bits()).open(directory(path)).ok();
        let (file, name) = match memory::has_paths().then(unnamed).flatten() {
            Some(file) => (file, None),
            None => {
                let create = |path: &Path| options.create_new(true).open(path);
                let (file, name) = beside(path, create).map_err(failed)?.into_parts();
                (file, Some(name))
            }
        };
        Ok(Replacement { file, name, path: path.to_owned() })
    }

    /// Where it is being written.
    pub fn staged(&self) -> PathBuf {
        let named = self.name.as_ref().map(|name| name.to_path_buf());
        named.or_else(|| memory::path(&self.file)).unwrap_or_default()
    }

    /// Where it is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is being written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`Failure::Io`]; then what was there is still there.
    pub fn finish(self) -> Result<(), Failure> {
        let failed = |error| Failure::io("write", &self.path, error);
        self.file.sync_all().map_err(failed)?;
        let name = match self.name {
            Some(name) => name,
            None => {
                let staged = self.staged();
                let link = |name: &Path| Ok(linkat(AT_FDCWD, &staged, AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW)?);
                beside(&self.path, link).map_err(failed)?.into_temp_path()
            }
        };
        name.persist(&self.path).map_err(|error| failed(error.error))?;
        log::info!("{}: written", show(self.path.as_os_str()));
        File::open(directory(&self.path))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| Failure::io("write", &self.path, error))
    }
}

/// Begins the names of files that are on their way to a place, or from it.
const TEMPORARY: &str = ".binfmt-dispatch-";
/// How many random letters and digits follow.
const RANDOM: usize = 6;

/// Something with a name of its own beside `path`. Made here, because the library's own making words errors in its way.
pub fn beside<F>(path: &Path, make: impl FnMut(&Path) -> io::Result<F>) -> io::Result<NamedTempFile<F>> {
    tempfile::Builder::new().prefix(TEMPORARY).rand_bytes(RANDOM).make_in(directory(path), make)
}

/// The files beside `path` that runs left which were killed.
pub fn left_beside(path: &Path) -> Vec<PathBuf> {
    let named = |name: &OsStr| {
        let random = name.as_encoded_bytes().strip_prefix(TEMPORARY.as_bytes());
        random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
    };
    // Where nothing can be read, nothing was written either.
    let files = fs::read_dir(directory(path)).into_iter().flatten().flatten();
    let left = files.filter(|file| named(&file.file_name()) && file.file_type().is_ok_and(|kind| kind.is_file()));
    left.map(|file| file.path()).collect()
}

/// Where a file is; a bare name has the empty path as its parent.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
