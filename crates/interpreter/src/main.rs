//! What the kernel starts for a foreign program: the first door of binfmt-dispatch.
//!
//! No `std` and no libc: their start-up costs as much as the emulator's own, and leaves traces that the guest would
//! inherit (signal dispositions, an rseq area, descriptors, an edited environment).
//!
//! `dispatch` is the pipeline; it tells the whole story.
#![no_std]
#![no_main]

mod cpu;
mod line;
mod load;
mod stack;
mod start;
mod sys;

use core::convert::Infallible;

use dispatch_core::block::{Contents, Patch};
use dispatch_core::image::Image;
use dispatch_core::plan::{self, Plan};
use dispatch_core::prepare::{Prepared, Request, failed, prepare};
use dispatch_core::program::{self, Program};
use dispatch_core::refusal::EXIT_USAGE;
use dispatch_core::{Handoff, Refusal, handoff};

use crate::stack::{Block, Stack};
use crate::sys::{Description, Fd};

/// What the kernel gave us, read from the stack.
struct Start {
    stack: Stack,
    handoff: Handoff<'static>,
    execfd: Fd,
}

type Never = Result<Infallible, Refusal<'static>>;

/// Decides between the doors; what comes back from the kernel's is a refusal.
fn main(stack: Stack) -> ! {
    let Some(handoff) = Handoff::read(stack.words()) else { line::refuse(None, &Refusal::BadStack) };
    // Only the kernel writes the auxiliary vector: nothing that a caller controls chooses the door.
    let Some(execfd) = handoff.execfd() else {
        line::say("this file is for the kernel to start: use the command binfmt-dispatch, or register it with flag O");
        sys::exit(EXIT_USAGE);
    };
    let start = Start { stack, handoff, execfd: Fd(execfd) };
    let Err(refusal) = start.dispatch();
    let guest = start.handoff.argv.get(1).map(|&path| start.stack.string(path));
    line::refuse(guest, &refusal)
}

impl Start {
    /// The pipeline: handoff, guest, emulator, plan, hand-over.
    fn dispatch(&self) -> Never {
        let Start { stack, handoff, execfd } = self;
        let argv0_kept = handoff.argv0_flag() || !sys::release(handoff::sets_argv0_flag);
        let invocation = handoff.invocation(argv0_kept).ok_or(Refusal::NoPath)?;
        let image = Image::read(stack.payload(), cpu::HOST.machine).map_err(Refusal::BadImage)?;
        let page = handoff.aux(handoff::aux::PAGESZ).ok_or(Refusal::NoAux(handoff::aux::PAGESZ))?;
        let sysroot_chosen = stack.names(handoff.envp).any(|name| name == plan::LD_PREFIX);

        let request = Request {
            guest: *execfd,
            invocation,
            secure: handoff.secure(),
            sysroot_chosen,
            host: cpu::HOST,
            page: page as u64,
        };
        let mut head = [0; program::HEAD];
        let Prepared { plan, file, program } = prepare(&mut sys::Kernel, &image.table, request, &mut head)?;
        match program {
            Some(program) => self.map(&plan, file, &program),
            None => self.exec(&plan, file),
        }
    }

    /// Becomes the emulator by mapping it: no second exec, so what the kernel did about credentials, `comm` and the
    /// auxiliary vector stands.
    fn map(&self, plan: &Plan<'static, usize>, file: Fd, program: &Program<'_>) -> Never {
        // QEMU before 10 takes descriptor 0 for none, and would open the guest by its path instead.
        let execfd = sys::above_stdio(self.execfd).map_err(failed("move the program's descriptor", c""))?;
        let loaded = load::map(file, program).map_err(failed("map the emulator", plan.emulator))?;
        sys::close(file);
        let patch = Patch {
            phdr: loaded.address(program.phdr),
            phent: program.phent.into(),
            phnum: program.phnum.into(),
            entry: loaded.address(program.entry),
            execfd: execfd.0 as usize,
            argv0_flag: plan.argv0_flag(),
        };
        self.with_block(plan, patch, |block| {
            sys::describe(&self.description(plan, &block, loaded.description(program)));
            loaded.enter(&block, program)
        })
    }

    /// Becomes the emulator by execve(2), which opens the guest by its path: possible when that still names the file
    /// which the kernel opened, and harmless since nothing is gained by this exec.
    fn exec(&self, plan: &Plan<'static, usize>, file: Fd) -> Never {
        let Plan { emulator, .. } = *plan;
        sys::close(file);
        if !sys::same_readable_file(self.execfd, self.stack.string(plan.invocation.path)) {
            return Err(Refusal::Unreadable { emulator });
        }
        sys::close(self.execfd);
        let patch = Patch { phdr: 0, phent: 0, phnum: 0, entry: 0, execfd: 0, argv0_flag: false };
        self.with_block(plan, patch, |block| {
            let refusal = failed("execute the emulator", emulator)(block.exec(emulator));
            line::refuse(Some(self.stack.string(plan.invocation.path)), &refusal)
        })
    }

    /// Builds the emulator's initial stack, and goes on below it.
    fn with_block(&self, plan: &Plan<'static, usize>, patch: Patch, then: impl FnOnce(Block) -> Infallible) -> ! {
        let read = |address| self.stack.string(address).to_bytes();
        stack::with_block(&Contents { plan, handoff: &self.handoff, patch, read: &read }, then)
    }

    /// What /proc shall show: the emulator's memory, and the guest's own arguments as for a native program.
    fn description(&self, plan: &Plan<'static, usize>, block: &Block, memory: Description) -> Description {
        let end = |strings: &[usize], before| strings.last().map_or(before, |&last| self.stack.string_end(last));
        let arg_start = plan.invocation.argv0;
        let arg_end = end(self.handoff.argv, arg_start);
        let (auxv, auxv_size) = block.auxv(self.handoff.auxv.len());
        Description {
            start_stack: block.sp as usize,
            arg_start,
            arg_end,
            env_start: arg_end,
            env_end: end(self.handoff.envp, arg_end),
            auxv,
            auxv_size: auxv_size as u32,
            ..memory
        }
    }
}
