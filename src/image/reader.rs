//! Reads an image: its contents, and its programs as ELF files again.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use dispatch_core::Table;
use dispatch_core::bytes::{Strings, slice};
use dispatch_core::elf::{Header, Machine, PT_LOAD, ProgramHeader};
use dispatch_core::emulator_file::Host;
use dispatch_core::image::{COMMAND, Embedded, Image, ImageFault, ImageHeader, OriginRecord, SMALLEST_PAGE};
use dispatch_core::message::Digits;
use dispatch_core::record::Extent;
use dispatch_core::record::Field;
use dispatch_core::table::{Asked, Row};
use dispatch_table::ArchTable;
use dispatch_translations::{PACKED_MAGIC, PackedHeader};

use super::interpreter::{Interpreter, SECTIONS};
use super::rows::titled;
use crate::failure::{Doing, Failure, show};
use crate::platform::{files, host};

/// How much of a file is read for its program headers, in bytes.
const HEAD: u64 = 4096;
/// `p_offset` within `Elf64_Phdr`; `p_vaddr` follows it.
const P_OFFSET: usize = 8;

/// An image file; everything but the bodies has been read.
#[derive(Debug)]
pub struct OpenImage {
    path: PathBuf,
    file: File,
    /// Offset of the payload in the file.
    start: u64,
    len: u64,
    header: ImageHeader,
    meta: Vec<u8>,
}

/// One program of an image, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Its number in the image.
    pub number: u32,
    /// Its file name.
    pub name: String,
    /// The file that it was read from.
    pub path: String,
    /// The version that it reported; may be empty.
    pub version: String,
    /// SHA-256 of the file that it was read from.
    pub digest: [u8; 32],
    /// Length of that file, in bytes.
    pub size: u64,
    /// Address for which it is prelinked, if it is.
    pub base: Option<u64>,
    /// Titles of the rows whose programs it runs.
    pub runs: Vec<String>,
    /// The CPU models that it gets for them; none where it uses its default.
    pub cpus: Vec<String>,
}

/// Translations behind a program of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// Number of blocks of code.
    pub blocks: u64,
    /// Length in whole pages, in bytes.
    pub bytes: u64,
    /// Build ID of the emulator that they are for, with zeros behind it.
    pub build: [u8; 32],
    /// The CPU model that they are for.
    pub model: String,
}

/// The source of decisions about programs: an image, or just a table.
#[derive(Debug)]
pub enum Effective {
    /// An image with its own table.
    Image(OpenImage),
    /// A compiled table.
    Table(Vec<u8>),
}

impl Effective {
    /// The image, or the table, as the interpreter sees it.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn view(&self) -> Result<Image<'_>, Failure> {
        let damaged =
            |_| Failure::DamagedImage { path: PathBuf::from(dispatch_core::NAME), fault: ImageFault::Corrupt };
        match self {
            Effective::Image(image) => image.view(),
            Effective::Table(table) => Table::read(table).map(Image::without_programs).map_err(damaged),
        }
    }

    /// The version of the emulator that is embedded for the row with this title.
    pub fn version_of(&self, title: &str) -> Option<String> {
        let Effective::Image(image) = self else { return None };
        Some(image.emulator_for(title).ok()??.version)
    }
}

