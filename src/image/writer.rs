//! Writes an image, program by program: only one of them is in memory at a time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dispatch_core::emulator_file::Host;
use dispatch_core::image::{
    IMAGE_MAGIC, IMAGE_VERSION, ImageHeader, OriginRecord, ProgramRecord, SegmentRecord, WordRecord, checksum,
};
use dispatch_core::record::{Extent, Field};
use dispatch_table::{ArchTable, Architecture, Assignment};
use sha2::{Digest, Sha256};

use super::emulators::{self, Probed, Source, distinct};
use super::interpreter::{attached, interpreter, payload_offset};
use super::layout::{LaidOut, MAX_SEGMENTS};
use crate::failure::{Doing, Failure};
use crate::platform::host;
use crate::platform::signals::SizeLimit;
use crate::progress;

/// Most words to restore for one program.
const MAX_WORDS: usize = 3;
/// One past the highest address of programs on `x86_64`, except those that ask for more
/// (`arch/x86/include/asm/page_64.h`, `DEFAULT_MAP_WINDOW`).
const TOP: u64 = 1 << 47;
/// How far below a prelinked program the interpreter reserves addresses at most, in bytes.
const BELOW: u64 = 1 << 30;
/// Log2 of the size of a page.
const PAGE_BITS: u32 = 12;

/// The input for an image.
#[derive(Debug)]
pub struct Content<'c> {
    /// The architectures.
    pub table: &'c ArchTable,
    /// The command, program 0.
    pub command: Command,
    /// The emulators.
    pub emulators: &'c [Source<'c>],
    /// The architectures whose emulators are opened by path, and asked for their versions where
    /// that matters.
    pub outside: Vec<&'c Architecture>,
    /// Whether every embedded emulator is asked for its version, for display; otherwise only where
    /// that matters.
    pub ask_all: bool,
    /// Prelink for hosts with this many random bits in mapping addresses (`vm.mmap_rnd_bits`); do
    /// not prelink without.
    pub prelink: Option<u32>,
    /// The seed for the addresses of prelinked programs.
    pub seed: u64,
}

/// The command as a file.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its path, for messages.
    pub path: String,
}

/// A payload that is being written to a file.
struct Writer<'f> {
    file: &'f File,
    /// Its path, for messages.
    path: &'f Path,
    /// Offset of the payload in the file.
    start: u64,
    /// Everything but the bodies, from the start of the payload.
    meta: Vec<u8>,
    /// Offset of the next body, in bytes from the start of the payload.
    next: u64,
    records: Vec<ProgramRecord>,
    origins: Vec<OriginRecord>,
    host: Host,
    /// The digest that becomes the identity.
    identity: Sha256,
}

/// The origin of a program.
struct Origin<'o> {
    name: &'o str,
    path: &'o str,
    version: String,
    /// Digest and length of the original file, if the program comes from an image.
    file: Option<([u8; 32], u64)>,
}

/// Writes the image to `file`, which is empty.
///
/// # Errors
/// A program cannot be embedded, or a file cannot be read or written; then `file` is not an image.
pub fn write(content: &Content<'_>, file: &File, path: &Path) -> Result<(), Failure> {
    let probed = content.emulators.iter().enumerate().map(|(index, source)| {
        if !content.ask_all && !source.architecture.is_tuned() {
            return Probed::UNKNOWN;
        }
        progress::show(index + 1, content.emulators.len(), format_args!("asking {}", source.shown()));
        emulators::examine(source)
    });
    let probed: Vec<Probed> = probed.collect();
    let _limit = SizeLimit::begin();
    probed.iter().for_each(Probed::warn);
    let compiled = content.table.compile_with(&assignments(content, &probed));
    let json = content.table.json();
    let mut writer = Writer {
        file,
        path,
        start: payload_offset(),
        meta: vec![0; ImageHeader::SIZE],
        next: (most_meta(content, &compiled, &json) as u64).next_multiple_of(host::page()),
        records: Vec::new(),
        origins: Vec::new(),
        host: host::host(),
        identity: Sha256::new_with_prefix(interpreter()),
    };
    let bodies = writer.next;
    let table = writer.add(&compiled);
    writer.programs(content, &probed)?;
    let json = writer.add(json.as_bytes());
    let programs = writer.add_records(&writer.records.clone());
    let origins = writer.add_records(&writer.origins.clone());
    assert!(
        writer.meta.len() as u64 <= bodies,
        "the space for everything but bodies was computed as the most it can be"
    );
    let header = ImageHeader {
        magic: IMAGE_MAGIC,
        version: IMAGE_VERSION,
        host: writer.host.machine.0,
        reserved: 0,
        page: host::page(),
        len: writer.next,
        table,
        programs,
        origins,
        json,
        seed: content.seed,
        identity: [0; 32],
        checksum: 0,
    };
    writer.finish(header).map_err(|error| Failure::io(Doing::Write, path, error))
}

