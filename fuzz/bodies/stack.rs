//! The initial stack. Any words are parsed or refused. From any arguments, environment and
//! auxiliary vector comes a block that equals the one of a simple model.

use std::cell::Cell;
use std::ffi::CStr;

use dispatch_core::Handoff;
use dispatch_core::bytes::Strings;
use dispatch_core::handoff::aux;
use dispatch_core::initial_stack::{Change, Patch, SPARE};
use dispatch_core::plan::{Argument, Cpu, Plan, WITH_CALLERS_CPU, variable_name};
use dispatch_core::table::{Argv0, Strategy};

/// The first address of the caller's strings. Each has its own address, one after the other.
const CALLERS: usize = 0x1000;
/// The address of the path that was executed.
const EXECUTED: usize = 0x2000_0000;
/// The first address of the strings of the table and the plan. Each gets one when it is first seen.
const OURS: usize = 0x7fff_0000;
const OPTIONS: [&[u8]; 3] = [b"", b"-cpu\0max\0", b"-E\0\0--\0"];
const SETTINGS: [&[u8]; 3] = [b"", b"QEMU_CPU=max\0", b"A=1\0QEMU_A=2\0A\0=\0"];
const CPUS: [Cpu; 3] = [Cpu::Emulator, Cpu::Table(c"max"), Cpu::Caller];
const SYSROOTS: [Option<&CStr>; 2] = [None, Some(c"/usr/other")];
const CONVENTIONS: [Argv0; 3] = [Argv0::DashZero, Argv0::Auxv, Argv0::None];
const STRATEGIES: [Strategy; 2] = [Strategy::Map, Strategy::Exec];

