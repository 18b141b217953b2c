//! Puts an emulator into memory: from its descriptor, as the kernel's ELF loader would (`fs/binfmt_elf.c`, `elf_load`), or
//! out of the image, where it lies as it is to lie in memory.

use dispatch_core::elf::{PF_R, PF_W, PF_X};
use dispatch_core::emulator_file::{EmulatorFile, Mapping};
use dispatch_core::image::{Embedded, Image, SegmentRecord};
use dispatch_core::initial_stack::Patch;

use crate::payload::{Payload, Remains};
use crate::sys::{self, Fd, Place, Protection};

/// A program in memory, complete. Addresses are where it really is.
pub struct Loaded {
    entry: usize,
    phdr: usize,
    phnum: usize,
    code: (usize, usize),
    data: (usize, usize),
}

/// What is left free below this file: the kernel may have put the vDSO there, in some 40 KiB.
const VDSO: usize = 1 << 20;
/// How far what an emulator maps may be from the emulator: less than a GiB, in pages, which leaves as much for its buffer.
const BELOW: usize = 0x3fff_f000;
/// EEXIST: the addresses of a program that cannot move are taken.
const EEXIST: i32 = 17;
/// EFAULT: a program lies where the table does.
const EFAULT: i32 = 14;

/// How far a program is from the addresses in its file.
#[derive(Clone, Copy)]
struct Bias(usize);

impl Bias {
    fn of(start: usize, low: u64) -> Self {
        Bias(start.wrapping_sub(low as usize))
    }

    fn apply(self, address: u64) -> usize {
        self.0.wrapping_add(address as usize)
    }
}

impl Loaded {
    fn new(bias: Bias, entry: u64, phdr: u64, phnum: usize) -> Self {
        let (entry, phdr) = (bias.apply(entry), bias.apply(phdr));
        Loaded { entry, phdr, phnum, code: (0, 0), data: (0, 0) }
    }

    /// Its entry point.
    pub fn entry(&self) -> usize {
        self.entry
    }

    /// Start and end of its code.
    pub fn code(&self) -> (usize, usize) {
        self.code
    }

    /// Start and end of its data.
    pub fn data(&self) -> (usize, usize) {
        self.data
    }

    /// What the auxiliary vector has to say of it, with the descriptor and the flag given.
    pub fn patch(&self, execfd: Option<usize>, argv0_flag: bool) -> Patch {
        Patch { phdr: self.phdr, phnum: self.phnum, entry: self.entry, execfd, argv0_flag }
    }

    /// Takes note of a segment.
    fn note(&mut self, start: usize, len: usize, flags: u32) {
        let range = (start, start.saturating_add(len));
        if flags & PF_X != 0 {
            self.code = range;
        } else if flags & PF_W != 0 {
            self.data = range;
        }
    }
}

/// Maps `program` out of `file`.
///
/// # Errors
/// The kernel's errno; what was mapped stays, for the process ends with the refusal.
#[inline(never)]
pub fn map(file: Fd, program: &EmulatorFile<'_>) -> Result<Loaded, i32> {
    let len = program.high.saturating_sub(program.low) as usize;
    let start = if program.relocatable {
        anywhere(len, program.align as usize, program.page() as usize)?
    } else {
        exactly(program.low as usize, len)?
    };
    let bias = Bias::of(start, program.low);
    let mut loaded = Loaded::new(bias, program.entry, program.phdr, program.phnum.into());
    for mapping in program.mappings() {
        place(file, bias, &mapping)?;
        let len = mapping.file_len.saturating_add(mapping.fresh_len) as usize;
        loaded.note(bias.apply(mapping.address), len, mapping.flags);
    }
    Ok(loaded)
}

