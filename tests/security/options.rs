//! Programs whose names are options of QEMU. A caller chooses the path; the emulator finds it where its options are, unless
//! `--` stands before it.

use crate::lab::Directly::{Fails, Succeeds};
use crate::lab::{Attack, CPU, Lab, attack, direct};
use crate::support::{Release, need};

/// Runs the victim by a symbolic link that is named like an option, as execve(2) and execvp(3) with an empty element in PATH allow.
fn named(link: &str, victim: &str, arguments: &str) -> String {
    format!("ln -s ../{victim} ./{link}; umask 0; ../call {link} {arguments} >out 2>err </dev/null")
}

/// Makes the attacker's dynamic linker.
const PREFIX: &str = "mkdir -p prefix/tmp; cp ../evil prefix/tmp/ld.so\n";

/// Code of the attacker's has run, with the privileges of the program.
pub const TAKEN_OVER: &str = "grep -q \"^program the attacker's\" out && grep -q '^euid 0' out";

/// Option, victim, argv from argv\[0\] on, and the harm. QEMU registered directly takes argv\[0\] for the option's value.
const NAMES: [(&str, &str, &str, &str); 7] = [
    ("-E", "victim", "INJECTED=1 x", "grep -q '^variable INJECTED=1' out"),
    ("-U", "victim", "PATH x", "grep -q '^program' out && ! grep -q '^variable PATH=' out"),
    ("-0", "victim", "chosen x argument", "grep -q '^program' out && ! grep -q '^argument x' out"),
    ("-D", "victim", "log -d page x", "[[ $(owner log) = 0 ]]"),
    ("-d", "victim", "strace x", "grep -q 'geteuid()' err"),
    ("-strace", "victim", "x", "grep -q 'geteuid()' err"),
    ("-L", "dynamic", "prefix x", TAKEN_OVER),
];

#[test]
fn names_that_are_options() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let directly = [Succeeds; 2];
    let scripts = NAMES.map(|(name, victim, arguments, _)| format!("{PREFIX}{}", named(name, victim, arguments)));
    let attacks = NAMES.iter().zip(&scripts);
    let attacks = attacks.map(|(&(name, _, _, harm), script)| Attack { name, script, harm, directly });
    let debugging = format!("umask 0; ln -s ../victim ./-g; {}", with_debugger("../call -g socket x"));
    attack(attacks.chain([Attack { name: "-g", script: &debugging, harm: DEBUGGED, directly }]));
}

#[test]
fn names_that_would_be_options_without_the_dashes() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // A privileged program's path is the kernel's, and is no option anyway. An ordinary one's is the caller's; and since we pass
    // argv[0] before the path, it is the arguments that would follow the option.
    let run = |link: &str, victim: &str, arguments: &str| {
        let start = named(link, victim, &format!("zero {arguments}"));
        format!("{start}; echo \"status $?\"; grep -v '^random' out; cat err; rm ./{link} out err\n")
    };
    for release in Release::ALL {
        let lab = Lab::ours(release);
        for (name, victim, arguments, _) in NAMES {
            let (as_option, as_name) = (run(name, victim, arguments), run("name", victim, arguments));
            let attacker = format!("{PREFIX}{as_option}echo ===\n{as_name}ls -A");
            let seen = lab.run("chmod 755 ../victim ../dynamic", &attacker);
            let (option, rest) = seen.succeeded().out().split_once("===\n").unwrap_or_default();
            let argument = arguments.split(' ').next().unwrap();
            assert!(
                option.starts_with("status 0\nprogram the victim\n") && option.contains("\nsecure 0\n"),
                "{name}: {seen}"
            );
            assert!(option.contains(&format!("\nargument zero\nargument {argument}\n")), "{name}: {seen}");
            // And nothing is left, such as a log.
            assert_eq!(rest, format!("{option}prefix\n"), "{name}: {seen}");
        }
    }
}

/// Starts the victim, and asks whatever waits at `socket` for a debugger; the socket exists before anything listens to it.
pub fn with_debugger(start: &str) -> String {
    format!(
        "{start} >out 2>err </dev/null &
        until_true '../debugger socket >answer 2>/dev/null || ! kill -0 $! 2>/dev/null'
        kill -9 $! 2>/dev/null; wait $! 2>/dev/null"
    )
}

/// It answered that the program is stopped.
pub const DEBUGGED: &str = "grep -q 'T05' answer";

/// A program by the name of a registered emulator that ends in this is no emulator with options to Debian's QEMU: what
/// follows is the path, whatever it is called.
const DEBIANS_NAME: &str = "aarch64-binfmt-P";

#[test]
fn debians_own_entries_take_no_options_and_all_variables() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let script = |attack: &str| format!("{PREFIX}{attack}");
    let option = script(&named("-L", "dynamic", "prefix x"));
    let variable = script("QEMU_LD_PREFIX=prefix ../dynamic >out 2>err </dev/null");
    for release in Release::ALL {
        let lab = Lab::with(|scratch| {
            std::os::unix::fs::symlink(release.qemu(CPU), scratch.at(DEBIANS_NAME)).unwrap();
            direct(scratch, &scratch.at(DEBIANS_NAME))
        });
        let directly = [Fails("QEMU called by this name takes no options"); 2];
        let seen = lab.make(&Attack { name: "-L", script: &option, harm: TAKEN_OVER, directly });
        assert!(!seen.harmed && seen.undisturbed(), "{release:?}: {seen}");
        let directly = [Succeeds; 2];
        let seen = lab.make(&Attack { name: "QEMU_LD_PREFIX", script: &variable, harm: TAKEN_OVER, directly });
        assert!(seen.harmed, "{release:?}: {seen}");
    }
}
