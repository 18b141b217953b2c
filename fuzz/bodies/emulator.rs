//! Any bytes as an emulator's headers: they are refused, or the promises of `EmulatorFile` to the
//! loader hold.

use dispatch_core::elf::{Class, Data, Machine, PF_W, PF_X};
use dispatch_core::emulator_file::{EmulatorFile, HEAD, Host, MAX_SPAN};

const HOST: Host = Host { machine: Machine(62), class: Class::Elf64, data: Data::Little };
/// Length of the part of the file that is not in the input, in bytes.
const REST: u64 = 1 << 24;

/// Returns whether the emulator can be mapped.
pub fn run(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    let pages = [0x1000, 0x1_0000];
    let fits = pages.map(|page| [0, REST].map(|more| check(head, bytes.len() as u64 + more, page)));
    fits.as_flattened().contains(&true)
}

fn check(head: &[u8], file_len: u64, page: u64) -> bool {
    let program = match EmulatorFile::examine(head, file_len, HOST, page) {
        Ok(program) => program,
        Err(fault) => {
            assert!(!fault.to_string().contains(char::is_control), "{fault}");
            return false;
        }
    };
    let aligned = |number: u64| number % page == 0;
    assert!(aligned(program.low()) && aligned(program.high()) && program.low() < program.high());
    assert!(program.high() - program.low() <= MAX_SPAN && program.align() <= MAX_SPAN);
    assert!(program.align().is_power_of_two() && program.align() >= page);
    let (mut reached, mut entered) = (program.low(), false);
    for mapping in program.mappings() {
        let end = mapping.address + mapping.file_len + mapping.fresh_len;
        assert!(aligned(mapping.address) && aligned(mapping.file_len) && aligned(mapping.fresh_len));
        assert!(aligned(mapping.offset) && reached <= mapping.address && end <= program.high());
        // No page of a segment's part from the file is behind the end of the file, where touching
        // it would be a bus error.
        assert!(mapping.file_len == 0 || mapping.offset + mapping.file_len < file_len + page);
        let (zero, len) = mapping.zero;
        assert!(len < page && (len == 0 || mapping.flags & PF_W != 0));
        assert!(len == 0 || mapping.address <= zero && zero + len <= mapping.address + mapping.file_len);
        assert!(mapping.flags & (PF_W | PF_X) != PF_W | PF_X);
        entered |= mapping.flags & PF_X != 0 && (mapping.address..end).contains(&program.entry());
        reached = end;
    }
    assert!(entered && reached == program.high());
    true
}
