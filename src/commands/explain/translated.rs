//! Whether the image has translations of a program's code, and of its dynamic linker's and its
//! libraries': compares the guest's bytes of the recorded blocks with the files.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dispatch_core::Guest;
use dispatch_core::elf::{PF_X, PT_LOAD};
use dispatch_translations::Packed;
use serde::Serialize;

use super::contents::Contents;
use super::libraries;
use crate::failure::text;
use crate::image::Effective;
use crate::output::json::Bytes;
use crate::platform::files;

/// CPU time that a block takes less if it is not translated, in microseconds (docs/translations.md
/// has the measurement).
const SAVED: u64 = 6;
/// Largest file whose code is looked at, in bytes.
const LARGEST: u64 = 256 << 20;
/// Largest page of a guest, in bytes.
const LARGEST_PAGE: u64 = 1 << 20;
/// How many bytes of a block find it. Shorter blocks, which few architectures have, do not count.
const START: usize = 4;
/// A block of this length, in bytes, is in no file by chance. A shorter one may be, and counts only
/// in a page with such a block.
const CERTAIN: usize = 16;

/// The offset of a block in a page, and its first bytes.
type Beginning = (u64, [u8; START]);

/// What the image's translations have of a program.
#[derive(Debug, Serialize)]
pub(super) struct Translated {
    /// Why they are not used, if so; then there are no files.
    unused: Option<String>,
    /// Number of blocks of all the files' code that are recorded.
    pub blocks: u64,
    /// CPU time that a process needs less if it runs all of them, in microseconds.
    pub saves: u64,
    /// The program, its dynamic linker, and the libraries that were found.
    files: Vec<InFile>,
}

/// The recorded part of a file's code.
#[derive(Clone, Debug, Serialize)]
struct InFile {
    file: Bytes,
    /// Number of recorded blocks.
    blocks: u64,
    /// Bytes of code that these have.
    translated: u64,
    /// Bytes of all its code.
    code: u64,
}

/// What is asked about.
pub(super) struct Question<'q> {
    /// The program's file and its contents.
    pub program: &'q Path,
    pub guest: &'q Guest,
    pub contents: &'q Contents,
    /// The title of its row.
    pub title: &'q str,
    /// The directory in which its dynamic linker and its libraries are.
    pub root: &'q Path,
    /// Whether the start is privileged.
    pub privileged: bool,
    /// The CPU model that the emulator is given.
    pub model: Option<&'q [u8]>,
    /// What was read for other programs.
    pub cache: &'q Cache,
}

/// The translations that were read last, with the identity of their image and the emulator's number
/// in it: one image has those of most programs.
pub(super) type Cache = RefCell<Option<(String, u32, Rc<Recorded>)>>;

impl Question<'_> {
    /// The answer for the emulator that `image` embeds; `None` if that has no translations.
    pub fn answer(&self, image: &Effective) -> Option<Translated> {
        let Effective::Image(image) = image else { return None };
        let number = image.emulator_for(self.title).ok()??.number;
        let made_for = image.translated(number)?;
        let unused = match self.model {
            _ if self.privileged => Some("privileged programs get none".to_owned()),
            Some(model) if model != made_for.model.as_bytes() => {
                Some(format!("they are for CPU model {}", made_for.model))
            }
            _ => None,
        };
        let mut answer = Translated { unused, blocks: 0, saves: 0, files: Vec::new() };
        if answer.unused.is_some() {
            return Some(answer);
        }
        let identity = image.identity();
        let known = self.cache.borrow().as_ref().filter(|known| (&known.0, known.1) == (&identity, number)).cloned();
        let recorded = match known {
            Some((.., recorded)) => recorded,
            None => match Packed::open(&image.translations(number)?) {
                Ok(translations) => Rc::new(Recorded::of(&translations)),
                Err(fault) => {
                    answer.unused = Some(fault.to_string());
                    return Some(answer);
                }
            },
        };
        self.cache.replace(Some((identity, number, Rc::clone(&recorded))));
        answer.files = self.files().iter().filter_map(|path| recorded.at(path)).collect();
        answer.blocks = answer.files.iter().map(|file| file.blocks).sum();
        answer.saves = answer.blocks * SAVED;
        Some(answer)
    }

    /// The program, its dynamic linker, and its libraries.
    fn files(&self) -> Vec<PathBuf> {
        let linker = self.contents.linker.as_ref().map(|linker| libraries::below(self.root, linker));
        let libraries = libraries::found(self.contents, &self.guest.header, self.root);
        let mut files = vec![self.program.to_owned()];
        let mut known: HashSet<PathBuf> = files.iter().filter_map(|path| path.canonicalize().ok()).collect();
        for path in linker.into_iter().chain(libraries) {
            if path.canonicalize().is_ok_and(|real| known.insert(real)) {
                files.push(path);
            }
        }
        files
    }
}

