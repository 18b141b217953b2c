//! Writes an image, program by program: only one of them is in memory at a time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dispatch_core::emulator_file::Host;
use dispatch_core::image::{
    IMAGE_MAGIC, IMAGE_VERSION, ImageHeader, OriginRecord, ProgramRecord, SMALLEST_PAGE, SegmentRecord, WordRecord,
    checksum,
};
use dispatch_core::record::{Extent, Field};
use dispatch_table::{ArchTable, Architecture, Assignment};
use sha2::{Digest, Sha256};

use super::destination::{Addresses, Destination, check_host};
use super::emulators::{self, Probed, Source, distinct};
use super::interpreter::Interpreter;
use super::layout::{LaidOut, MAX_SEGMENTS};
use super::translations::Keeper;
use crate::failure::{Doing, Failure, ProgramFault, show, warn};
use crate::platform::signals::SizeLimit;
use crate::progress;

/// Most words to restore for one program: three for prelinking, two for translations.
const MAX_WORDS: usize = 5;
/// How far below a prelinked program the interpreter reserves addresses at most, in bytes.
const BELOW: u64 = 1 << 30;

/// The input for an image.
#[derive(Debug)]
pub struct Content<'c> {
    /// The architectures.
    pub table: &'c ArchTable,
    /// The hosts that it is for.
    pub destination: Destination,
    /// The command, program 0.
    pub command: Command,
    /// The emulators.
    pub emulators: &'c [Source<'c>],
    /// Run the emulators to learn their versions, and whether they accept the table's models;
    /// without, their files tell the version.
    pub examine: bool,
    /// The architectures whose emulators are opened by path, and asked for their versions where
    /// that matters.
    pub outside: Vec<&'c Architecture>,
    /// Whether every embedded emulator is asked for its version, for display; otherwise only where
    /// that matters.
    pub ask_all: bool,
    /// Prelink for hosts where programs have these addresses; do not prelink without.
    pub prelink: Option<Addresses>,
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
    /// The interpreter embedded in it.
    pub interpreter: Interpreter,
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
    /// What bodies are aligned to: the largest page size of such hosts.
    page: u64,
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
    /// Its translations, if there are any.
    translations: Option<&'o [u8]>,
}

