//! Puts an emulator into memory, either from its descriptor, as the kernel's ELF loader would
//! (`fs/binfmt_elf.c`, `elf_load`), or from the image, which stores it in its memory layout.

use dispatch_core::elf::{PF_R, PF_W, PF_X};
use dispatch_core::emulator_file::{EmulatorFile, Mapping};
use dispatch_core::image::{Embedded, Image, SegmentRecord};
use dispatch_core::initial_stack::Patch;

use crate::cpu;
use crate::payload::{Remains, WholePayload};
use crate::sys::{self, Fd, Place, Protection};

/// A complete program in memory. Addresses are the real ones.
pub struct Loaded {
    entry: usize,
    phdr: usize,
    phnum: usize,
    code: (usize, usize),
    data: (usize, usize),
}

/// Bytes left free below this file. The kernel may have put the vDSO there, about 40 KiB.
const VDSO: usize = 1 << 20;
/// Mask of the random number of bytes, in whole pages of any size, that is reserved below an
/// emulator: less than 1 GiB, which leaves 1 GiB within reach of short calls for its code buffer.
const BELOW: usize = (1 << 30) - cpu::LARGEST_PAGE;
/// EEXIST: the addresses of a program that cannot move are in use.
const EEXIST: i32 = 17;
/// EFAULT: a program overlaps the table.
const EFAULT: i32 = 14;

/// The distance between a program and the addresses in its file.
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

    /// The program's values for the auxiliary vector, with the given descriptor and flag.
    pub fn patch(&self, execfd: Option<usize>, argv0_flag: bool) -> Patch {
        Patch { phdr: self.phdr, phnum: self.phnum, entry: self.entry, execfd, argv0_flag }
    }

    /// Records a segment.
    fn note(&mut self, start: usize, len: usize, flags: u32) {
        let range = (start, start.saturating_add(len));
        if flags & PF_X != 0 {
            self.code = range;
        } else if flags & PF_W != 0 {
            self.data = range;
        }
    }
}

/// Maps `program` from `file`.
///
/// # Errors
/// The kernel's errno. Mapped parts are not unmapped, because the process ends with the refusal.
#[inline(never)]
pub fn map(file: Fd, program: &EmulatorFile<'_>) -> Result<Loaded, i32> {
    let low = program.low();
    let len = program.high().saturating_sub(low) as usize;
    let start = if program.relocatable() {
        anywhere(len, program.align() as usize, program.page() as usize)?
    } else {
        exactly(low as usize, len)?
    };
    let bias = Bias::of(start, low);
    let mut loaded = Loaded::new(bias, program.entry(), program.phdr(), program.phnum().into());
    for mapping in program.mappings() {
        // SAFETY: `start` begins `len` reserved bytes, and the mappings lie between low and high,
        // as `EmulatorFile::examine` has checked.
        unsafe { place(file, bias, &mapping) }?;
        let len = mapping.file_len.saturating_add(mapping.fresh_len) as usize;
        loaded.note(bias.apply(mapping.address), len, mapping.flags);
    }
    Ok(loaded)
}

