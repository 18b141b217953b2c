//! Programs with the names of QEMU's options. The caller chooses the path, and the emulator gets it
//! where it expects options, unless `--` precedes it.

use crate::lab::Directly::{Fails, Succeeds};
use crate::lab::{Attack, CPU, Lab, attack, direct};
use crate::support::{Release, need};

/// Runs the victim through a symbolic link named like an option. execve(2) allows such a path, and
/// so does execvp(3) if PATH has an empty element.
fn named(link: &str, victim: &str, arguments: &str) -> String {
    format!("ln -s ../{victim} ./{link}; umask 0; ../call {link} {arguments} >out 2>err </dev/null")
}

/// Makes the attacker's dynamic linker.
const PREFIX: &str = "mkdir -p prefix/tmp; cp ../evil prefix/tmp/ld.so\n";

/// A bash condition: the attacker's code has run with the privileges of the program.
pub const TAKEN_OVER: &str = "grep -q \"^program the attacker's\" out && grep -q '^euid 0' out";

/// Option, victim, argv from argv\[0\] on, and the condition for success. QEMU registered directly
/// takes argv\[0\] as the option's value.
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
    // The path of a privileged program comes from the kernel, so it cannot be an option. The path
    // of an ordinary program comes from the caller. The interpreter passes argv[0] before the path,
    // so the arguments would follow the option.
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
            // Nothing is left behind, such as a log.
            assert_eq!(rest, format!("{option}prefix\n"), "{name}: {seen}");
        }
    }
}

/// Starts the victim, and tries to debug it through `socket`. The socket exists before anything
/// listens to it.
pub fn with_debugger(start: &str) -> String {
    format!(
        "{start} >out 2>err </dev/null &
        until_true '../debugger socket >answer 2>/dev/null || ! kill -0 $! 2>/dev/null'
        kill -9 $! 2>/dev/null; wait $! 2>/dev/null"
    )
}

/// A bash condition: the emulator answered that the program is stopped.
pub const DEBUGGED: &str = "grep -q 'T05' answer";

/// If an emulator is registered by a name that ends in this, Debian's QEMU takes no options: the
/// next argument is the path, whatever it looks like.
const DEBIANS_NAME: &str = "-binfmt-P";

#[test]
fn debians_own_entries_take_no_options_and_all_variables() {
    // By this name, QEMU needs flag P to be in use.
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus, Kernel(5, 12));
    let script = |attack: &str| format!("{PREFIX}{attack}");
    let option = script(&named("-L", "dynamic", "prefix x"));
    let variable = script("QEMU_LD_PREFIX=prefix ../dynamic >out 2>err </dev/null");
    for release in Release::ALL {
        let lab = Lab::with(|scratch| {
            let name = scratch.at(&format!("{CPU}{DEBIANS_NAME}"));
            std::os::unix::fs::symlink(release.qemu(CPU), &name).unwrap();
            direct(scratch, &name)
        });
        let directly = [Fails("QEMU called by this name takes no options"); 2];
        let seen = lab.make(&Attack { name: "-L", script: &option, harm: TAKEN_OVER, directly });
        assert!(!seen.harmed && seen.undisturbed(), "{release:?}: {seen}");
        let directly = [Succeeds; 2];
        let seen = lab.make(&Attack { name: "QEMU_LD_PREFIX", script: &variable, harm: TAKEN_OVER, directly });
        assert!(seen.harmed, "{release:?}: {seen}");
    }
}
