//! `Handoff`: the stack as the kernel leaves it after execve(2).
//!
//! Layout, in machine words from the stack pointer up (`fs/binfmt_elf.c`, `create_elf_tables`;
//! x86-64 psABI 3.4.1):
//!
//! ```text
//! argc | argv[0] … argv[argc-1] | 0 | envp[0] … | 0 | (a_type, a_val) … | AT_NULL, 0
//! ```
//!
//! Strings are addresses here, and only the interpreter may follow them. This stage can therefore
//! be tested with invented addresses. The words are cells because the emulator's stack is built
//! from them in place ([`crate::initial_stack`]).

use core::cell::Cell;

/// `a_type` values (uapi/linux/auxvec.h).
pub mod aux {
    /// End of the vector.
    pub const NULL: usize = 0;
    /// Descriptor of the program (`binfmt_misc` flag O).
    pub const EXECFD: usize = 2;
    /// Address of the program headers.
    pub const PHDR: usize = 3;
    /// Number of program headers.
    pub const PHNUM: usize = 5;
    /// Page size, in bytes.
    pub const PAGESZ: usize = 6;
    /// Base address of the dynamic linker.
    pub const BASE: usize = 7;
    /// Bit 0: argv holds the original argv\[0\] (flag P, since Linux 5.12). Bit 1: argv is
    /// untouched (flag T, since Linux 7.3).
    pub const FLAGS: usize = 8;
    /// Entry point of the program.
    pub const ENTRY: usize = 9;
    /// Non-zero if the exec gained privileges.
    pub const SECURE: usize = 23;
    /// Address of the path that was executed.
    pub const EXECFN: usize = 31;
}

/// `AT_FLAGS_PRESERVE_ARGV0` (uapi/linux/binfmts.h).
pub const PRESERVE_ARGV0: usize = 1;
/// `AT_FLAGS_TRANSPARENT_INTERP` (uapi/linux/binfmts.h).
pub const TRANSPARENT: usize = 2;

/// The parts of the kernel's initial stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff<'a> {
    /// Addresses of the arguments.
    pub argv: &'a [Cell<usize>],
    /// Addresses of the environment strings.
    pub envp: &'a [Cell<usize>],
    /// The auxiliary vector as alternating types and values, without `AT_NULL`.
    pub auxv: &'a [Cell<usize>],
}

impl<'a> Handoff<'a> {
    /// Splits `words` into its parts. They begin at argc and may continue past `AT_NULL`. `None` if
    /// this is no stack that a kernel writes.
    pub fn read(words: &'a [Cell<usize>]) -> Option<Self> {
        let zero =
            |words: &'a [Cell<usize>]| words.split_first().filter(|(word, _)| word.get() == 0).map(|(_, rest)| rest);
        let (argc, rest) = words.split_first()?;
        let (argv, rest) = rest.split_at_checked(argc.get())?;
        let rest = zero(rest)?;
        let (envp, rest) = rest.split_at_checked(rest.iter().position(|word| word.get() == 0)?)?;
        let rest = zero(rest)?;
        let pairs = rest.chunks_exact(2).position(|pair| pair.first().is_some_and(|kind| kind.get() == aux::NULL))?;
        let auxv = rest.get(..pairs.checked_mul(2)?)?;
        Some(Handoff { argv, envp, auxv })
    }

    /// The value of the auxiliary vector's entry `kind`.
    pub fn aux(&self, kind: usize) -> Option<usize> {
        self.auxv.chunks_exact(2).find_map(|pair| match pair {
            [found, value] if found.get() == kind => Some(value.get()),
            _ => None,
        })
    }

    /// `AT_EXECFD`: the guest, opened by the kernel. Without it, a person started the program.
    pub fn execfd(&self) -> Option<i32> {
        self.aux(aux::EXECFD).and_then(|fd| i32::try_from(fd).ok())
    }

    /// `AT_SECURE`. If the vector lacks it, the guest counts as privileged; kernels since 2.6
    /// always write it.
    pub fn secure(&self) -> bool {
        self.aux(aux::SECURE) != Some(0)
    }

    /// Whether `AT_FLAGS` says that argv holds the original argv\[0\].
    pub fn argv0_flag(&self) -> bool {
        self.has(PRESERVE_ARGV0)
    }

    /// Whether `AT_FLAGS` says that argv is the guest's own.
    pub fn is_transparent(&self) -> bool {
        self.has(TRANSPARENT)
    }

    fn has(&self, flag: usize) -> bool {
        self.aux(aux::FLAGS).unwrap_or(0) & flag != 0
    }