/// Moves a program of the image out of the payload to where it is to run: to the addresses that it was prelinked for, unless
/// `secure` asks for ones that nobody can know, or they are taken. With it comes what remains of the payload.
///
/// With `file`, the address of this file, the addresses between a prelinked program and this file are reserved, if there are
/// that many and nothing else is there: the kernel hands out the highest that are free, and an emulator is quicker when the
/// code that it generates is within 2 GiB of its own, which it then calls directly. Some below the program are reserved too,
/// so that what it gets differs each time.
///
/// # Errors
/// As [`map`].
pub fn move_in(
    payload: Payload,
    image: &Image<'_>,
    program: &Embedded<'_>,
    secure: bool,
    file: Option<usize>,
) -> Result<(Loaded, Remains), i32> {
    let record = program.record();
    let len = record.high.saturating_sub(record.low) as usize;
    let base = if secure { 0 } else { record.base as usize };
    let reserved = base != 0 && file.is_some_and(|file| reserve_up_to(file, base, len));
    let prelinked = reserved || base != 0 && exactly(base, len).is_ok();
    let start = if prelinked {
        base
    } else if record.relocatable == 0 {
        exactly(record.low as usize, len)?
    } else {
        anywhere(len, record.align as usize, image.page as usize)?
    };
    let bias = Bias::of(start, record.low);
    let body = payload.body(record.body).ok_or(EFAULT)?;
    // SAFETY: from pages to which there are no references, into the range that was reserved just now, where `Image::program`
    // has checked that they fit.
    unsafe { sys::move_to(body, record.body.len as usize, start) }?;

    let mut loaded = Loaded::new(bias, record.entry, record.phdr, record.phnum as usize);
    // Where a segment goes on behind the body is its bss, and zero already.
    for SegmentRecord { address, len, flags } in program.segments() {
        let (start, len, flags) = (bias.apply(address), len as usize, flags as u32);
        if flags != PF_R | PF_X {
            // SAFETY: a part of the program, which is not running yet.
            unsafe { sys::protect(start, len, Protection::of_segment(flags)) }?;
        }
        loaded.note(start, len, flags);
    }
    if !prelinked {
        for word in program.words() {
            // SAFETY: in a writable segment of the program, as `Image::program` has checked.
            unsafe { (bias.apply(word.address) as *mut u64).write(word.value) };
        }
    }
    Ok((loaded, payload.remains(image, record.name.end(), reserved)))
}

/// Reserves the addresses of a program of `len` bytes at `base`, some below it, and those above it nearly up to `file`.
fn reserve_up_to(file: usize, base: usize, len: usize) -> bool {
    let above = file.saturating_sub(VDSO).saturating_sub(base);
    // Bits of the address that the kernel has chosen for this file.
    let below = file >> 9 & BELOW;
    above > len && exactly(base.wrapping_sub(below), above.wrapping_add(below)).is_ok()
}

/// Reserves exactly this range, if nothing is there. What is only reserved does not count as memory in use, neither for
/// `RLIMIT_DATA` nor with `vm.overcommit_memory=2`.
fn exactly(low: usize, len: usize) -> Result<usize, i32> {
    // SAFETY: replaces nothing.
    let got = unsafe { sys::map(Place::IfFree(low), len, Protection::NONE, None) }?;
    if got == low {
        return Ok(low);
    }
    // SAFETY: a kernel that took the address for a wish has just mapped this elsewhere.
    unsafe { sys::unmap(got, len) };
    Err(EEXIST)
}

/// Reserves `len` bytes at a multiple of `align` that the kernel chooses.
fn anywhere(len: usize, align: usize, page: usize) -> Result<usize, i32> {
    // Room for every place of the first multiple, and back what is not used.
    let slack = align.saturating_sub(page);
    // SAFETY: replaces nothing.
    let got = unsafe { sys::map(Place::Anywhere, len.saturating_add(slack), Protection::NONE, None) }?;
    let below = align.wrapping_sub(got) & align.wrapping_sub(1);
    let start = got.saturating_add(below);
    // SAFETY: reserved just now, and not part of the program's range.
    unsafe { sys::unmap(got, below) };
    // SAFETY: as above.
    unsafe { sys::unmap(start.saturating_add(len), slack.saturating_sub(below)) };
    Ok(start)
}

/// Puts one segment into the reserved range.
fn place(file: Fd, bias: Bias, mapping: &Mapping) -> Result<(), i32> {
    let protection = Protection::of_segment(mapping.flags);
    let start = bias.apply(mapping.address);
    let file_len = mapping.file_len as usize;
    if file_len != 0 {
        // SAFETY: inside the reserved range.
        unsafe { sys::map(Place::Over(start), file_len, protection, Some((file, mapping.offset))) }?;
    }
    let (zero, zero_len) = mapping.zero;
    if zero_len != 0 {
        // SAFETY: the rest of the last page of a writable segment that was mapped just now.
        unsafe { core::ptr::write_bytes(bias.apply(zero) as *mut u8, 0, zero_len as usize) };
    }
    if mapping.fresh_len != 0 {
        let fresh = start.saturating_add(file_len);
        // SAFETY: inside the reserved range.
        unsafe { sys::map(Place::Over(fresh), mapping.fresh_len as usize, protection, None) }?;
    }
    Ok(())
}
