//! Writes the registered file: the interpreter with a payload as its last segment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dispatch_core::elf::{Header, PF_R, PT_LOAD, ProgramHeader};
use dispatch_core::image::{Extent, IMAGE_MAGIC, IMAGE_VERSION, ImageHeader};
use dispatch_core::program::Host;
use dispatch_core::record::Field;
use dispatch_table::ArchTable;

use crate::failure::Failure;
use crate::{guest, host};

/// The interpreter, as build.rs built it.
const INTERPRETER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatch-interpreter"));

/// How much of a file is read for its program headers, in bytes.
const HEAD: u64 = 4096;

/// Alignment of the payload in the file and in memory, in bytes: a multiple of every page size.
const ALIGN: u64 = 0x1_0000;

/// `p_type` of the program header whose place the payload's takes.
const PT_NOTE: u32 = 4;

/// The registered file with the architectures of `table`.
pub fn build(table: &ArchTable) -> Vec<u8> {
    let payload = payload(&table.compile(), host::host());
    attach(INTERPRETER, &payload).expect("the interpreter is linked with a note and below its payload")
}

/// Header and compiled table.
fn payload(table: &[u8], host: Host) -> Vec<u8> {
    let offset = ImageHeader::SIZE as u64;
    let len = table.len() as u64;
    let header = ImageHeader {
        magic: IMAGE_MAGIC,
        version: IMAGE_VERSION,
        host: host.machine.0,
        reserved: 0,
        len: offset + len,
        table: Extent { offset, len },
    };
    let mut payload = Vec::new();
    header.write(&mut |bytes| payload.extend(bytes));
    payload.extend(table);
    payload
}

/// Appends `payload` to the ELF file `program` as a read-only PT_LOAD above all others. Its program header takes the
/// place of PT_NOTE and moves to the end, because loadable segments are sorted by address (gABI, chapter 5).
fn attach(program: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let header = Header::parse(program).ok()?;
    let table =
        usize::try_from(header.phoff).ok()?..usize::try_from(header.phoff + header.program_headers_size()).ok()?;
    let mut headers: Vec<ProgramHeader> = header.program_headers(program.get(table.clone())?).collect();
    headers.remove(headers.iter().position(|segment| segment.kind == PT_NOTE)?);
    let end = headers.iter().filter(|segment| segment.kind == PT_LOAD).map(|s| s.vaddr + s.memsz).max()?;
    let len = payload.len() as u64;
    let offset = (program.len() as u64).next_multiple_of(ALIGN);
    let vaddr = end.next_multiple_of(ALIGN);
    headers.push(ProgramHeader { kind: PT_LOAD, flags: PF_R, offset, vaddr, filesz: len, memsz: len, align: ALIGN });

    let mut file = program.to_vec();
    let encoded: Vec<u8> = headers.iter().flat_map(|segment| segment.to_elf64_le()).collect();
    file.get_mut(table)?.copy_from_slice(&encoded);
    file.resize(usize::try_from(offset).ok()?, 0);
    file.extend(payload);
    Some(file)
}

/// Whether the file at `path` is an image of ours: an ELF file whose last segment is a payload for this host. Only the
/// headers and the table are read, as an image may be large.
///
/// # Errors
/// The file cannot be read, or is no regular one.
pub fn is_image(path: &Path) -> io::Result<bool> {
    let file = guest::open(path)?;
    let head = read(&file, 0, HEAD)?;
    let Some(payload) = payload_segment(&head) else { return Ok(false) };
    let machine = host::host().machine;
    let start = read(&file, payload.offset, ImageHeader::SIZE as u64)?;
    Ok(ImageHeader::read(&start).is_some_and(|header| header.check(machine).is_ok() && header.len == payload.filesz))
}

/// The bytes at `offset`, fewer than `len` at the end of the file.
fn read(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last loadable segment of the ELF file that begins with `head`.
fn payload_segment(head: &[u8]) -> Option<ProgramHeader> {
    let header = Header::parse(head).ok()?;
    let table = dispatch_core::bytes::slice(head, header.phoff, header.program_headers_size())?;
    header.program_headers(table).filter(|segment| segment.kind == PT_LOAD).last()
}

/// Writes `bytes` to `path` as an executable, at once or not at all: a failure leaves what was there.
pub fn save(bytes: &[u8], path: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::io("write", path, error);
    // A bare file name has the empty path as its parent.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A rename would replace a device or a pipe by a file.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(metadata) if !metadata.is_file() => return Err(failed(io::Error::other("it is no regular file"))),
        _ => {}
    }
    // Opened here, because the library's own opening words errors in its way. The umask applies, as it should for a
    // program that a person writes.
    let create = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o755).open(path);
    let mut file = tempfile::Builder::new().prefix(".binfmt-dispatch-").make_in(directory, create).map_err(failed)?;
    file.as_file_mut().write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