    /// The guest's path and argv\[0\], and the number of arguments in front of the guest's own.
    /// With flag T `binfmt_misc` leaves argv as it is, and the path is that of `AT_EXECFN`. With
    /// flag P (`argv0_kept`) it passes `[interpreter, path, argv0, args…]`, with neither
    /// `[interpreter, path, args…]`. The path takes the place of argv\[0\] without these flags, and
    /// if the caller's argv is empty, which Linux passes on before 5.18 (dcd46d897adb).
    pub fn invocation(&self, argv0_kept: bool) -> Option<(Invocation<usize>, usize)> {
        match self.argv {
            argv if self.is_transparent() => {
                let path = self.aux(aux::EXECFN)?;
                let argv0 = argv.first().map_or(path, Cell::get);
                Some((Invocation { path, argv0 }, argv.len().min(1)))
            }
            [_, path, argv0, ..] if argv0_kept => Some((Invocation { path: path.get(), argv0: argv0.get() }, 3)),
            [_, path, rest @ ..] if !argv0_kept || rest.is_empty() => {
                Some((Invocation { path: path.get(), argv0: path.get() }, 2))
            }
            _ => None,
        }
    }
}

/// How the guest was called, without its arguments. `A` is a string: an address in the interpreter,
/// bytes in the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation<A> {
    /// The path as the caller passed it to execve(2).
    pub path: A,
    /// argv\[0\] as the caller passed it.
    pub argv0: A,
}

/// Whether a kernel of this release (`uname -r`) sets `AT_FLAGS` bit 0 for entries with flag P.
/// Kernels do since 5.12, commit 2347961b11d4. A release that cannot be read counts as new.
pub fn sets_argv0_flag(release: &[u8]) -> bool {
    is_since(release, (5, 12))
}

/// Whether a kernel of this release (`uname -r`) is the `first` or newer. A release that cannot be
/// read counts as new.
pub fn is_since(release: &[u8], first: (u32, u32)) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits
            .iter()
            .fold(0u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0'))))
    });
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if major != 0 => (major, minor) >= first,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: [usize; 14] = [2, 0x10, 0x20, 0, 0x30, 0, aux::EXECFD, 3, aux::SECURE, 0, aux::FLAGS, 1, 0, 0];

    fn cells<const N: usize>(words: [usize; N]) -> [Cell<usize>; N] {
        words.map(Cell::new)
    }

    #[test]
    fn the_parts_are_told_apart() {
        let stack = cells(STACK);
        let handoff = Handoff::read(&stack).unwrap();
        assert_eq!(handoff.argv, cells([0x10, 0x20]));
        assert_eq!(handoff.envp, cells([0x30]));
        assert_eq!(handoff.execfd(), Some(3));
        assert!(!handoff.secure());
        assert!(handoff.argv0_flag());
        assert_eq!(handoff.aux(aux::ENTRY), None);
    }

    #[test]
    fn a_stack_cut_short_anywhere_is_refused() {
        let stack = cells(STACK);
        for len in 0..STACK.len() - 1 {
            assert_eq!(Handoff::read(&stack[..len]), None, "{len} words");
        }
    }

    #[test]
    fn without_at_secure_the_exec_counts_as_privileged() {
        assert!(Handoff::read(&cells([0, 0, 0, 0, 0])).unwrap().secure());
    }

    #[test]
    fn arguments_follow_the_p_flag() {
        let argv = cells([1, 2, 3, 4]);
        let handoff = |len| Handoff { argv: &argv[..len], envp: &[], auxv: &[] };
        assert_eq!(handoff(4).invocation(true), Some((Invocation { path: 2, argv0: 3 }, 3)));
        assert_eq!(handoff(4).invocation(false), Some((Invocation { path: 2, argv0: 2 }, 2)));
        assert_eq!(handoff(2).invocation(true), Some((Invocation { path: 2, argv0: 2 }, 2)));
        assert_eq!(handoff(2).invocation(false), Some((Invocation { path: 2, argv0: 2 }, 2)));
        assert_eq!(handoff(1).invocation(true), None);
    }

    #[test]
    fn with_flag_t_argv_is_the_guests_own() {
        let (argv, auxv) = (cells([1, 2, 3]), cells([aux::FLAGS, TRANSPARENT, aux::EXECFN, 9]));
        let handoff = |len| Handoff { argv: &argv[..len], envp: &[], auxv: &auxv };
        for kept in [false, true] {
            assert_eq!(handoff(3).invocation(kept), Some((Invocation { path: 9, argv0: 1 }, 1)));
            assert_eq!(handoff(0).invocation(kept), Some((Invocation { path: 9, argv0: 9 }, 0)));
        }
        let without_path = Handoff { argv: &argv, envp: &[], auxv: &auxv[..2] };
        assert_eq!(without_path.invocation(true), None);
    }

    #[test]
    fn kernels_since_5_12_set_the_flag() {
        for (release, sets) in [
            (&b"5.11.22-generic"[..], false),
            (b"4.19.0-26-amd64", false),
            (b"5.4.0", false),
            (b"5.12.0", true),
            (b"5.12-rc1", true),
            (b"6.1.0-18-amd64", true),
            (b"10.0", true),
            (b"", true),
            (b"odd", true),
        ] {
            assert_eq!(sets_argv0_flag(release), sets, "{}", release.escape_ascii());
        }
    }
}