/// Returns whether a guest would be started.
pub fn run(bytes: &[u8]) -> bool {
    let words = |bytes: &[u8]| -> Vec<usize> {
        bytes.chunks_exact(8).map(|word| usize::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
    };
    // The input as words, and with the numbers that a fuzzer finds more easily.
    for words in [words(bytes), bytes.iter().map(|byte| usize::from(*byte)).collect()] {
        let cells = cells(&words);
        if let Some(Handoff { argv, envp, auxv }) = Handoff::read(&cells) {
            assert_eq!(argv.len(), words[0]);
            let all = [&words[..1], &numbers(argv), &[0], &numbers(envp), &[0], &numbers(auxv), &[aux::NULL]].concat();
            assert_eq!(all, words[..all.len()]);
        }
    }
    Scene::read(bytes).play()
}

fn cells(words: &[usize]) -> Vec<Cell<usize>> {
    words.iter().copied().map(Cell::new).collect()
}

fn numbers(cells: &[Cell<usize>]) -> Vec<usize> {
    cells.iter().map(Cell::get).collect()
}

/// The meaning of an input. Each line is one item; its first letter is the kind.
#[derive(Debug, Default)]
struct Scene {
    /// `a`: arguments as the kernel passes them on.
    argv: Vec<Vec<u8>>,
    /// `e`: variables.
    envp: Vec<Vec<u8>>,
    /// `x`: entries of the auxiliary vector: a byte for the type, and the value, little-endian.
    auxv: Vec<usize>,
    /// `c`: a number that chooses among the possible values of a row.
    choice: usize,
}

impl Scene {
    fn read(bytes: &[u8]) -> Self {
        let mut scene = Scene::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let text = |rest: &[u8]| rest.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            match line {
                [b'a', rest @ ..] => scene.argv.push(text(rest)),
                [b'e', rest @ ..] => scene.envp.push(text(rest)),
                // A type of 0 would end the vector.
                [b'x', kind, rest @ ..] if *kind != 0 => {
                    let value = rest.iter().take(8).rev().fold(0, |value, byte| value << 8 | usize::from(*byte));
                    let kind = usize::from(*kind);
                    scene.auxv.extend([kind, if kind == aux::EXECFN { EXECUTED } else { value }]);
                }
                [b'c', choice, ..] => scene.choice = usize::from(*choice),
                _ => {}
            }
        }
        scene
    }

    fn string(&self, address: usize) -> &[u8] {
        if address == EXECUTED {
            return b"/executed";
        }
        self.argv.iter().chain(&self.envp).nth(address - CALLERS).expect("an address of a string")
    }

    fn play(&self) -> bool {
        let (argc, envc) = (self.argv.len(), self.envp.len());
        let argv: Vec<usize> = (CALLERS..CALLERS + argc).collect();
        let envp: Vec<usize> = (CALLERS + argc..CALLERS + argc + envc).collect();
        let kernels = [&[argc], &argv[..], &[0], &envp, &[0], &self.auxv, &[aux::NULL, 0]].concat();
        let mut pick = self.choice;
        let mut choose = |count: usize| {
            let chosen = pick % count;
            pick /= count;
            chosen
        };
        let list = |bytes| Strings::new(bytes).expect("each ends with NUL");
        let (options, settings) = (list(OPTIONS[choose(3)]), list(SETTINGS[choose(3)]));
        let (sysroot, argv0, strategy) = (SYSROOTS[choose(2)], CONVENTIONS[choose(3)], STRATEGIES[choose(2)]);
        let (cpu, callers_argv0, odd) = (CPUS[choose(3)], choose(2) == 1, choose(2));
        // The words below a stack pointer that is a multiple of 16, or, as with no kernel, is not.
        let words = cells(&[&vec![usize::MAX; SPARE + odd][..], &kernels].concat());
        let handoff = Handoff::read(&words[SPARE + odd..]).expect("as a kernel writes it");
        assert_eq!((numbers(handoff.argv), numbers(handoff.envp)), (argv, envp));
        let Some((invocation, replaced)) = handoff.invocation(handoff.argv0_flag()) else {
            assert!(argc < 2 || handoff.is_transparent(), "{self:?}");
            return false;
        };
        let secure = handoff.secure();
        let plan =
            Plan { argv0, callers_argv0, cpu, options, settings, emulator: c"/emulator", sysroot, secure, invocation };
        let plan = if strategy == Strategy::Exec { plan.by_exec() } else { plan };
        let expected = self.model(&plan, strategy, &self.argv[replaced..]);
        let patch = Patch { phdr: 1, phnum: 2, entry: 3, execfd: Some(4), argv0_flag: plan.argv0_flag() };
        patch.write(handoff.auxv);
        self.check(&plan, (&words, SPARE + odd, &handoff, replaced), &expected);
        true
    }

    /// The expected argv and environment.
    fn model(
        &self,
        plan: &Plan<'static, usize>,
        strategy: Strategy,
        arguments: &[Vec<u8>],
    ) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let texts = |strings: Strings<'_>| strings.iter().map(|text| text.to_bytes().to_vec()).collect::<Vec<_>>();
        let callers = |address: usize| self.string(address).to_vec();
        let hint = plan.cpu == Cpu::Caller && plan.argv0 == Argv0::DashZero;
        let mut argv = vec![if hint { WITH_CALLERS_CPU.to_bytes().to_vec() } else { b"/emulator".to_vec() }];
        if let Cpu::Table(model) = plan.cpu {
            argv.extend([b"-cpu".to_vec(), model.to_bytes().to_vec()]);
        }
        argv.extend(texts(plan.options));
        argv.extend(plan.sysroot.iter().flat_map(|root| [b"-L".to_vec(), root.to_bytes().to_vec()]));
        if plan.argv0 == Argv0::DashZero && !plan.callers_argv0 {
            argv.extend([b"-0".to_vec(), callers(plan.invocation.argv0)]);
        }
        argv.extend([b"--".to_vec(), callers(plan.invocation.path)]);
        if plan.argv0 == Argv0::Auxv && strategy == Strategy::Map {
            argv.push(callers(plan.invocation.argv0));
        }
        argv.extend(arguments.iter().cloned());

        let mut kept = self.envp.clone();
        kept.retain(|variable| !(plan.secure && variable.starts_with(b"QEMU_")));
        let name = |variable: &[u8]| variable.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let set: Vec<_> = kept.iter().map(|variable| name(variable)).collect();
        let mut environment = texts(plan.settings);
        environment.retain(|setting| !set.contains(&name(setting)));
        (argv, [environment, kept].concat())
    }

    /// Makes the change, and compares the result.
    fn check(
        &self,
        plan: &Plan<'static, usize>,
        (words, argc, handoff, replaced): (&[Cell<usize>], usize, &Handoff<'_>, usize),
        (argv, environment): &(Vec<Vec<u8>>, Vec<Vec<u8>>),
    ) {
        let before = numbers(words);
        let seen: std::cell::RefCell<Vec<&CStr>> = std::cell::RefCell::default();
        let address = |string: &'static CStr| {
            let mut seen = seen.borrow_mut();
            let index = seen.iter().position(|known| *known == string).unwrap_or_else(|| {
                seen.push(string);
                seen.len() - 1
            });
            OURS + index
        };
        let change = Change {
            front: &|push| {
                plan.argv(&mut |word| {
                    push(match word {
                        Argument::Added(string) => address(string),
                        Argument::Callers(address) => address,
                    });
                });
            },
            replaced,
            keeps: &|variable| plan.keeps(self.string(variable)),
            settings: &|callers, push| {
                let is_set =
                    |name: &[u8]| callers.iter().any(|variable| variable_name(self.string(variable.get())) == name);
                plan.settings(&is_set, &mut |setting| push(address(setting)));
            },
        };
        let parts = change.make(words, argc, handoff).expect("there is room for this");
        assert_eq!(words[parts.argc].as_ptr() as usize % 16, 0);
        let written = Handoff::read(&words[parts.argc..]).expect("it reads back");
        let text = |address: &Cell<usize>| match address.get().checked_sub(OURS) {
            Some(index) => seen.borrow()[index].to_bytes().to_vec(),
            None => self.string(address.get()).to_vec(),
        };
        assert!(written.argv.iter().map(text).eq(argv.iter().cloned()), "{self:?}");
        assert!(written.envp.iter().map(text).eq(environment.iter().cloned()), "{self:?}");
        assert!(std::ptr::eq(&raw const words[parts.auxv], written.auxv.first().unwrap_or(&words[parts.auxv])));
        assert_eq!(written.secure(), plan.secure);
        assert_eq!(written.auxv.len(), self.auxv.len());
        let flag = usize::from(plan.argv0_flag());
        for (new, old) in numbers(written.auxv).chunks_exact(2).zip(self.auxv.chunks_exact(2)) {
            let expected = match old[0] {
                aux::PHDR => 1,
                aux::PHNUM => 2,
                aux::ENTRY => 3,
                aux::EXECFD => 4,
                aux::BASE => 0,
                aux::FLAGS => old[1] & !3 | flag,
                _ => old[1],
            };
            assert_eq!(new, [old[0], expected]);
        }
        // With fewer spare words than needed, the change is refused.
        let took = argc.saturating_sub(parts.argc);
        if took > 1 {
            let fewer = cells(&before[argc - took + 2..]);
            let handoff = Handoff::read(&fewer[took - 2..]).expect("as before");
            assert_eq!(change.make(&fewer, took - 2, &handoff), None);
        }
    }
}
