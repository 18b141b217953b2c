//! The initial stack: any words are told apart or refused, and out of any arguments, environment and auxiliary vector
//! comes a block that says what it should, as a model in plain words has it.

use std::ffi::CStr;

use dispatch_core::Handoff;
use dispatch_core::block::{Contents, Patch};
use dispatch_core::bytes::Strings;
use dispatch_core::handoff::aux;
use dispatch_core::plan::{Cpu, Plan, WITH_CALLERS_CPU};
use dispatch_core::table::{Argv0, Strategy};

/// Where the caller's strings begin; each has an address of its own, in steps of one.
const CALLERS: usize = 0x1000;
/// The addresses of the caller's strings.
static ADDRESSES: [usize; 1 << 13] = {
    let mut addresses = [CALLERS; 1 << 13];
    let mut index = 0;
    while index < addresses.len() {
        addresses[index] += index;
        index += 1;
    }
    addresses
};
/// Where the block's strings are.
const OURS: usize = 0x7fff_0000;
const OPTIONS: [&[u8]; 3] = [b"", b"-cpu\0max\0", b"-E\0\0--\0"];
const SETTINGS: [&[u8]; 3] = [b"", b"QEMU_CPU=max\0", b"A=1\0QEMU_A=2\0A\0=\0"];
const CPUS: [Cpu; 3] = [Cpu::Emulator, Cpu::Table(c"max"), Cpu::Caller];
const SYSROOTS: [Option<&CStr>; 2] = [None, Some(c"/usr/other")];
const CONVENTIONS: [Argv0; 3] = [Argv0::DashZero, Argv0::Auxv, Argv0::None];
const STRATEGIES: [Strategy; 2] = [Strategy::Map, Strategy::Exec];