/// The most bytes that everything but the bodies can take.
fn most_meta(content: &Content<'_>, table: &[u8], json: &str) -> usize {
    // Each has a name, a path and a version. Invalid UTF-8 may grow to three bytes per byte; a
    // version has at most 100 characters.
    let most = |path: &Path| 6 * path.as_os_str().len() + 512;
    let strings: usize = content.emulators.iter().map(|source| most(&source.path)).sum();
    let strings = strings + most(Path::new(&content.command.path));
    let per_program =
        ProgramRecord::SIZE + OriginRecord::SIZE + MAX_SEGMENTS * SegmentRecord::SIZE + MAX_WORDS * WordRecord::SIZE;
    ImageHeader::SIZE + table.len() + json.len() + strings + (content.emulators.len() + 1) * per_program
}

/// The emulators that the rows use, by the rows' titles: the first one of each.
fn assignments(content: &Content<'_>, probed: &[Probed]) -> Vec<(String, Assignment)> {
    let mut all: Vec<(String, Assignment)> = Vec::new();
    let distinct = distinct(content.emulators);
    for (source, probed) in content.emulators.iter().zip(probed) {
        let title = source.architecture.title();
        if !all.iter().any(|(other, _)| *other == title) {
            let program = number(&distinct, source);
            all.push((title, Assignment { program, ..probed.assignment() }));
        }
    }
    for architecture in content.outside.iter().filter(|architecture| architecture.is_tuned()) {
        if let Some((probed, asked)) = emulators::ask(architecture) {
            probed.warn();
            all.push((architecture.title(), Assignment { asked: Some(asked), ..probed.assignment() }));
        }
    }
    all
}

/// The number of the program of `source` among the `distinct` ones.
fn number(distinct: &[&Source<'_>], source: &Source<'_>) -> u32 {
    let index = distinct.iter().position(|known| known.is(source)).unwrap_or(distinct.len());
    // Program 0 is the command. An image has at most some hundred.
    index as u32 + 1
}

/// The address that program `number` is prelinked for; `None` to leave it as it is.
fn base(content: &Content<'_>, number: u64) -> Option<u64> {
    // SplitMix64 turns similar inputs into unrelated results. It is written out here so that the
    // same seed gives the same image with every version of this command.
    let mut mixed = content.seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let bases = bases(content.prelink?);
    Some(bases.start + mixed % (bases.end - bases.start))
}

/// Addresses for prelinked programs, at the lower end of the window in which the kernel begins to
/// map files. The image itself is nearly always in that window. At run time the addresses between
/// the two are reserved (docs/image-format.md). They are never more than the window, and the
/// addresses below it stay free for guests.
fn bases(random_bits: u32) -> Range<u64> {
    let window = 1 << (random_bits + PAGE_BITS);
    let start = TOP - window + BELOW;
    start..start + window / 256
}

fn encode(record: &impl Field) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut |part| bytes.extend(part));
    bytes
}

