//! The stages between the kernel's hand-off and the hand-over to the emulator, as verbs:
//! [`identify`], [`choose`], [`find_emulator`], [`find_sysroot`], [`plan`]. The interpreter runs
//! them in `dispatch`, and the command when it runs or explains a program. The two differ in how
//! they read files, which a [`World`] abstracts.

use core::ffi::CStr;
use core::ops::Range;

use crate::bytes::Strings;
use crate::elf::{HeaderFault, PT_GNU_PROPERTY, PT_INTERP};
use crate::emulator_file::{self, EmulatorFile, Host};
use crate::handoff::Invocation;
use crate::image::{Embedded, Image};
use crate::plan::{self, Cpu, ENOENT, ENOTDIR, Plan};
use crate::table::{Argv0, Identity, Row, Strategy, Table};
use crate::{Guest, Refusal, bytes};

/// How much of a guest is read first, in bytes. In most programs this also holds the program
/// headers and the name of the dynamic linker.
pub const START: usize = 1024;
/// Most bytes of a guest that are read at once to decide what the row leaves open. Larger than any
/// program's header table; a dynamic linker's name is at most `PATH_MAX`, as in the kernel's own
/// loader; GNU properties take about 50 bytes.
pub const PART: usize = 4096;
/// A buffer for a part of a guest.
pub type Part = [u8; PART];

/// Access to files and to the caller's environment. Errors are errno values.
pub trait World {
    /// An open file.
    type File: Copy;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// As open(2).
    fn open(&mut self, path: &CStr) -> Result<Self::File, i32>;
    /// Reads into `buffer` at `offset` and returns the bytes read. The file's own offset does not
    /// change.
    ///
    /// # Errors
    /// As pread(2).
    fn read_at<'b>(&mut self, file: Self::File, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], i32>;
    /// The file's identity and length.
    ///
    /// # Errors
    /// As fstat(2).
    fn identity(&mut self, file: Self::File) -> Result<Identity, i32>;
    /// Looks for `path` below the directory `root`; an empty root stands for `/`.
    ///
    /// # Errors
    /// As faccessat(2).
    fn look_for(&mut self, root: &CStr, path: &CStr) -> Result<(), i32>;
    /// The path by which the kernel knows the file now, put into `buffer`; `None` if it cannot be
    /// learnt.
    fn path<'b>(&mut self, file: Self::File, buffer: &'b mut Part) -> Option<&'b [u8]>;
    /// Whether the caller's environment has the variable `name`.
    fn env_is_set(&mut self, name: &[u8]) -> bool;
}

/// The process that becomes the emulator.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// `AT_SECURE`: this exec gained privileges.
    pub secure: bool,
    /// The machine that emulators must be built for.
    pub host: Host,
    /// Page size, in bytes.
    pub page: u64,
}

/// The guest's file, with its header.
#[derive(Clone, Copy, Debug)]
pub struct GuestFile<'s, F> {
    /// The header.
    pub guest: Guest,
    /// The file.
    file: F,
    /// Its first bytes.
    start: &'s [u8],
}

/// The emulator, in the form that decides how the process becomes it.
#[derive(Clone, Copy, Debug)]
pub enum Emulator<'a, 'h, F> {
    /// Embedded in the image.
    Embedded(Embedded<'a>),
    /// Mapped from a file.
    Mapped {
        /// Its path.
        path: &'a CStr,
        /// The file.
        file: F,
        /// The checked ELF file.
        program: EmulatorFile<'h>,
    },
    /// Executed.
    Executed {
        /// Its path.
        path: &'a CStr,
        /// The file.
        file: F,
    },
}

impl<'a, F> Emulator<'a, '_, F> {
    /// Its path, or its name if the emulator is embedded.
    pub fn name(&self) -> &'a CStr {
        match *self {
            Emulator::Embedded(program) => program.name(),
            Emulator::Mapped { path, .. } | Emulator::Executed { path, .. } => path,
        }
    }
}