/// Writes the image to `file`, which is empty.
///
/// # Errors
/// A program cannot be embedded, or a file cannot be read or written; then `file` is not an image.
pub fn write(content: &Content<'_>, file: &File, path: &Path) -> Result<(), Failure> {
    let (host, page) = (content.destination.host(), content.destination.page());
    let interpreter = &content.command.interpreter;
    // Those in an image were checked when it was read.
    let mut files = content.emulators.iter().filter(|source| source.from_image.is_none());
    files.try_for_each(|source| check_host(&source.path, host))?;
    let probed = content.emulators.iter().enumerate().map(|(index, source)| {
        if !content.ask_all && !source.architecture.is_tuned() {
            return Ok(Probed::UNKNOWN);
        }
        progress::show(index + 1, content.emulators.len(), format_args!("asking {}", source.shown()));
        if content.examine { Ok(emulators::examine(source)) } else { emulators::read(source) }
    });
    let probed: Vec<Probed> = probed.collect::<Result<_, _>>()?;
    let _limit = SizeLimit::begin();
    probed.iter().for_each(Probed::warn);
    let compiled = content.table.compile_with(&assignments(content, &probed));
    let json = content.table.json();
    let mut writer = Writer {
        file,
        path,
        start: interpreter.payload_offset(),
        meta: vec![0; ImageHeader::SIZE],
        next: (most_meta(content, &compiled, &json) as u64).next_multiple_of(page),
        records: Vec::new(),
        origins: Vec::new(),
        host,
        page,
        identity: Sha256::new_with_prefix(interpreter.bytes()),
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
        page,
        len: writer.next,
        table,
        programs,
        origins,
        json,
        seed: content.seed,
        identity: [0; 32],
        checksum: 0,
    };
    writer.finish(header, interpreter).map_err(|error| Failure::io(Doing::Write, path, error))
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
/// addresses below it stay free for guests. The heap begins at two thirds of all addresses, or up
/// to 1 GiB above that (`ELF_ET_DYN_BASE` and `arch_randomize_brk`), and so is always below it.
fn bases(addresses: Addresses) -> Range<u64> {
    let top = 1u64 << addresses.bits;
    let window = (1 << addresses.window_bits).min(top / 8);
    let start = top - window + BELOW;
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
        let command =
            Origin { name: dispatch_core::NAME, path: &content.command.path, version, file: None, translations: None };
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
            let translations = source.translations();
            let translations = translations.as_ref().map(|bytes| bytes.as_slice());
            let origin = Origin { name: &name, path, version, file, translations };
            self.program(&bytes, origin, base(content, number.into()))?;
        }
        Ok(())
    }

    /// Writes the header and everything else that is not a body, and completes the ELF part.
    fn finish(mut self, mut header: ImageHeader, interpreter: &Interpreter) -> io::Result<()> {
        self.meta[..ImageHeader::SIZE].copy_from_slice(&encode(&header));
        header.identity = self.identity.clone().chain_update(&self.meta).finalize().into();
        header.checksum = checksum(&encode(&header)[..ImageHeader::SIZE - u64::SIZE]);
        self.meta[..ImageHeader::SIZE].copy_from_slice(&encode(&header));
        self.put(0, &self.meta)?;
        // Without this, a payload without bodies would not end at a page boundary.
        self.file.set_len(self.start + self.next)?;
        self.file.write_all_at(&interpreter.attached(self.next), 0)
    }

    /// Lays a program out for the largest page size that it can have. One that is aligned to
    /// smaller pages is laid out for those, and does not run where pages are larger.
    fn lay_out(&self, bytes: &[u8], path: &str) -> Result<LaidOut, Failure> {
        let refused = |fault| Failure::NotForImage { path: path.into(), fault };
        let mut laid_out = LaidOut::of(bytes, self.host, self.page);
        let mut page = self.page;
        while page > SMALLEST_PAGE && laid_out.as_ref().is_err_and(ProgramFault::is_about_pages) {
            page /= 4;
            laid_out = LaidOut::of(bytes, self.host, page);
        }
        if laid_out.is_ok() && page < self.page {
            let largest = self.page >> 10;
            warn(format_args!(
                "{}: runs on kernels with pages of {} KiB at most, not of {largest} KiB: it is not aligned to them",
                show(path.as_ref()),
                page >> 10
            ));
        }
        laid_out.map_err(refused)
    }

    /// Adds a program.
    fn program(&mut self, bytes: &[u8], origin: Origin<'_>, base: Option<u64>) -> Result<(), Failure> {
        let Origin { name, path, version, file, translations } = origin;
        let mut program = self.lay_out(bytes, path)?;
        let base = base.map(|base| base & !(program.align - 1)).filter(|base| program.prelink(*base) != 0);
        if base.is_none() && program.relocatable {
            log::info!("{path}: not prelinked");
        }
        let attached = translations.filter(|translations| {
            Keeper::of(bytes).is_some_and(|keeper| program.attach(translations, &keeper, self.page))
        });
        if translations.is_some() && attached.is_none() {
            warn(format_args!("{}: put into the image without translations", show(path.as_ref())));
        }
        let body = Extent { offset: self.next, len: program.body.len() as u64 };
        self.put(body.offset, &program.body).map_err(|error| Failure::io(Doing::Write, self.path, error))?;
        self.next = (body.offset + body.len).next_multiple_of(self.page);
        // The interpreter has the kernel read a string at the payload's last byte, to see whether
        // it is there. So the string must end there.
        if program.body.last() != Some(&0) {
            self.next += self.page;
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
        self.identity.update(attached.unwrap_or_default());
        let (digest, size) = file.unwrap_or((given, bytes.len() as u64));
        let origin = OriginRecord { path: self.add_string(path), version: self.add_string(&version), digest, size };
        self.records.push(record);
        self.origins.push(origin);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prelinked_programs_are_above_the_heap_and_below_the_stack() {
        const GIB: u64 = 1 << 30;
        for bits in [38, 39, 42, 47, 48] {
            for window_bits in 40..=45 {
                let bases = bases(Addresses { bits, window_bits });
                let top = 1 << bits;
                // The heap may grow by as much as a fourteenth of all addresses.
                assert!(bases.start - BELOW >= top / 3 * 2 + GIB + top / 14, "{bits} {window_bits}");
                assert!(bases.start < bases.end && bases.end < top - GIB, "{bits} {window_bits}");
            }
        }
    }

    #[test]
    fn the_addresses_of_x86_64_are_those_in_the_documentation() {
        let usual = Addresses { bits: 47, window_bits: 40 };
        assert_eq!(bases(usual), 0x7f00_4000_0000..0x7f01_4000_0000);
    }
}
