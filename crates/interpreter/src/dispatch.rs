//! The pipeline: from the kernel's input to the emulator, in one function.

use core::cell::Cell;
use core::convert::Infallible;
use core::ffi::CStr;

use dispatch_core::Refusal;
use dispatch_core::handoff::{self, Handoff, Invocation};
use dispatch_core::image::{COMMAND, Image, ImageFault, ImageHeader, SMALLEST_PAGE};
use dispatch_core::initial_stack::Change;
use dispatch_core::pipeline::{Emulator, Process, START, choose, failed, find_emulator, find_sysroot, identify, plan};
use dispatch_core::plan::{Argument, Plan, variable_name};
use dispatch_core::record::Field;
use dispatch_core::table::Row;

use crate::load::Loaded;
use crate::payload::{Payload, Remains, WholePayload};
use crate::stack::{ProgramStack, Stack};
use crate::sys::{Buffers, Description, Fd};
use crate::world::Live;
use crate::{cpu, load, message, sys};

/// The path of a privileged guest if the kernel's path cannot be read (no /proc). It is never a
/// program, and the caller cannot change it.
const UNKNOWN_PATH: &CStr = c"/";

/// A start of a guest: the input from the kernel.
struct Start<'s> {
    stack: &'s Stack,
    execfd: Fd,
    /// How the guest was called, and how many of the kernel's arguments describe that.
    called: Option<(Invocation<usize>, usize)>,
}

/// The end of a start in this process: it becomes another program, or there is a refusal.
type Never = Result<Infallible, Refusal<'static>>;

/// Becomes the guest's emulator, or the command. Returns only with a refusal.
pub fn main(stack: Option<&Stack>, payload: Payload, buffers: &'static mut Buffers) -> ! {
    let Some(stack) = stack else { message::refuse(None, &Refusal::BadStack) };
    let handoff = stack.handoff();
    // Only the kernel writes the auxiliary vector, so nothing that a caller controls decides this.
    let execfd = handoff.execfd();
    let begun = execfd.map(|execfd| Start::of(stack, Fd(execfd)));
    let called = begun.as_ref().and_then(|begun| begun.called);
    let guest = called.map(|(invocation, _)| stack.string(invocation.path));
    let start = &mut [0; START];
    let Err(refusal) = image(payload, handoff).and_then(|(image, payload)| match begun {
        // 6
        Some(begun) => begun.dispatch(&image, payload, buffers, start),
        None => command(stack, &image, payload),
    });
    message::refuse(guest, &refusal)
}

/// Becomes the command, which is program 0 of the image. Its stack is the kernel's, except for the
/// values in the auxiliary vector that describe the program.
fn command(stack: &Stack, image: &Image<'static>, payload: WholePayload) -> Never {
    let handoff = stack.handoff();
    let command = image.program(COMMAND).map_err(Refusal::BadImage)?;
    let (loaded, remains) =
        load::move_in(payload, image, &command, handoff.secure(), None).map_err(failed("start", command.name()))?;
    loaded.patch(None, false).write(handoff.auxv);
    let change = Change { front: &|_| {}, replaced: 0, keeps: &|_| true, settings: &|_, _| {} };
    let changed = stack.change(&change).ok_or(Refusal::BadImage(ImageFault::Corrupt))?;
    changed.enter(&loaded, remains)
}

/// The image in this file, checked to be complete, and the payload that it is in.
fn image(payload: Payload, handoff: &Handoff<'_>) -> Result<(Image<'static>, WholePayload), Refusal<'static>> {
    let page = handoff.aux(handoff::aux::PAGESZ).ok_or(Refusal::BadStack)? as u64;
    let mut payload = payload.whole().ok_or(Refusal::BadImage(ImageFault::CutShort))?;
    let header = ImageHeader::open(payload.first(ImageHeader::SIZE), cpu::HOST.machine).map_err(Refusal::BadImage)?;
    let meta = payload.first(header.meta_len() as usize);
    let image = Image::of(&header, meta, payload.len() as u64, page).map_err(Refusal::BadImage)?;
    Ok((image, payload))
}

