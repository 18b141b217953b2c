//! The machine that this program was built for, as the built-in table describes it. A site's table
//! may change emulators, but not the description of this machine.

use std::path::Path;
use std::sync::LazyLock;

use dispatch_core::elf::{Header, Machine};
use dispatch_core::emulator_file::Host;
use dispatch_core::image::SMALLEST_PAGE;
use dispatch_table::{ArchTable, Architecture};

use crate::failure::show;

/// The built-in table.
pub static BUILTIN: LazyLock<ArchTable> = LazyLock::new(ArchTable::builtin);

/// The row of this machine. The build refuses a table without one.
pub fn row() -> &'static Architecture {
    BUILTIN.find(std::env::consts::ARCH).expect("the table has a row for every host that this program is built for")
}

/// The host that emulators are built for.
pub fn host() -> Host {
    of(row())
}

/// The host of a row.
pub fn of(row: &Architecture) -> Host {
    let number = row.machine.first().map_or(0, |machine| machine.number);
    Host { machine: Machine(number), class: row.class, data: row.data }
}

/// The name of a host's CPU, for messages.
pub fn name_of(host: Host) -> String {
    let row = BUILTIN.architectures().iter().find(|row| of(row) == host);
    row.map_or_else(|| format!("ELF machine {}", host.machine.0), |row| row.name.clone())
}

/// The name of the host that a program is for, for messages.
pub fn name(program: &Header) -> String {
    name_of(Host { machine: program.machine, class: program.class, data: program.data })
}

/// Whether this machine's kernel may run programs of `architecture` natively. Only a probe tells
/// whether it does.
pub fn may_be_native(architecture: &Architecture) -> bool {
    architecture.native_on.contains(&row().name)
}

/// The path of the emulator of `architecture`, as the interpreter will find it.
pub fn emulator(architecture: &Architecture) -> Option<&Path> {
    let found = installed(architecture);
    match found {
        Some(path) => log::info!("{}: emulator {}", architecture.name, show(path.as_os_str())),
        None => {
            let tried: Vec<&str> = architecture.emulator_paths().collect();
            log::info!("{}: no emulator: not at {}", architecture.name, tried.join(", "));
        }
    }
    found
}

/// The same path, for display.
pub fn installed(architecture: &Architecture) -> Option<&Path> {
    architecture.emulator_paths().map(Path::new).find(|path| path.is_file())
}

/// Whether the emulator of `architecture` may be installed at `path`, as the table says.
pub fn is_usual(architecture: &Architecture, path: &Path) -> bool {
    architecture.emulator_paths().any(|known| Path::new(known) == path)
}

/// Page size, in bytes.
pub fn page() -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    page.map_or(SMALLEST_PAGE, |page| page as u64)
}

/// The number of bits in the addresses of this process: its stack is at the end of them.
pub fn address_bits() -> u32 {
    let on_stack = 0u8;
    usize::BITS - (&raw const on_stack as usize).leading_zeros()
}

/// Random bits in the page numbers of mappings, unless configured otherwise (arch/x86/Kconfig,
/// `ARCH_MMAP_RND_BITS_MIN`; other CPUs have fewer, arch/Kconfig).
pub const MMAP_RND_BITS: u32 = 28;
/// The largest number that a kernel accepts (arch/arm64/Kconfig).
const MAX_MMAP_RND_BITS: u32 = 33;

/// The number of random bits on this host, if it is more; only root can read it.
pub fn mmap_rnd_bits() -> u32 {
    let setting = std::fs::read_to_string("/proc/sys/vm/mmap_rnd_bits").ok();
    let bits = setting.and_then(|setting| setting.trim().parse().ok());
    bits.filter(|bits| (MMAP_RND_BITS..=MAX_MMAP_RND_BITS).contains(bits)).unwrap_or(MMAP_RND_BITS)
}