impl OpenImage {
    /// Opens the image at `path`; `None` if the file is not an image.
    ///
    /// # Errors
    /// [`Failure::Io`], and [`Failure::DamagedImage`] or [`Failure::ImageOfOtherHosts`] for a file
    /// that begins as an image.
    pub fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let Some(image) = Self::open_of_any_host(path)? else { return Ok(None) };
        image.check_host(host::host())?;
        if image.header.page % host::page() != 0 {
            return Err(image.damaged(ImageFault::Page));
        }
        Ok(Some(image))
    }

    /// The same, whatever hosts the image is for. It can be looked at, and not be used here.
    ///
    /// # Errors
    /// [`Failure::Io`] and [`Failure::DamagedImage`].
    pub fn open_of_any_host(path: &Path) -> Result<Option<Self>, Failure> {
        let failed = |error| Failure::io(Doing::Read, path, error);
        let damaged = |fault| Failure::DamagedImage { path: path.to_owned(), fault };
        let file = files::open(path).map_err(failed)?;
        let head = read(&file, 0, HEAD).map_err(failed)?;
        let Some(payload) = payload_segment(&head) else { return Ok(None) };
        let start = read(&file, payload.offset, ImageHeader::SIZE as u64).map_err(failed)?;
        let machine = Machine(ImageHeader::read(&start).map_or(0, |header| header.host));
        let header = match ImageHeader::open(&start, machine) {
            Ok(header) => header,
            Err(ImageFault::NoPayload) => return Ok(None),
            Err(fault) => return Err(damaged(fault)),
        };
        if file.metadata().map_err(failed)?.len() < payload.offset.saturating_add(payload.filesz) {
            return Err(damaged(ImageFault::CutShort));
        }
        let meta = read(&file, payload.offset, header.meta_len()).map_err(failed)?;
        let image = OpenImage { path: path.to_owned(), file, start: payload.offset, len: payload.filesz, header, meta };
        // Everything is checked here once, so that later steps cannot find a fault.
        image
            .image()
            .and_then(|image| image.programs().try_for_each(|program| program.map(|_| ())))
            .map_err(damaged)?;
        log::debug!("{}: an image", show(path.as_os_str()));
        Ok(Some(image))
    }

    /// Whether the file at `path` is an image, for whatever hosts, intact or damaged.
    pub fn is_at(path: &Path) -> bool {
        matches!(Self::open_of_any_host(path), Ok(Some(_)) | Err(Failure::DamagedImage { .. }))
    }

    /// Checks that the image is for `host`.
    ///
    /// # Errors
    /// [`Failure::ImageOfOtherHosts`].
    pub fn check_host(&self, host: Host) -> Result<(), Failure> {
        let machine = Machine(self.header.host);
        if machine == host.machine {
            return Ok(());
        }
        let is = host::name_of(Host { machine, ..host });
        Err(Failure::ImageOfOtherHosts { path: self.path.clone(), is, wanted: host::name_of(host) })
    }

    /// Whether the image's interpreter is the one embedded in this command.
    pub(super) fn is_of_this_build(&self) -> bool {
        let expected = Interpreter::own().attached(self.len);
        read(&self.file, 0, expected.len() as u64).is_ok_and(|start| start == expected)
    }

    /// A program that is aligned to smaller pages than this host's is no fault of the others.
    fn image(&self) -> Result<Image<'_>, ImageFault> {
        Image::read(&self.meta, self.len, Machine(self.header.host), SMALLEST_PAGE)
    }

    fn damaged(&self, fault: ImageFault) -> Failure {
        Failure::DamagedImage { path: self.path.clone(), fault }
    }

    /// The table that it was written with.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn table(&self) -> Result<ArchTable, Failure> {
        let json = self.part(self.header.json).and_then(|json| std::str::from_utf8(json).ok());
        json.and_then(|json| ArchTable::parse(json).ok()).ok_or_else(|| self.damaged(ImageFault::Corrupt))
    }

    /// The image as the interpreter sees it, without the bodies.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn view(&self) -> Result<Image<'_>, Failure> {
        self.image().map_err(|fault| self.damaged(fault))
    }

    /// Its identity, in hexadecimal digits, as its interpreter gives it when it is asked.
    pub fn identity(&self) -> String {
        Digits(&self.header.identity).to_string()
    }

    fn part(&self, extent: Extent) -> Option<&[u8]> {
        slice(&self.meta, extent.offset, extent.len)
    }

    /// The programs, the command first.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn programs(&self) -> Result<Vec<ProgramInfo>, Failure> {
        let image = self.view()?;
        let origins = self.part(self.header.origins).unwrap_or_default();
        let origins = origins.chunks_exact(OriginRecord::SIZE).filter_map(OriginRecord::read);
        let string = |extent| {
            let strings = self.part(extent).and_then(Strings::new);
            strings
                .and_then(|strings| strings.iter().next())
                .map_or(String::new(), |text| text.to_string_lossy().into())
        };
        let programs = image.programs().zip(origins).zip(0..).map(|((program, origin), number)| {
            let program = program.map_err(|fault| self.damaged(fault))?;
            Ok(ProgramInfo {
                number,
                name: program.name().to_string_lossy().into(),
                path: string(origin.path),
                version: string(origin.version),
                digest: origin.digest,
                size: origin.size,
                base: Some(program.record().base).filter(|base| *base != 0),
                runs: run_by(&image.table, number).map(|(title, _)| title).collect(),
                cpus: run_by(&image.table, number)
                    .filter_map(|(_, row)| Some(row.cpus().iter().next()?.to_string_lossy().into()))
                    .collect(),
            })
        });
        programs.collect()
    }

    /// The program that runs those of the row with this title, if one is embedded.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn emulator_for(&self, title: &str) -> Result<Option<ProgramInfo>, Failure> {
        let runs = |program: &ProgramInfo| program.runs.iter().any(|other| other == title);
        Ok(self.programs()?.into_iter().find(runs))
    }

    /// The emulators opened by path that were asked for their versions.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn asked(&self) -> Result<Vec<ProgramInfo>, Failure> {
        let table = self.view()?.table;
        let text = |string: &CStr| string.to_string_lossy().into_owned();
        let asked = titled(&table).filter_map(|(title, row)| Some((title, table.asked(&row)?)));
        let program = |(title, asked): (String, Asked<'_>)| ProgramInfo {
            number: COMMAND,
            name: text(asked.path),
            path: text(asked.path),
            version: text(asked.version),
            digest: [0; 32],
            size: asked.file.size,
            base: None,
            runs: vec![title],
            cpus: asked.row.cpus().iter().take(1).map(text).collect(),
        };
        Ok(asked.map(program).collect())
    }

    /// Names of the architectures whose emulators are embedded.
    ///
    /// # Errors
    /// [`Failure::DamagedImage`].
    pub fn embedded(&self) -> Result<BTreeSet<String>, Failure> {
        let embedded = self.view()?.table.rows().filter_map(Result::ok).filter(|row| row.program() != COMMAND);
        Ok(embedded.map(|row| row.name().to_string_lossy().into_owned()).collect())
    }

    /// A part of the memory of program `number`, from `offset` on, fewer bytes than `len` at its end.
    pub(super) fn program_memory(&self, number: u32, offset: u64, len: u64) -> Option<Vec<u8>> {
        let body = self.image().ok()?.program(number).ok()?.record().body;
        let rest = body.len.checked_sub(offset)?;
        read(&self.file, self.start.checked_add(body.offset)?.checked_add(offset)?, len.min(rest)).ok()
    }

    /// The translations that lie behind program `number`.
    pub fn translations(&self, number: u32) -> Option<Vec<u8>> {
        let (start, len, _) = self.kept(number)?;
        self.program_memory(number, start, len)
    }

    /// What the translations behind program `number` are, if there are any.
    pub fn translated(&self, number: u32) -> Option<Translated> {
        let (_, bytes, header) = self.kept(number)?;
        let model = header.origin.model.0;
        let model = model.split(|byte| *byte == 0).next().map(String::from_utf8_lossy);
        let model = model.map_or(String::new(), Cow::into_owned);
        Some(Translated { blocks: header.count.into(), bytes, build: header.origin.build, model })
    }

    /// Where the translations behind program `number` are in its memory, their length in whole
    /// pages, and their header.
    fn kept(&self, number: u32) -> Option<(u64, u64, PackedHeader)> {
        let image = self.image().ok()?;
        let program = image.program(number).ok()?;
        let last = program.segments().last()?;
        let start = last.address.checked_sub(program.record().low)?;
        let header = PackedHeader::read(&self.program_memory(number, start, PackedHeader::SIZE as u64)?)?;
        (header.magic == PACKED_MAGIC).then_some((start, last.len, header))
    }

    /// The lowest address of program `number`: that of the start of its memory.
    pub(super) fn lowest(&self, number: u32) -> Option<u64> {
        Some(self.image().ok()?.program(number).ok()?.record().low)
    }

    /// A program as an ELF file that execve(2) starts: its memory, with program headers to match.
    ///
    /// # Errors
    /// [`Failure::Io`] and [`Failure::DamagedImage`].
    pub fn program_elf(&self, number: u32) -> Result<Vec<u8>, Failure> {
        self.elf(&self.view()?.program(number).map_err(|fault| self.damaged(fault))?)
    }

    /// The same for a program whose record was read already.
    ///
    /// # Errors
    /// As [`OpenImage::program_elf`].
    pub fn elf(&self, program: &Embedded<'_>) -> Result<Vec<u8>, Failure> {
        let body = program.record().body;
        let failed = |error| Failure::io(Doing::Read, &self.path, error);
        let mut file = read(&self.file, self.start + body.offset, body.len).map_err(failed)?;
        unlay(&mut file, program).ok_or_else(|| self.damaged(ImageFault::Corrupt))?;
        Ok(file)
    }
}