/// `refusal`, unless the only fault of the emulator of `row` is that it is aligned to smaller pages
/// than those of this host.
fn about_pages<'s>(image: &Image<'_>, row: &Row<'_>, refusal: Refusal<'s>) -> Refusal<'s> {
    let mut smaller = *image;
    smaller.page = SMALLEST_PAGE;
    match refusal {
        Refusal::BadImage(ImageFault::Corrupt) if cpu::LARGEST_PAGE as u64 > SMALLEST_PAGE => {
            let fault = if smaller.emulator(row).is_ok() { ImageFault::Page } else { ImageFault::Corrupt };
            Refusal::BadImage(fault)
        }
        refusal => refusal,
    }
}

/// Most words between argv\[0\] and a script's path, and that path: the kernel follows five
/// interpreters (`exec_binprm` in fs/exec.c), each with one option.
const SCRIPT_WORDS: usize = 10;

impl<'s> Start<'s> {
    /// A start of the guest behind `execfd`.
    fn of(stack: &'s Stack, execfd: Fd) -> Self {
        let handoff = stack.handoff();
        let transparent = handoff.is_transparent();
        let argv0_kept = transparent || handoff.argv0_flag() || !sys::release(handoff::sets_argv0_flag);
        let mut called = handoff.invocation(argv0_kept);
        if let Some((invocation, _)) = called.as_mut().filter(|_| transparent && !handoff.secure()) {
            // If the guest is the interpreter of a script, AT_EXECFN is the script's path, which is
            // also an argument, behind argv[0], perhaps an option, and as much for each script that
            // is the interpreter of another. The kernel took argv[0] from a script then: it is the
            // guest's path.
            let script = stack.string(invocation.path);
            let mut arguments = handoff.argv.iter().skip(1).take(SCRIPT_WORDS);
            if arguments.any(|argument| stack.string(argument.get()) == script)
                && sys::leads_to(stack.string(invocation.argv0), execfd)
            {
                invocation.path = invocation.argv0;
            }
        }
        Start { stack, execfd, called }
    }