/// Moves an embedded program from the payload to the addresses that it was prelinked for. If
/// `secure` asks for unpredictable addresses, or those addresses are in use or are too low, it goes
/// elsewhere. Also returns the rest of the payload.
///
/// `file` is the address of this file. If it is given, the addresses between a prelinked program
/// and this file are reserved, provided that there are enough of them and they are free. The kernel
/// hands out the highest free addresses, and an emulator is faster if its generated code is within
/// 2 GiB of its own code, because it can then call that directly. Some addresses below the program
/// are reserved too, so that its mappings are at different addresses each time.
///
/// # Errors
/// As [`map`].
pub fn move_in(
    payload: WholePayload,
    image: &Image<'_>,
    program: &Embedded<'_>,
    secure: bool,
    file: Option<usize>,
) -> Result<(Loaded, Remains), i32> {
    let record = program.record();
    let len = record.high.saturating_sub(record.low) as usize;
    // The kernel puts this file into the last eighth of all addresses, and the heap at two thirds
    // of them (`ELF_ET_DYN_BASE`). If programs have more addresses than the image was written for,
    // the base is where the heap or guests may be.
    let low = |file: usize| cpu::ADDRESSES_VARY && (record.base as usize) < file.wrapping_sub(file >> 2);
    let base = if secure || file.is_some_and(low) { 0 } else { record.base as usize };
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
    // SAFETY: the source pages have no references to them. The target was reserved just now, and
    // `Image::program` has checked that they fit.
    unsafe { sys::move_to(body, record.body.len as usize, start) }?;

    let mut loaded = Loaded::new(bias, record.entry, record.phdr, record.phnum as usize);
    // The part of a segment behind the body is bss, and already zero.
    for SegmentRecord { address, len, flags } in program.segments() {
        let (start, len, flags) = (bias.apply(address), len as usize, flags as u32);
        if flags != PF_R | PF_X {
            // SAFETY: a part of the program, which does not run yet.
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

/// Reserves the addresses of a program of `len` bytes at `base`, some below it, and nearly all
/// between it and `file`.
fn reserve_up_to(file: usize, base: usize, len: usize) -> bool {
    let above = file.saturating_sub(VDSO).saturating_sub(base);
    // Random bits from the address that the kernel chose for this file.
    let below = file >> cpu::RANDOM_BITS_LEFT & BELOW;
    above > len && exactly(base.wrapping_sub(below), above.wrapping_add(below)).is_ok()
}

/// Reserves exactly this range, if it is free. Reserved memory does not count as used, neither for
/// `RLIMIT_DATA` nor with `vm.overcommit_memory=2`.
fn exactly(low: usize, len: usize) -> Result<usize, i32> {
    // SAFETY: replaces nothing.
    let got = unsafe { sys::map(Place::IfFree(low), len, Protection::NONE, None) }?;
    if got == low {
        return Ok(low);
    }
    // SAFETY: a kernel that took the address as a hint has just mapped this elsewhere.
    unsafe { sys::unmap(got, len) };
    Err(EEXIST)
}

/// Reserves `len` bytes at a multiple of `align` that the kernel chooses.
fn anywhere(len: usize, align: usize, page: usize) -> Result<usize, i32> {
    // Reserve enough for every position of the first multiple, and unmap the excess.
    let slack = align.saturating_sub(page);
    // SAFETY: replaces nothing.
    let got = unsafe { sys::map(Place::Anywhere, len.saturating_add(slack), Protection::NONE, None) }?;
    let below = align.wrapping_sub(got) & align.wrapping_sub(1);
    let start = got.saturating_add(below);
    // SAFETY: reserved just now, and outside the program's range.
    unsafe { sys::unmap(got, below) };
    // SAFETY: as above.
    unsafe { sys::unmap(start.saturating_add(len), slack.saturating_sub(below)) };
    Ok(start)
}

/// Puts one segment into the reserved range.
///
/// # Safety
/// The addresses of `mapping`, shifted by `bias`, are reserved, and nothing uses them.
unsafe fn place(file: Fd, bias: Bias, mapping: &Mapping) -> Result<(), i32> {
    let protection = Protection::of_segment(mapping.flags);
    let start = bias.apply(mapping.address);
    let file_len = mapping.file_len as usize;
    if file_len != 0 {
        // SAFETY: by this function's contract.
        unsafe { sys::map(Place::Over(start), file_len, protection, Some((file, mapping.offset))) }?;
    }
    let (zero, zero_len) = mapping.zero;
    if zero_len != 0 {
        // SAFETY: the rest of the last page of a writable segment that was mapped just now.
        unsafe { core::ptr::write_bytes(bias.apply(zero) as *mut u8, 0, zero_len as usize) };
    }
    if mapping.fresh_len != 0 {
        let fresh = start.saturating_add(file_len);
        // SAFETY: by this function's contract.
        unsafe { sys::map(Place::Over(fresh), mapping.fresh_len as usize, protection, None) }?;
    }
    Ok(())
}