/// Whether a guest would be started.
pub fn run(bytes: &[u8]) -> bool {
    let words = |bytes: &[u8]| -> Vec<usize> {
        bytes.chunks_exact(8).map(|word| usize::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
    };
    // As words, and with the numbers that a fuzzer finds more easily.
    for words in [words(bytes), bytes.iter().map(|byte| usize::from(*byte)).collect()] {
        if let Some(Handoff { argv, envp, auxv }) = Handoff::read(&words) {
            assert_eq!(argv.len(), words[0]);
            assert_eq!(
                [&words[..1], argv, &[0], envp, &[0], auxv, &[aux::NULL]].concat(),
                words[..words_of(argv, envp, auxv)]
            );
        }
    }
    Scene::read(bytes).play()
}

/// How many words there are up to AT_NULL's type.
fn words_of(argv: &[usize], envp: &[usize], auxv: &[usize]) -> usize {
    argv.len() + envp.len() + auxv.len() + 4
}

/// What an input stands for: one thing a line, its kind the first letter.
#[derive(Debug, Default)]
struct Scene {
    /// `a`: arguments as the kernel passes them on.
    argv: Vec<Vec<u8>>,
    /// `e`: variables.
    envp: Vec<Vec<u8>>,
    /// `x`: entries of the auxiliary vector: a byte for the type, and the value, little-endian.
    auxv: Vec<usize>,
    /// `c`: a number that chooses among what a row may say.
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
                    scene.auxv.extend([usize::from(*kind), value]);
                }
                [b'c', choice, ..] => scene.choice = usize::from(*choice),
                _ => {}
            }
        }
        scene
    }

    fn string(&self, address: usize) -> &[u8] {
        self.argv.iter().chain(&self.envp).nth(address - CALLERS).expect("an address of a string")
    }

    fn play(&self) -> bool {
        let (argc, envc) = (self.argv.len(), self.envp.len());
        let (argv, rest) = ADDRESSES.split_at(argc);
        let envp = &rest[..envc];
        let words = [&[argc], argv, &[0], envp, &[0], &self.auxv, &[aux::NULL, 0, 1, 2]].concat();
        let handoff = Handoff { argv, envp, auxv: &self.auxv };
        assert_eq!(Handoff::read(&words), Some(handoff));
        let mut pick = self.choice;
        let mut choose = |count: usize| {
            let chosen = pick % count;
            pick /= count;
            chosen
        };
        let list = |bytes| Strings::new(bytes).expect("each ends with NUL");
        let (options, settings) = (list(OPTIONS[choose(3)]), list(SETTINGS[choose(3)]));
        let (sysroot, argv0, strategy) = (SYSROOTS[choose(2)], CONVENTIONS[choose(3)], STRATEGIES[choose(2)]);
        let cpu = CPUS[choose(3)];
        // The plan's addresses live as long as the program, as the kernel's do; the vector of this scene does not.
        let Some(invocation) = Handoff { argv, envp, auxv: &[] }.invocation(handoff.argv0_flag()) else {
            assert!(argc < 2, "{self:?}");
            return false;
        };
        let secure = handoff.secure();
        let plan =
            Plan { argv0, cpu, options, settings, emulator: c"/emulator", strategy, sysroot, secure, invocation };
        let patch = Patch { phdr: 1, phnum: 2, entry: 3, execfd: Some(4), argv0_flag: plan.argv0_flag() };
        let read = |address| self.string(address);
        let contents = Contents {
            argv: &|push| plan.argv(push),
            envp: &|push| plan.environment(envp, &read, push),
            auxv: handoff.auxv,
            patch,
        };
        self.check(&contents, &self.model(&plan), secure);
        true
    }

    /// argv, environment and auxiliary vector as they should be.
    fn model(&self, plan: &Plan<'static, usize>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let texts = |strings: Strings<'_>| strings.iter().map(|text| text.to_bytes().to_vec()).collect::<Vec<_>>();
        let callers = |address: usize| self.string(address).to_vec();
        let hint = plan.cpu == Cpu::Caller && plan.argv0 == Argv0::DashZero;
        let mut argv = vec![if hint { WITH_CALLERS_CPU.to_bytes().to_vec() } else { b"/emulator".to_vec() }];
        if let Cpu::Table(model) = plan.cpu {
            argv.extend([b"-cpu".to_vec(), model.to_bytes().to_vec()]);
        }
        argv.extend(texts(plan.options));
        argv.extend(plan.sysroot.iter().flat_map(|root| [b"-L".to_vec(), root.to_bytes().to_vec()]));
        if plan.argv0 == Argv0::DashZero {
            argv.extend([b"-0".to_vec(), callers(plan.invocation.argv0)]);
        }
        argv.extend([b"--".to_vec(), callers(plan.invocation.path)]);
        if plan.argv0 == Argv0::Auxv && plan.strategy == Strategy::Map {
            argv.push(callers(plan.invocation.argv0));
        }
        argv.extend(plan.invocation.args.iter().map(|&argument| callers(argument)));

        let mut environment = self.envp.clone();
        environment.retain(|variable| !(plan.secure && variable.starts_with(b"QEMU_")));
        let name = |variable: &[u8]| variable.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let set: Vec<_> = environment.iter().map(|variable| name(variable)).collect();
        environment.extend(texts(plan.settings).into_iter().filter(|setting| !set.contains(&name(setting))));
        (argv, environment)
    }

    fn check(&self, contents: &Contents<'_>, (argv, environment): &(Vec<Vec<u8>>, Vec<Vec<u8>>), secure: bool) {
        let size = contents.measure();
        let (mut words, mut strings) = (vec![usize::MAX; size.words], vec![0xff; size.strings]);
        contents.write(&mut words, &mut strings, OURS).expect("as much room as measured");
        let written = Handoff::read(&words).expect("it reads back");
        assert_eq!(size.words, words_of(written.argv, written.envp, written.auxv) + 1, "AT_NULL ends it");
        let text = |&address: &usize| match address.checked_sub(OURS) {
            Some(offset) => CStr::from_bytes_until_nul(&strings[offset..]).expect("it ends").to_bytes(),
            None => self.string(address),
        };
        assert!(written.argv.iter().map(text).eq(argv.iter()), "{self:?}");
        assert!(written.envp.iter().map(text).eq(environment.iter()), "{self:?}");
        assert_eq!(written.secure(), secure);
        assert_eq!(written.auxv.len(), self.auxv.len());
        for (new, old) in written.auxv.chunks_exact(2).zip(self.auxv.chunks_exact(2)) {
            let expected = match old[0] {
                aux::PHDR => 1,
                aux::PHNUM => 2,
                aux::ENTRY => 3,
                aux::EXECFD => 4,
                aux::BASE => 0,
                aux::FLAGS => old[1] & !1 | usize::from(contents.patch.argv0_flag),
                _ => old[1],
            };
            assert_eq!(new, [old[0], expected]);
        }
        for (fewer, less) in [(1, 0), (0, 1)] {
            let (words, strings) = (size.words.checked_sub(fewer), size.strings.checked_sub(less));
            if let (Some(words_len), Some(strings_len)) = (words, strings) {
                let (mut words, mut strings) = (vec![0; words_len], vec![0; strings_len]);
                assert_eq!(contents.write(&mut words, &mut strings, OURS), None, "too little room is noticed");
            }
        }
    }
}
