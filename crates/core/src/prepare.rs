//! Stages 2 to 4 in one: from an open guest to the plan. Both doors run this code; they differ in how files are read.

use core::ffi::CStr;
use core::ops::Range;

use crate::bytes::Strings;
use crate::elf::{PT_GNU_PROPERTY, PT_INTERP};
use crate::handoff::Invocation;
use crate::image::{Image, Resident};
use crate::plan::{self, Cpu, Plan};
use crate::program::{self, Host, Program};
use crate::table::{Argv0, Identity, Row, Strategy};
use crate::{Guest, Refusal, bytes};

/// How much of a guest is read at once, in bytes: in most programs this holds the program headers and the name of the
/// dynamic linker too.
const GUEST_HEAD: usize = 1024;
/// Most of a guest that is read at a time for what its row leaves open, in bytes: program headers, of which no program has as
/// many; a dynamic linker's name (PATH_MAX, as in the kernel's own loader); GNU properties, which have some 50.
const GUEST_PART: usize = 4096;

/// Errno of a file that is not there.
pub const ENOENT: i32 = 2;
/// Errno of a path through something that is no directory.
pub const ENOTDIR: i32 = 20;

/// The file system, as a door sees it. Errors are errno values.
pub trait Files {
    /// An open file.
    type File: Copy;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// As open(2).
    fn open(&mut self, path: &CStr) -> Result<Self::File, i32>;
    /// Reads what there is at `offset` into `buffer` and returns it; the file's own offset stays.
    ///
    /// # Errors
    /// As pread(2).
    fn read_at<'b>(&mut self, file: Self::File, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], i32>;
    /// Which file it is, and its length.
    ///
    /// # Errors
    /// As fstat(2).
    fn identity(&mut self, file: Self::File) -> Result<Identity, i32>;
    /// Whether `path` exists below the directory `root`; an empty root stands for `/`.
    fn exists(&mut self, root: &CStr, path: &CStr) -> bool;
    /// Whether the caller has set the environment variable `name`.
    fn is_set(&mut self, name: &[u8]) -> bool;
}

/// What a door knows of one exec.
#[derive(Clone, Copy, Debug)]
pub struct Request<A, F> {
    /// The guest.
    pub guest: F,
    /// How it was called.
    pub invocation: Invocation<A>,
    /// AT_SECURE.
    pub secure: bool,
    /// What emulators have to fit.
    pub host: Host,
    /// Page size, in bytes.
    pub page: u64,
}

/// A plan with what is needed to carry it out.
#[derive(Clone, Copy, Debug)]
pub struct Prepared<'a, 'h, A, F> {
    /// What is about to be done.
    pub plan: Plan<'a, A>,
    /// The emulator.
    pub emulator: Emulator<'a, 'h, F>,
}

