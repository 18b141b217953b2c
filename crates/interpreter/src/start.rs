//! The first Rust code of the process: self-relocation, then the pipeline.

use crate::payload::Payload;
use crate::stack::Stack;
use crate::sys::Buffers;
use crate::{cpu, dispatch};

/// `d_tag` values (gABI chapter 5).
const DT_NULL: usize = 0;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;

/// `Elf64_Dyn`.
#[repr(C)]
struct Dyn {
    tag: usize,
    value: usize,
}

/// `Elf64_Rela`.
#[repr(C)]
struct Rela {
    address: usize,
    kind: usize,
    addend: usize,
}

/// Adds the load address `base` to every pointer in this file's data. In a static
/// position-independent file without IFUNCs, the linker leaves relative relocations only. A test
/// checks that there are no others. Linkers that know the packed form for this CPU write that
/// (gABI, "Relative Relocation Table"): an even word is the address of one, and each odd word after
/// it is a bitmap of the next 63 words. Others write a table of addresses, types and addends.
///
/// # Safety
/// Called once, by `_start`, with the address of the ELF header and of the dynamic section.
// SAFETY: no other function of this program has this name.
#[unsafe(export_name = "dispatch_relocate")]
unsafe extern "C" fn relocate(base: usize, mut dynamic: *const Dyn) {
    let (mut relr, mut size) = (core::ptr::null::<usize>(), 0usize);
    let (mut rela, mut rela_size) = (core::ptr::null::<Rela>(), 0usize);
    loop {
        // SAFETY: the dynamic section ends with DT_NULL, where this loop stops.
        let Dyn { tag, value } = unsafe { dynamic.read() };
        match tag {
            DT_NULL => break,
            DT_RELR => relr = base.wrapping_add(value) as *const usize,
            DT_RELRSZ => size = value,
            DT_RELA if cpu::UNPACKED => rela = base.wrapping_add(value) as *const Rela,
            DT_RELASZ if cpu::UNPACKED => rela_size = value,
            _ => {}
        }
        // SAFETY: not yet at DT_NULL, so there is a next one.
        dynamic = unsafe { dynamic.add(1) };
    }
    for index in 0..rela_size.checked_div(size_of::<Rela>()).unwrap_or(0) {
        // SAFETY: the linker made DT_RELA a table of DT_RELASZ bytes.
        let Rela { address, addend, .. } = unsafe { rela.wrapping_add(index).read() };
        let pointer = base.wrapping_add(address) as *mut usize;
        // SAFETY: the linker says that a pointer in this file's writable data is at this address.
        // No reference to it is made, because some of this data is constants.
        unsafe { pointer.write(base.wrapping_add(addend)) };
    }
    // Start of the words that the next bitmap covers.
    let mut next = core::ptr::null_mut::<usize>();
    for index in 0..size.checked_div(size_of::<usize>()).unwrap_or(0) {
        // SAFETY: the linker made DT_RELR a table of DT_RELRSZ bytes.
        let entry = unsafe { relr.wrapping_add(index).read() };
        let (mut at, mut pointers, words) =
            if entry & 1 == 0 { (base.wrapping_add(entry) as *mut usize, 1, 1) } else { (next, entry >> 1, 63) };
        next = at.wrapping_add(words);
        while pointers != 0 {
            if pointers & 1 != 0 {
                // SAFETY: as above.
                let pointer = unsafe { at.read() };
                // SAFETY: as above.
                unsafe { at.write(pointer.wrapping_add(base)) };
            }
            pointers >>= 1;
            at = at.wrapping_add(1);
        }
    }
}

/// Continues after [`relocate`].
///
/// # Safety
/// Called once, by `_start`, with the stack pointer at the start of the process, below which
/// `SPARE` words are reserved, and the address of the ELF header.
// SAFETY: as above.
#[unsafe(export_name = "dispatch_begin")]
unsafe extern "C" fn begin(sp: *const usize, base: usize) -> ! {
    /// Not on the stack, whose size limit the caller sets.
    static mut BUFFERS: Buffers = Buffers::EMPTY;
    let buffers = &raw mut BUFFERS;
    // SAFETY: this function is called once, and no other code can name them.
    let buffers = unsafe { &mut *buffers };
    // SAFETY: `sp` is the kernel's, by this function's contract.
    let stack = unsafe { Stack::at(sp, base) };
    // SAFETY: `base` is this file's, by this function's contract, and this is the only call.
    let payload = unsafe { Payload::of_file(base) };
    dispatch::main(stack.as_ref(), payload, buffers)
}

/// A panic would be a bug; the lints forbid its causes.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::message::broken()
}

/// In unoptimised builds, `core`'s compiled code refers to an unwinder's hook. Nothing is ever
/// unwound.
// SAFETY: no other function of this program has this name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
