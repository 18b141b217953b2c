//! The hosts that an image is for.

use std::path::Path;

use dispatch_core::elf::{Class, Data, Header};
use dispatch_core::emulator_file::{HEAD, Host};
use dispatch_core::image::SMALLEST_PAGE;
use dispatch_table::Architecture;

use crate::architectures;
use crate::failure::{Doing, Failure};
use crate::platform::files;
use crate::platform::host::{self, BUILTIN};

/// What images for a CPU depend on, besides the headers of its programs.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// Its `e_machine`.
    machine: u16,
    /// The largest page size of its kernels, in bytes. What is aligned to that is aligned to every
    /// smaller one.
    page: u64,
    /// The type of the relocations that add the load address: `R_*_RELATIVE` of the CPU's psABI.
    relative: u32,
    /// How many bits the addresses of programs have, the most common number first.
    address_bits: &'static [u32],
}

/// The CPUs that an interpreter is written for.
const CPUS: [Cpu; 3] = [
    // DEFAULT_MAP_WINDOW in arch/x86/include/asm/page_64_types.h: programs that ask for more
    // get more.
    Cpu { machine: 62, page: 4 << 10, relative: 8, address_bits: &[47] },
    // ARM64_VA_BITS in arch/arm64/Kconfig; with 52 bits, programs that ask for more than 48 get
    // more.
    Cpu { machine: 183, page: 64 << 10, relative: 1027, address_bits: &[48, 47, 42, 39] },
    // MMAP_VA_BITS in arch/riscv/include/asm/pgtable.h.
    Cpu { machine: 243, page: 4 << 10, relative: 3, address_bits: &[47, 38] },
];

/// The relocation type that adds the load address; `None` if it is not known, and nothing can be
/// prelinked.
pub(super) fn relative(machine: u16) -> Option<u32> {
    CPUS.iter().find(|cpu| cpu.machine == machine).map(|cpu| cpu.relative)
}

/// Whether `cpu` is the one of `row`.
fn runs(row: &Architecture, cpu: &Cpu) -> bool {
    let Host { machine, class, data } = host::of(row);
    machine.0 == cpu.machine && class == Class::Elf64 && data == Data::Little
}

/// The addresses of programs, from which those of prelinked ones are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Log2 of one past the highest address of a program.
    pub bits: u32,
    /// Log2 of the size of the window, below the highest address, in which the kernel begins to map
    /// files (`vm.mmap_rnd_bits`, and the bits of a page).
    pub window_bits: u32,
}

/// The hosts that an image is for.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    /// The row of their CPU.
    pub row: &'static Architecture,
}

impl Destination {
    /// Machines like this one.
    pub fn here() -> Self {
        Destination { row: host::row() }
    }

    /// The hosts of the row called `name`.
    ///
    /// # Errors
    /// The name is not known, or the project has no interpreter for this CPU.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let named = Destination { row: architectures::find(&BUILTIN, name)? };
        let known = || CPUS.iter().filter_map(|cpu| BUILTIN.architectures().iter().find(|row| runs(row, cpu)));
        match named.cpu() {
            Some(_) => Ok(named),
            None => {
                Err(Failure::NotAHost { name: name.to_owned(), hosts: known().map(|row| row.name.clone()).collect() })
            }
        }
    }

    /// Whether this machine is one of them.
    pub fn is_here(self) -> bool {
        self.row == host::row()
    }

    /// Values that an emulator's ELF header must have.
    pub fn host(self) -> Host {
        host::of(self.row)
    }

    fn cpu(self) -> Option<&'static Cpu> {
        CPUS.iter().find(|cpu| runs(self.row, cpu))
    }

    /// The largest page size that the image is for, in bytes.
    pub fn page(self) -> u64 {
        self.cpu().map_or_else(host::page, |cpu| cpu.page)
    }

    /// The addresses of programs on most such hosts, with the kernel's usual settings.
    pub fn usual_addresses(self) -> Option<Addresses> {
        let window_bits = host::MMAP_RND_BITS + SMALLEST_PAGE.ilog2();
        self.cpu().map(|cpu| Addresses { bits: cpu.address_bits[0], window_bits })
    }

    /// The addresses of programs on this machine, if it is such a host.
    pub fn addresses(self) -> Option<Addresses> {
        let usual = self.usual_addresses()?;
        if !self.is_here() {
            return Some(usual);
        }
        let bits =
            Some(host::address_bits()).filter(|bits| self.cpu().is_some_and(|cpu| cpu.address_bits.contains(bits)));
        let window_bits = host::mmap_rnd_bits() + host::page().ilog2();
        Some(Addresses { bits: bits.unwrap_or(usual.bits), window_bits })
    }
}

/// Checks that the program at `path` is for `host`, before it is run.
///
/// # Errors
/// [`Failure::OtherHost`], and [`Failure::Io`]. A file that is no program is no error here.
pub fn check_host(path: &Path, host: Host) -> Result<(), Failure> {
    let failed = |error| Failure::io(Doing::Read, path, error);
    let mut head = [0; HEAD];
    let read = files::open(path).and_then(|file| files::read_full(&file, &mut head, 0)).map_err(failed)?;
    match Header::parse(&head[..read]) {
        Ok(header) if (header.machine, header.class, header.data) != (host.machine, host.class, host.data) => {
            Err(Failure::OtherHost { path: path.to_owned(), is: host::name(&header), wanted: host::name_of(host) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use goblin::elf::reloc::r_to_str;

    use super::*;

    #[test]
    fn the_relocation_types_are_those_of_the_psabis() {
        let names = CPUS.map(|cpu| r_to_str(cpu.relative, cpu.machine));
        // The crate has some names without `R_`.
        assert_eq!(names, ["X86_64_RELATIVE", "AARCH64_RELATIVE", "R_RISCV_RELATIVE"]);
        assert_eq!(relative(22), None);
    }

    #[test]
    fn this_machine_is_known() {
        let here = Destination::here();
        assert_eq!(here.page() % host::page(), 0);
        let (usual, found) = (here.usual_addresses().unwrap(), here.addresses().unwrap());
        assert_eq!(usual.window_bits, 40);
        assert!(found.window_bits >= usual.window_bits, "{found:?}");
        assert!(here.cpu().unwrap().address_bits.contains(&found.bits), "{found:?}");
    }
}