/// A buffer for the headers of an emulator.
pub type Head = [u8; emulator_file::HEAD];

/// Identifies the guest in the open file, and reads its first bytes into `start`. Security rule 3:
/// only this file is read for the guest.
///
/// # Errors
/// The file cannot be read, or its header is bad.
pub fn identify<'a, 's, W: World>(
    world: &mut W,
    file: W::File,
    start: &'s mut [u8; START],
) -> Result<GuestFile<'s, W::File>, Refusal<'a>> {
    let start = world.read_at(file, start, 0).map_err(failed("read the program", c""))?;
    GuestFile::of(file, start).map_err(Refusal::BadHeader)
}

impl<'s, F> GuestFile<'s, F> {
    /// The guest in `file`, which begins with the bytes `start`: [`START`] of them, or fewer if the
    /// file is shorter.
    ///
    /// # Errors
    /// Its header is bad.
    pub fn of(file: F, start: &'s [u8]) -> Result<Self, HeaderFault> {
        Ok(GuestFile { guest: Guest::identify(start)?, file, start })
    }

    /// Whether to answer questions. Only the interpreter does; the command takes one for an
    /// ordinary program.
    pub fn asks(&self) -> bool {
        Guest::asks(self.start)
    }
}

/// Chooses the row for the guest, by its header and, if the table has rows for directories, by its
/// path. `buffer` may receive the path.
///
/// # Errors
/// As [`Table::choose`].
#[inline(never)]
pub fn choose<'a, W: World>(
    world: &mut W,
    table: &Table<'a>,
    guest: &GuestFile<'_, W::File>,
    process: Process,
    buffer: &mut Part,
) -> Result<Row<'a>, Refusal<'a>> {
    let mut row = table.choose(&guest.guest)?;
    if !row.below().is_empty() {
        let path = world.path(guest.file, buffer).unwrap_or_default();
        table.fit_to_path(&mut row, path, process.secure)?;
    }
    Ok(row)
}

/// Finds the emulator of `row`, in the image or by its path. For an emulator by path, `row` is
/// changed to suit this file. `head` receives its headers.
///
/// # Errors
/// The row is disabled; or there is no emulator, or it cannot be used.
#[inline(never)]
pub fn find_emulator<'a, 'h, W: World>(
    world: &mut W,
    image: &Image<'a>,
    row: &mut Row<'a>,
    process: Process,
    head: &'h mut Head,
) -> Result<Emulator<'a, 'h, W::File>, Refusal<'a>> {
    if row.strategy() == Strategy::Disabled {
        return Err(Refusal::Disabled { machine: row.name(), by: row.paths().iter().next() });
    }
    if let Some(embedded) = image.emulator(row).map_err(Refusal::BadImage)? {
        return Ok(Emulator::Embedded(embedded));
    }
    // Security rule 1: a privileged guest's emulator comes from the image. A caller who gains
    // privileges may control what a path leads to.
    if process.secure {
        return Err(Refusal::Privileged { machine: row.name() });
    }
    let (path, file) = plan::first_emulator(row, |path| match world.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(ENOENT | ENOTDIR) => Ok(None),
        Err(errno) => Err(failed("open the emulator", path)(errno)),
    })?;
    let identity = world.identity(file).map_err(failed("examine the emulator", path))?;
    image.table.fit(row, identity)?;
    if row.strategy() == Strategy::Exec {
        return Ok(Emulator::Executed { path, file });
    }
    let head = world.read_at(file, head, 0).map_err(failed("read the emulator", path))?;
    match EmulatorFile::examine(head, identity.size, process.host, process.page) {
        Ok(program) => Ok(Emulator::Mapped { path, file, program }),
        Err(fault) if fault.needs_exec() => Ok(Emulator::Executed { path, file }),
        Err(fault) => Err(Refusal::BadEmulator { path, fault }),
    }
}