impl Writer<'_> {
    fn add(&mut self, bytes: &[u8]) -> Extent {
        let offset = self.meta.len() as u64;
        self.meta.extend(bytes);
        Extent { offset, len: bytes.len() as u64 }
    }

    fn add_records(&mut self, records: &[impl Field]) -> Extent {
        self.add(&records.iter().flat_map(encode).collect::<Vec<u8>>())
    }

    fn add_string(&mut self, string: &str) -> Extent {
        self.add(&[string.as_bytes(), b"\0"].concat())
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.start + offset)
    }

    /// Adds all programs. `probed` has the answers of the emulators.
    fn programs(&mut self, content: &Content<'_>, probed: &[Probed]) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let command = Origin { name: dispatch_core::NAME, path: &content.command.path, version, file: None };
        self.program(&content.command.bytes, command, base(content, 0))?;
        let distinct = distinct(content.emulators);
        for (index, (source, probed)) in content.emulators.iter().zip(probed).enumerate() {
            let number = number(&distinct, source);
            if self.records.len() as u32 != number {
                // The same program as before, for another row.
                continue;
            }
            progress::show(index + 1, content.emulators.len(), format_args!("embedding {}", source.shown()));
            log::info!("{}: put into the image", source.shown());
            let bytes = source.bytes()?;
            let name = source.path.file_name().unwrap_or_default().to_string_lossy();
            let file = source.from_image.as_ref().map(|program| (program.program.digest, program.program.size));
            let (path, version) = (&source.path.to_string_lossy(), probed.version.clone());
            let origin = Origin { name: &name, path, version, file };
            self.program(&bytes, origin, base(content, number.into()))?;
        }
        Ok(())
    }

    /// Writes the header and everything else that is not a body, and completes the ELF part.
    fn finish(mut self, mut header: ImageHeader) -> io::Result<()> {
        self.meta[..ImageHeader::SIZE].copy_from_slice(&encode(&header));
        header.identity = self.identity.clone().chain_update(&self.meta).finalize().into();
        header.checksum = checksum(&encode(&header)[..ImageHeader::SIZE - u64::SIZE]);
        self.meta[..ImageHeader::SIZE].copy_from_slice(&encode(&header));
        self.put(0, &self.meta)?;
        // Without this, a payload without bodies would not end at a page boundary.
        self.file.set_len(self.start + self.next)?;
        self.file.write_all_at(&attached(self.next), 0)
    }

    /// Adds a program.
    fn program(&mut self, bytes: &[u8], origin: Origin<'_>, base: Option<u64>) -> Result<(), Failure> {
        let Origin { name, path, version, file } = origin;
        let refused = |fault| Failure::NotForImage { path: path.into(), fault };
        let mut program = LaidOut::of(bytes, self.host, host::page()).map_err(refused)?;
        let base = base.map(|base| base & !(program.align - 1)).filter(|base| program.prelink(*base));
        if base.is_none() && program.relocatable {
            log::info!("{path}: not prelinked");
        }
        let body = Extent { offset: self.next, len: program.body.len() as u64 };
        self.put(body.offset, &program.body).map_err(|error| Failure::io(Doing::Write, self.path, error))?;
        self.next = (body.offset + body.len).next_multiple_of(host::page());
        // The interpreter has the kernel read a string at the payload's last byte, to see whether
        // it is there. So the string must end there.
        if program.body.last() != Some(&0) {
            self.next += host::page();
        }
        let record = ProgramRecord {
            name: self.add_string(name),
            relocatable: program.relocatable.into(),
            low: program.low,
            high: program.high,
            align: program.align,
            base: base.unwrap_or(0),
            entry: program.entry,
            phdr: program.phdr,
            phnum: program.phnum,
            body,
            segments: self.add_records(&program.segments),
            words: self.add_records(&program.words),
        };
        // These bytes and the records determine the body.
        let given: [u8; 32] = Sha256::digest(bytes).into();
        self.identity.update(given);
        let (digest, size) = file.unwrap_or((given, bytes.len() as u64));
        let origin = OriginRecord { path: self.add_string(path), version: self.add_string(&version), digest, size };
        self.records.push(record);
        self.origins.push(origin);
        Ok(())
    }
}
