//! Translations beside an emulator: memory behind it in the image, and two words in it that tell
//! where that is.

use std::rc::Rc;

use dispatch_core::bytes::array;
use dispatch_translations::PACKED_VERSION;
use goblin::elf::Elf;
use goblin::elf::program_header::PT_NOTE;

use super::emulators::Source;
use super::reader::OpenImage;

/// The name and the type of the note of an emulator that keeps translations
/// (emulators/tb-records.c).
const NAME: &str = "tb-records";
const TYPE: u32 = 1;
/// `n_type` of a build ID in a note of the name `GNU`.
const NT_GNU_BUILD_ID: u32 = 3;
/// Offset in the note of the distance from there to the two words.
const DISTANCE: usize = 8;

/// What an emulator's file says about translations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Its build ID, with zeros behind it.
    pub build: [u8; 32],
    /// Address of two words: the distance from there to the translations, and their length in
    /// bytes; zeros for none.
    pub words: u64,
}

impl Keeper {
    /// What the ELF file `file` says; `None` if that emulator keeps no translations.
    pub fn of(file: &[u8]) -> Option<Self> {
        let elf = Elf::parse(file).ok()?;
        let (mut build, mut words) = (None, None);
        for note in elf.iter_note_headers(file)?.flatten() {
            if note.name == "GNU" && note.n_type == NT_GNU_BUILD_ID && note.desc.len() <= 32 {
                let mut padded = [0; 32];
                padded[..note.desc.len()].copy_from_slice(note.desc);
                build = Some(padded);
            } else if note.name == NAME && note.n_type == TYPE {
                let version = u32::from_le_bytes(array(note.desc, 0)?);
                let distance = u64::from_le_bytes(array(note.desc, DISTANCE)?);
                let offset = (note.desc.as_ptr() as u64).checked_sub(file.as_ptr() as u64)? + DISTANCE as u64;
                let mut segments = elf.program_headers.iter().filter(|segment| segment.p_type == PT_NOTE);
                let segment = segments.find(|segment| {
                    offset.checked_sub(segment.p_offset).is_some_and(|within| within < segment.p_filesz)
                })?;
                let address = segment.p_vaddr.wrapping_add(offset - segment.p_offset).wrapping_add(distance);
                words = Some(address).filter(|address| version == PACKED_VERSION && address % 8 == 0);
            }
        }
        Some(Keeper { build: build?, words: words? })
    }
}

impl Source<'_> {
    /// The translations that belong beside it: new ones, or those of the image that it is taken from.
    pub fn translations(&self) -> Option<Rc<Vec<u8>>> {
        let kept = || self.from_image.as_ref().and_then(|from| from.image.translations(from.program.number));
        self.trained.clone().or_else(|| kept().map(Rc::new)).filter(|bytes| !bytes.is_empty())
    }

    /// The image that it is taken from, and its number there.
    pub fn in_image(&self) -> Option<(&Rc<OpenImage>, u32)> {
        self.from_image.as_ref().map(|from| (&from.image, from.program.number))
    }
}
