//! The first Rust code of the process: self-relocation, then the pipeline.

use crate::cpu;
use crate::stack::Stack;

/// `d_tag` values (gABI chapter 5).
const DT_NULL: usize = 0;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;

/// `Elf64_Dyn`.
#[repr(C)]
pub struct Dyn {
    tag: usize,
    value: usize,
}

/// `Elf64_Rela`.
#[repr(C)]
struct Rela {
    offset: usize,
    info: usize,
    addend: usize,
}

/// Adds the load address `base` to every pointer in this file's data. The linker leaves only relative relocations in a
/// static position-independent file without IFUNCs; a test holds that.
///
/// # Safety
/// Called once, by `_start`, with the address of the ELF header and of the dynamic section.
pub unsafe extern "C" fn relocate(base: usize, mut dynamic: *const Dyn) {
    let (mut rela, mut size) = (core::ptr::null::<Rela>(), 0);
    loop {
        // SAFETY: the dynamic section ends with DT_NULL, where this loop does.
        let Dyn { tag, value } = unsafe { dynamic.read() };
        match tag {
            DT_NULL => break,
            DT_RELA => rela = base.wrapping_add(value) as *const Rela,
            DT_RELASZ => size = value,
            _ => {}
        }
        // SAFETY: not yet at DT_NULL, so there is a next one.
        dynamic = unsafe { dynamic.add(1) };
    }
    for index in 0..size.checked_div(size_of::<Rela>()).unwrap_or(0) {
        // SAFETY: the linker made DT_RELA a table of DT_RELASZ bytes.
        let entry = unsafe { rela.add(index) };
        // SAFETY: as above.
        let Rela { offset, info, addend } = unsafe { entry.read() };
        if info == cpu::RELATIVE {
            // SAFETY: the linker's offset lies in this file's writable data, which nothing has borrowed yet.
            unsafe { (base.wrapping_add(offset) as *mut usize).write(base.wrapping_add(addend)) };
        }
    }
}

/// Goes on after [`relocate`].
///
/// # Safety
/// Called once, by `_start`, with the stack pointer of the process's start and the address of the ELF header.
pub unsafe extern "C" fn begin(sp: *const usize, base: usize) -> ! {
    // SAFETY: `sp` is the kernel's, by this function's contract.
    crate::main(unsafe { Stack::at(sp, base) })
}

/// A panic would be a bug; the lints forbid what could cause one.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::line::broken()
}

/// Unoptimised builds keep what `core`'s compiled code says of an unwinder's hook. Nothing is ever unwound.
// SAFETY: no other function of this program has this name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