/// The row's sysroot for a dynamic guest whose dynamic linker is not at its path on the host. None
/// is needed for other guests, and none is chosen if the caller names one. If the guest's headers
/// are broken there is none either, and the emulator reports the fault. `buffer` may receive the
/// dynamic linker's path.
///
/// # Errors
/// QEMU would not find the dynamic linker.
pub fn find_sysroot<'a, 's, W: World>(
    world: &mut W,
    guest: &GuestFile<'s, W::File>,
    row: &Row<'a>,
    process: Process,
    buffer: &'s mut Part,
) -> Result<Option<&'a CStr>, Refusal<'s>> {
    // Security rule 1 again: a privileged guest finds its libraries at their own paths only, never
    // in a sysroot.
    if process.secure || row.sysroots().is_empty() {
        return Ok(None);
    }
    let Some(linker) = guest.linker(world, buffer) else { return Ok(None) };
    if world.env_is_set(plan::LD_PREFIX) {
        return Ok(None);
    }
    let sysroot = plan::choose_sysroot(row, linker, |root, path| world.look_for(root, path));
    // Other emulators may bring libraries of their own.
    if row.argv0() == Argv0::DashZero { sysroot } else { Ok(sysroot.unwrap_or(None)) }
}

/// Decides the emulator's arguments and environment.
#[inline(never)]
pub fn plan<'a, A: Copy, W: World>(
    world: &mut W,
    guest: &GuestFile<'_, W::File>,
    row: &Row<'a>,
    emulator: &Emulator<'a, '_, W::File>,
    process: Process,
    invocation: Invocation<A>,
    sysroot: Option<&'a CStr>,
) -> Plan<'a, A> {
    let (secure, argv0) = (process.secure, row.argv0());
    let plan = Plan {
        argv0,
        callers_argv0: !secure && argv0 == Argv0::DashZero && world.env_is_set(plan::ARGV0),
        cpu: guest.cpu(world, row, secure),
        options: row.options(),
        settings: row.environment(),
        emulator: emulator.name(),
        sysroot,
        secure,
        invocation,
    };
    if let Emulator::Executed { .. } = emulator { plan.by_exec() } else { plan }
}

/// Turns an errno into a refusal.
pub fn failed<'a>(doing: &'static str, subject: &'a CStr) -> impl Fn(i32) -> Refusal<'a> {
    move |errno| Refusal::SystemCall { doing, subject, errno }
}