/// The guest's bytes of the recorded blocks.
#[derive(Debug)]
pub(super) struct Recorded {
    /// Size of the guest's pages, in bytes.
    page: u64,
    /// By their offset in a page and their first bytes: the blocks, each once.
    blocks: HashMap<Beginning, HashSet<Box<[u8]>>>,
    /// For each offset in a page whether blocks begin there: most bytes need no other look.
    offsets: Vec<bool>,
    /// The files that were looked at: programs share libraries.
    files: RefCell<HashMap<PathBuf, Option<InFile>>>,
}

impl Recorded {
    fn of(translations: &Packed<'_>) -> Self {
        let page = u64::from(translations.origin().page);
        let mut recorded = Recorded::empty(page);
        for block in translations.blocks() {
            let (offset, guest) = (block.pc() % page, block.guest());
            if let Some(start) = guest.first_chunk() {
                recorded.insert(offset, *start, guest);
            }
        }
        recorded
    }

    fn empty(page: u64) -> Self {
        // There are no larger pages. An offset that is not in the list has no block.
        let offsets = vec![false; page.min(LARGEST_PAGE) as usize];
        Recorded { page, blocks: HashMap::new(), offsets, files: RefCell::default() }
    }

    fn insert(&mut self, offset: u64, start: [u8; START], guest: &[u8]) {
        self.blocks.entry((offset, start)).or_default().insert(guest.into());
        self.offsets.iter_mut().skip(offset as usize).take(1).for_each(|begins| *begins = true);
    }

    /// What there is of the file at `path`; `None` if it cannot be read, or is no ELF file.
    fn at(&self, path: &Path) -> Option<InFile> {
        if let Some(known) = self.files.borrow().get(path) {
            return known.clone();
        }
        let found = match files::read(path, LARGEST) {
            Ok(file) => self.in_file(path, &file),
            Err(error) => {
                log::info!("{}: {}", path.display(), text(&error));
                None
            }
        };
        self.files.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }

    /// What there is of the ELF file `file`; `None` if it is none.
    fn in_file(&self, path: &Path, file: &[u8]) -> Option<InFile> {
        let guest = Guest::identify(file).ok()?;
        let range = guest.program_headers();
        let table = file.get(range.start as usize..range.end as usize)?;
        let mut found = InFile { file: Bytes::from(path), blocks: 0, translated: 0, code: 0 };
        for segment in guest.header.program_headers(table) {
            if segment.kind == PT_LOAD && segment.flags & PF_X != 0 {
                let end = segment.offset.checked_add(segment.filesz)?;
                let code = file.get(segment.offset as usize..end as usize)?;
                found.code += code.len() as u64;
                self.in_segment(segment.vaddr, code, &mut found);
            }
        }
        Some(found)
    }