    /// The pipeline. The numbers are those of the security rules (SECURITY.md) that each stage
    /// implements. `start` receives the guest's first bytes.
    fn dispatch(
        &self,
        image: &Image<'static>,
        payload: WholePayload,
        buffers: &'static mut Buffers,
        start: &'s mut [u8; START],
    ) -> Result<Infallible, Refusal<'s>> {
        let handoff = self.stack.handoff();
        let process = Process { secure: handoff.secure(), host: cpu::HOST, page: image.page };
        let mut world = self.world(&mut buffers.path);
        let (invocation, replaced) = self.invocation(&mut world, process.secure)?; // 3
        let file = identify(&mut world, self.execfd, start)?; // 3, 5
        // The command asks which image an entry belongs to, by a file that is marked as a question.
        if file.asks() {
            return Err(Refusal::Question { image: image.identity() });
        }
        let mut row = choose(&mut world, &image.table, &file, process, &mut buffers.part)?; // 1, 7
        // An emulator by path fits the row to its version.
        let emulator = find_emulator(&mut world, image, &mut row, process, &mut buffers.head); // 1
        let emulator = emulator.map_err(|refusal| about_pages(image, &row, refusal))?;
        let sysroot = find_sysroot(&mut world, &file, &row, process, &mut buffers.part)?; // 1
        let plan = plan(&mut world, &file, &row, &emulator, process, invocation, sysroot); // 2, 4
        self.hand_over(image, payload, &plan, replaced, emulator)
    }

    /// Access to files and environment, with a buffer for a path.
    fn world(&self, path: &'static mut sys::Path) -> Live<'_> {
        Live { stack: self.stack, environment: self.stack.handoff().envp, path: Some(path) }
    }

    /// How the guest was called, with a path that the emulator may be given, and how many of the
    /// kernel's arguments describe that.
    fn invocation(&self, world: &mut Live<'_>, secure: bool) -> Result<(Invocation<usize>, usize), Refusal<'static>> {
        let (mut invocation, replaced) = self.called.ok_or(Refusal::NoPath)?;
        // Security rule 3: the emulator's /proc/self/exe is the path that it is given, and the
        // caller's path may name another file by now.
        if let Some(buffer) = world.path.take_if(|_| secure) {
            invocation.path = sys::path(self.execfd, buffer).unwrap_or(UNKNOWN_PATH).as_ptr() as usize;
        }
        Ok((invocation, replaced))
    }

    /// Becomes the emulator. Returns only with a refusal.
    fn hand_over(
        &self,
        image: &Image<'static>,
        payload: WholePayload,
        plan: &Plan<'static, usize>,
        replaced: usize,
        emulator: Emulator<'static, '_, Fd>,
    ) -> Never {
        let failed = failed("map the emulator", plan.emulator);
        let (loaded, remains) = match emulator {
            Emulator::Executed { file, .. } => return self.exec(plan, replaced, file),
            Emulator::Mapped { file, program, .. } => {
                let loaded = load::map(file, &program).map_err(failed)?;
                sys::close(file);
                (loaded, payload.remains(image, 0, false))
            }
            Emulator::Embedded(program) => {
                load::move_in(payload, image, &program, plan.secure, Some(self.stack.base())).map_err(failed)?
            }
        };
        self.enter(plan, replaced, &loaded, remains)
    }

    /// Becomes the emulator, which is mapped. There is no second exec, so the credentials, `comm`
    /// and the auxiliary vector stay as the kernel set them.
    #[inline(never)]
    fn enter(&self, plan: &Plan<'static, usize>, replaced: usize, loaded: &Loaded, remains: Remains) -> Never {
        // QEMU before 10 takes descriptor 0 for none, and would then open the guest by its path.
        let execfd = sys::above_stdio(self.execfd).map_err(failed("move the program's descriptor", c""))?;
        let mut description = self.description(plan, loaded);
        loaded.patch(Some(execfd.0 as usize), plan.argv0_flag()).write(self.stack.handoff().auxv);
        let changed = self.change(plan, replaced)?;
        description.start_stack = changed.sp() as usize;
        let (auxv, auxv_size) = changed.auxv();
        (description.auxv, description.auxv_size) = (auxv, auxv_size as u32);
        sys::describe(&description);
        changed.enter(loaded, remains)
    }

    /// Becomes the emulator by execve(2). The emulator opens the guest by its path, which works if
    /// the path still names the file that the kernel opened. This is harmless, because the exec
    /// gains no privileges.
    fn exec(&self, plan: &Plan<'static, usize>, replaced: usize, file: Fd) -> Never {
        let Plan { emulator, .. } = *plan;
        sys::close(file);
        if !sys::same_readable_file(self.execfd, self.stack.string(plan.invocation.path)) {
            return Err(Refusal::Unreadable { emulator });
        }
        sys::close(self.execfd);
        let errno = self.change(plan, replaced)?.exec(emulator);
        Err(failed("execute the emulator", emulator)(errno))
    }

    /// Makes the emulator's initial stack.
    fn change(&self, plan: &Plan<'static, usize>, replaced: usize) -> Result<ProgramStack, Refusal<'static>> {
        let bytes = |address| self.stack.string(address).to_bytes();
        let change = Change {
            front: &|push| {
                plan.argv(&mut |argument| {
                    push(match argument {
                        Argument::Added(string) => string.as_ptr() as usize,
                        Argument::Callers(address) => address,
                    });
                });
            },
            replaced,
            keeps: &|variable| plan.keeps(bytes(variable)),
            settings: &|callers, push| {
                let is_set = |name: &[u8]| callers.iter().any(|variable| variable_name(bytes(variable.get())) == name);
                plan.settings(&is_set, &mut |setting| push(setting.as_ptr() as usize));
            },
        };
        self.stack.change(&change).ok_or(Refusal::BadImage(ImageFault::Corrupt))
    }

    /// The contents of /proc after the hand-over: the emulator's memory, and the guest's own
    /// arguments, as for a native program.
    fn description(&self, plan: &Plan<'static, usize>, loaded: &Loaded) -> Description {
        let end =
            |strings: &[Cell<usize>], before| strings.last().map_or(before, |last| self.stack.string_end(last.get()));
        let arg_start = plan.invocation.argv0;
        let arg_end = end(self.stack.handoff().argv, arg_start);
        Description {
            arg_start,
            arg_end,
            env_start: arg_end,
            env_end: end(self.stack.handoff().envp, arg_end),
            start_code: loaded.code().0,
            end_code: loaded.code().1,
            start_data: loaded.data().0,
            end_data: loaded.data().1,
            ..Description::default()
        }
    }
}