/// The rows whose emulator is program `number`, with their titles; none for the command.
fn run_by<'t>(table: &Table<'t>, number: u32) -> impl Iterator<Item = (String, Row<'t>)> + use<'t> {
    titled(table).filter(move |(_, row)| number != COMMAND && row.program() == number)
}

/// Makes an ELF file out of a body: words as they were linked, each segment at its place in memory,
/// and no sections.
fn unlay(file: &mut [u8], program: &Embedded<'_>) -> Option<()> {
    let low = program.record().low;
    for word in program.words() {
        let at = usize::try_from(word.address.checked_sub(low)?).ok()?;
        file.get_mut(at..at.checked_add(8)?)?.copy_from_slice(&word.value.to_le_bytes());
    }
    let header = Header::parse(file).ok()?;
    let size = usize::from(header.class.program_header_size());
    for index in 0..usize::from(header.phnum) {
        let at = usize::try_from(header.phoff).ok()?.checked_add(index.checked_mul(size)?)?.checked_add(P_OFFSET)?;
        let address = u64::from_le_bytes(dispatch_core::bytes::array(file, at.checked_add(8)?)?);
        // PT_GNU_STACK and the like occupy no bytes in the file.
        if let Some(offset) = address.checked_sub(low) {
            file.get_mut(at..at.checked_add(8)?)?.copy_from_slice(&offset.to_le_bytes());
        }
    }
    SECTIONS.into_iter().try_for_each(|field| file.get_mut(field).map(|field| field.fill(0)))
}

/// The bytes at `offset`, fewer than `len` at the end of the file.
fn read(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let filled = files::read_full(file, &mut bytes, offset)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// The last loadable segment of the ELF file that begins with `head`.
fn payload_segment(head: &[u8]) -> Option<ProgramHeader> {
    let header = Header::parse(head).ok()?;
    let table = slice(head, header.phoff, header.program_headers_size())?;
    header.program_headers(table).filter(|segment| segment.kind == PT_LOAD).last()
}