    /// Adds what there is of `code` at `address`.
    fn in_segment(&self, address: u64, code: &[u8], found: &mut InFile) {
        let mut rest = code;
        let mut offset = address % self.page;
        while !rest.is_empty() {
            let (page, next) = rest.split_at(rest.len().min((self.page - offset) as usize));
            let blocks = self.in_page(offset, page);
            if blocks.values().flatten().any(|len| *len >= CERTAIN) {
                let mut end = 0;
                for (at, lengths) in blocks {
                    found.blocks += lengths.len() as u64;
                    let longest = at + lengths.into_iter().max().unwrap_or(0);
                    found.translated += longest.saturating_sub(end.max(at)) as u64;
                    end = end.max(longest);
                }
            }
            (rest, offset) = (next, 0);
        }
    }

    /// Where in a part of a page from `offset` on blocks are, and their lengths.
    fn in_page(&self, offset: u64, page: &[u8]) -> BTreeMap<usize, Vec<usize>> {
        let mut found = BTreeMap::new();
        for (at, start) in page.windows(START).enumerate() {
            let place = offset + at as u64;
            let start = start.first_chunk().filter(|_| self.offsets.get(place as usize) == Some(&true));
            let blocks = start.and_then(|start| self.blocks.get(&(place, *start)));
            let here = blocks.into_iter().flatten().filter(|block| page[at..].starts_with(block));
            let lengths: Vec<usize> = here.map(|block| block.len()).collect();
            if !lengths.is_empty() {
                found.insert(at, lengths);
            }
        }
        found
    }
}

impl Translated {
    /// The lines of the explanation.
    pub fn lines(&self) -> Vec<String> {
        if let Some(unused) = &self.unused {
            return vec![format!("the image's translations are not used: {unused}")];
        }
        if self.blocks == 0 {
            return vec!["none of its code is among the image's translations".to_owned()];
        }
        let saves = match self.saves {
            micros @ 0..1000 => format!("{micros} µs"),
            micros => format!("{} ms", micros / 1000),
        };
        let first = format!(
            "{} blocks of its code are in the image: a process that runs all of them takes about {saves} less CPU time",
            self.blocks
        );
        let line = |file: &InFile| {
            let part = file.translated * 100 / file.code.max(1);
            format!("{}: {} blocks, {part} % of its code", file.file, file.blocks)
        };
        [first].into_iter().chain(self.files.iter().map(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(blocks: &[(u64, &[u8])]) -> Recorded {
        let mut recorded = Recorded::empty(4096);
        for (offset, guest) in blocks {
            recorded.insert(*offset, *guest.first_chunk().unwrap(), guest);
        }
        recorded
    }

    #[test]
    fn a_short_block_counts_beside_a_long_one() {
        let long: Vec<u8> = (1..=20).collect();
        let known = recorded(&[(16, &long), (16, &long[..8]), (64, &[7; 4])]);
        // Two pages, the first from offset 8 on. Only the second has the long block.
        let mut code = vec![0; 4088 + 4096];
        code[56..60].fill(7);
        code[4088 + 16..4088 + 36].copy_from_slice(&long);
        code[4088 + 64..4088 + 68].fill(7);
        let mut found = InFile { file: Bytes::from("file"), blocks: 0, translated: 0, code: 0 };
        known.in_segment(0x1_0008, &code, &mut found);
        assert_eq!((found.blocks, found.translated), (3, 24));
        found.blocks = 0;
        known.in_segment(0x1_0000, &code, &mut found);
        assert_eq!(found.blocks, 0, "other offsets in the page");
    }

    #[test]
    fn the_lines_say_what_is_saved_or_why_nothing_is() {
        let file = InFile { file: Bytes::from("/f"), blocks: 500, translated: 30, code: 100 };
        let mut answer = Translated { unused: None, blocks: 500, saves: 3000, files: vec![file] };
        let first =
            "500 blocks of its code are in the image: a process that runs all of them takes about 3 ms less CPU time";
        assert_eq!(answer.lines(), [first, "/f: 500 blocks, 30 % of its code"]);
        answer.unused = Some("privileged programs get none".to_owned());
        assert_eq!(answer.lines(), ["the image's translations are not used: privileged programs get none"]);
    }
}