/// Where the emulator comes from, and so how the process becomes it.
#[derive(Clone, Copy, Debug)]
pub enum Emulator<'a, 'h, F> {
    /// Out of the image.
    Inside(Resident<'a>),
    /// Mapped from this file.
    Mapped(F, Program<'h>),
    /// Executed; this is its file.
    Executed(F),
}

/// Room for the headers of an emulator.
pub type Head = [u8; program::HEAD];

/// Makes the plan for one guest. `head` receives the emulator's headers.
///
/// # Errors
/// Why the guest is not run.
#[inline(never)]
pub fn prepare<'a, 'h, A: Copy, F: Files>(
    files: &mut F,
    image: &Image<'a>,
    request: Request<A, F::File>,
    head: &'h mut Head,
) -> Result<Prepared<'a, 'h, A, F::File>, Refusal<'a>> {
    let Request { guest: file, invocation, secure, .. } = request;
    let mut start = [0; GUEST_HEAD];
    let start = files.read_at(file, &mut start, 0).map_err(failed("read the program", c""))?;
    if Guest::asks(start) {
        return Err(Refusal::Question { image: image.identity() });
    }
    let guest = Guest::identify(start).map_err(Refusal::BadHeader)?;
    let mut row = image.table.choose(&guest)?;

    let (name, emulator) = match image.emulator(&row).map_err(Refusal::BadImage)? {
        Some(resident) => (resident.name, Emulator::Inside(resident)),
        None => outside(files, image, &mut row, &request, head)?,
    };
    let strategy = if let Emulator::Executed(_) = emulator { Strategy::Exec } else { Strategy::Map };
    let mut look = Look { files, row: &row, guest: &guest, file, start };
    let cpu = look.cpu(secure);
    // Security rule 1 again: a privileged guest's libraries are where it says, or nowhere.
    let sysroot = if secure { None } else { look.sysroot() };
    let Row { argv0, options, environment: settings, .. } = row;
    let callers_argv0 = !secure && argv0 == Argv0::DashZero && look.files.is_set(plan::ARGV0);
    let plan =
        Plan { argv0, callers_argv0, cpu, options, settings, emulator: name, strategy, sysroot, secure, invocation };
    Ok(Prepared { plan, emulator })
}

/// The row's emulator, by path; the row becomes that for this very file.
#[inline(never)]
fn outside<'a, 'h, A, F: Files>(
    files: &mut F,
    image: &Image<'a>,
    row: &mut Row<'a>,
    request: &Request<A, F::File>,
    head: &'h mut Head,
) -> Result<(&'a CStr, Emulator<'a, 'h, F::File>), Refusal<'a>> {
    // Security rule 1: what runs with privileges comes from the image. Who gains them may control what a path leads to.
    if request.secure {
        return Err(Refusal::Privileged { machine: row.name });
    }
    let (path, file) = plan::find_emulator(row, |path| match files.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(ENOENT | ENOTDIR) => Ok(None),
        Err(errno) => Err(failed("open the emulator", path)(errno)),
    })?;
    let identity = files.identity(file).map_err(failed("examine the emulator", path))?;
    image.table.fit(row, identity)?;
    if row.strategy == Strategy::Exec {
        return Ok((path, Emulator::Executed(file)));
    }
    let head = files.read_at(file, head, 0).map_err(failed("read the emulator", path))?;
    match Program::examine(head, identity.size, request.host, request.page) {
        Ok(program) => Ok((path, Emulator::Mapped(file, program))),
        Err(fault) if fault.needs_exec() => Ok((path, Emulator::Executed(file))),
        Err(fault) => Err(Refusal::BadEmulator { path, fault }),
    }
}

/// Turns an errno into a refusal.
pub fn failed<'a>(doing: &'static str, subject: &'a CStr) -> impl Fn(i32) -> Refusal<'a> {
    move |errno| Refusal::System { doing, subject, errno }
}

/// A closer look at the guest, for what its row leaves open.
struct Look<'l, 'a, F: Files> {
    files: &'l mut F,
    row: &'l Row<'a>,
    guest: &'l Guest,
    file: F::File,
    /// Its first bytes.
    start: &'l [u8],
}

impl<'l, 'a, F: Files> Look<'l, 'a, F> {
    /// The CPU model: the caller's, or of the row's the larger one if the guest says that it needs more than the usual one
    /// has.
    #[inline(never)]
    fn cpu(&mut self, secure: bool) -> Cpu<'a> {
        // Security rule 2 again: what may not reach the emulator chooses nothing here either.
        if !secure && self.files.is_set(plan::CPU) {
            return Cpu::Caller;
        }
        let mut models = self.row.cpus.iter();
        let Some(usual) = models.next() else { return Cpu::Emulator };
        let Some(larger) = models.next() else { return Cpu::Table(usual) };
        let needs = self.needs().unwrap_or(0);
        Cpu::Table(if needs & self.row.lacks == 0 { usual } else { larger })
    }

    /// The bits of the guest's property that the row looks at.
    fn needs(&mut self) -> Option<u32> {
        let mut buffer = [0; GUEST_PART];
        let note = self.segment(PT_GNU_PROPERTY, &mut buffer)?;
        self.guest.property(note, self.row.property)
    }

    /// The row's sysroot for a dynamic guest whose dynamic linker is not where it says. Where the guest's headers cannot
    /// be followed there is none, and the emulator will say why.
    #[inline(never)]
    fn sysroot(&mut self) -> Option<&'a CStr> {
        if self.row.sysroots.is_empty() {
            return None;
        }
        let mut buffer = [0; GUEST_PART];
        let linker = Strings::new(self.segment(PT_INTERP, &mut buffer)?)?.iter().next()?;
        if self.files.is_set(plan::LD_PREFIX) {
            return None;
        }
        plan::choose_sysroot(self.row, linker, |root, path| self.files.exists(root, path))
    }

    /// The bytes of the guest's first segment of `kind`, if they fit into `buffer`.
    #[inline(never)]
    fn segment<'b>(&mut self, kind: u32, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        'l: 'b,
    {
        let headers = self.part(self.guest.program_headers(), buffer)?;
        let segment = self.guest.segment(headers, kind)?;
        self.part(segment, buffer)
    }

    /// The guest's bytes in `range`: out of its start, or else read into `buffer`.
    fn part<'b>(&mut self, range: Range<u64>, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        'l: 'b,
    {
        let len = range.end.checked_sub(range.start)?;
        let buffer = buffer.get_mut(..usize::try_from(len).ok()?)?;
        match bytes::slice(self.start, range.start, len) {
            Some(near) => Some(near),
            None => self.files.read_at(self.file, buffer, range.start).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Class, Data, Machine};
    use crate::table::{Argv0, TABLE_MAGIC, Table};
    use std::vec::Vec;

    /// Notes which files are looked for, and has none.
    struct Nothing(Vec<std::string::String>);

    impl Files for Nothing {
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

        fn exists(&mut self, _: &CStr, path: &CStr) -> bool {
            self.0.push(path.to_str().unwrap().into());
            false
        }

        fn is_set(&mut self, _: &[u8]) -> bool {
            false
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
            let invocation = Invocation { path: &b"guest"[..], argv0: b"guest" };
            let request = Request { guest: (), invocation, secure, host, page: 4096 };
            let (mut files, mut head) = (Nothing(Vec::new()), [0; program::HEAD]);
            assert_eq!(outside(&mut files, &image, &mut row, &request, &mut head).err(), Some(refusal));
            assert_eq!(files.0, tried);
        }
    }
}