impl<'s, F: Copy> GuestFile<'s, F> {
    /// The CPU model: the caller's if there is one, else the row's. The row's larger model is used
    /// if the guest says that it needs more than the usual one has.
    #[inline(never)]
    fn cpu<'a>(&self, world: &mut impl World<File = F>, row: &Row<'a>, secure: bool) -> Cpu<'a> {
        // Security rule 2 again: a variable that must not reach the emulator does not choose its
        // model either.
        if !secure && world.env_is_set(plan::CPU) {
            return Cpu::Caller;
        }
        let mut models = row.cpus().iter();
        let Some(usual) = models.next() else { return Cpu::Emulator };
        let Some(larger) = models.next() else { return Cpu::Table(usual) };
        let needs = self.needs(world, row).unwrap_or(0);
        Cpu::Table(if needs & row.lacks() == 0 { usual } else { larger })
    }

    /// The bits of the guest's property that the row looks at.
    fn needs(&self, world: &mut impl World<File = F>, row: &Row<'_>) -> Option<u32> {
        let mut buffer = [0; PART];
        let note = self.segment(world, PT_GNU_PROPERTY, &mut buffer)?;
        self.guest.property(note, row.property())
    }

    /// The path of its dynamic linker; `None` for a static guest, and if its headers are broken.
    fn linker<'b>(&self, world: &mut impl World<File = F>, buffer: &'b mut Part) -> Option<&'b CStr>
    where
        's: 'b,
    {
        Strings::new(self.segment(world, PT_INTERP, buffer)?)?.iter().next()
    }

    /// The bytes of the guest's first segment of `kind`, if they fit into `buffer`.
    fn segment<'b>(&self, world: &mut impl World<File = F>, kind: u32, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        's: 'b,
    {
        let headers = self.part(world, self.guest.program_headers(), buffer)?;
        let segment = self.guest.segment(headers, kind)?;
        self.part(world, segment, buffer)
    }

    /// The guest's bytes in `range`: from its first bytes, or else read into `buffer`.
    fn part<'b>(&self, world: &mut impl World<File = F>, range: Range<u64>, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        's: 'b,
    {
        let len = range.end.checked_sub(range.start)?;
        let buffer = buffer.get_mut(..usize::try_from(len).ok()?)?;
        match bytes::slice(self.start, range.start, len) {
            Some(near) => Some(near),
            None => world.read_at(self.file, buffer, range.start).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Class, Data, Machine};
    use crate::table::{Argv0, TABLE_MAGIC, Table};
    use std::vec::Vec;

    /// Records which files are looked for, and has none.
    struct Nothing(Vec<std::string::String>);

    impl World for Nothing {
        type File = ();

        fn open(&mut self, path: &CStr) -> Result<(), i32> {
            self.0.push(path.to_str().unwrap().into());
            Err(ENOENT)
        }

        fn read_at<'b>(&mut self, (): (), _: &'b mut [u8], _: u64) -> Result<&'b [u8], i32> {
            Err(ENOENT)
        }

        fn identity(&mut self, (): ()) -> Result<Identity, i32> {
            Err(ENOENT)
        }

        fn look_for(&mut self, _: &CStr, path: &CStr) -> Result<(), i32> {
            self.0.push(path.to_str().unwrap().into());
            Err(ENOENT)
        }

        fn path<'b>(&mut self, (): (), _: &'b mut Part) -> Option<&'b [u8]> {
            None
        }

        fn env_is_set(&mut self, _: &[u8]) -> bool {
            false
        }
    }

    #[test]
    fn for_a_disabled_row_no_path_is_even_tried() {
        let mut row = plan::tests::row_with(Argv0::DashZero, Strategy::Disabled);
        let none = [&TABLE_MAGIC[..], &[0; 4]].concat();
        let image = Image::without_programs(Table::read(&none).unwrap());
        let host = Host { machine: Machine(62), class: Class::Elf64, data: Data::Little };
        for secure in [true, false] {
            let process = Process { secure, host, page: 4096 };
            let (mut files, mut head) = (Nothing(Vec::new()), [0; emulator_file::HEAD]);
            let found = find_emulator(&mut files, &image, &mut row, process, &mut head);
            assert_eq!(found.err(), Some(Refusal::Disabled { machine: c"cpu", by: Some(c"/first") }));
            assert_eq!(files.0, [""; 0]);
        }
    }

    #[test]
    fn for_privileged_guests_no_path_is_even_tried() {
        let mut row = plan::tests::row(Argv0::DashZero);
        let none = [&TABLE_MAGIC[..], &[0; 4]].concat();
        let image = Image::without_programs(Table::read(&none).unwrap());
        let host = Host { machine: Machine(62), class: Class::Elf64, data: Data::Little };
        for (secure, refusal, tried) in [
            (true, Refusal::Privileged { machine: c"cpu" }, &[][..]),
            (false, Refusal::NoEmulator { machine: c"cpu", tried: Some(c"/first") }, &["/first", "/second"]),
        ] {
            let process = Process { secure, host, page: 4096 };
            let (mut files, mut head) = (Nothing(Vec::new()), [0; emulator_file::HEAD]);
            let found = find_emulator(&mut files, &image, &mut row, process, &mut head);
            assert_eq!(found.err(), Some(refusal));
            assert_eq!(files.0, tried);
        }
    }
}
