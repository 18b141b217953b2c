//! Variables that steer QEMU. `VARIABLES` lists all that the tested versions read. One test
//! searches the emulators themselves for others.

use std::collections::BTreeSet;
use std::process::Command;

use crate::lab::Directly::{Fails, Succeeds};
use crate::lab::{Attack, Directly, attack};
use crate::options::{DEBUGGED, TAKEN_OVER, with_debugger};
use crate::support::{Release, need, translate};

/// A variable, and its harm.
struct Variable {
    name: &'static str,
    /// The assignment.
    settings: &'static str,
    /// See [`Attack`].
    harm: &'static str,
    directly: [Directly; 2],
}

impl Variable {
    /// The attack with it.
    fn script(&self) -> String {
        let victim = if self.settings.ends_with("../dynamic") { "" } else { "../victim" };
        format!(
            "mkdir -p prefix/tmp; cp ../evil prefix/tmp/ld.so; umask 0
            env {} {victim} >out 2>err </dev/null",
            self.settings
        )
    }
}

const fn succeeds(name: &'static str, settings: &'static str, harm: &'static str) -> Variable {
    Variable { name, settings, harm, directly: [Succeeds, Succeeds] }
}

const fn only_new(name: &'static str, settings: &'static str, harm: &'static str) -> Variable {
    Variable { name, settings, harm, directly: [Fails("QEMU 7.2 does not know it"), Succeeds] }
}

const fn only_old(name: &'static str, settings: &'static str, harm: &'static str, why: &'static str) -> Variable {
    Variable { name, settings, harm, directly: [Succeeds, Fails(why)] }
}

const fn neither(name: &'static str, settings: &'static str, harm: &'static str, why: &'static str) -> Variable {
    Variable { name, settings, harm, directly: [Fails(why), Fails(why)] }
}

/// A bash condition: the program did not even begin.
const STOPPED: &str = "! grep -q '^program' out";
/// A bash condition: standard error is not empty.
const LOGGED: &str = "[[ -s err ]]";

const VARIABLES: &[Variable] = &[
    // Root writes files at a path that the attacker chooses, also through a symbolic link, and with
    // a mode that the attacker chooses.
    succeeds("QEMU_LOG_FILENAME", "QEMU_LOG=page QEMU_LOG_FILENAME=log", "[[ $(owner log) = 0 ]]"),
    succeeds("QEMU_TRACE", "QEMU_TRACE=enable=*,file=log", "[[ $(owner log) = 0 ]]"),
    only_new("QEMU_PERFMAP", "QEMU_PERFMAP=1", "[[ $(owner /tmp/perf-*.map) = 0 ]]"),
    only_new("QEMU_JITDUMP", "QEMU_JITDUMP=1", "[[ $(owner jit-*.dump) = 0 ]]"),
    // Files that only root may read.
    succeeds("QEMU_TRACE", "QEMU_TRACE=events=../secret", "grep -q 'password-of-root' err"),
    // The attacker's code runs with the privileges of the program.
    Variable {
        name: "QEMU_LD_PREFIX",
        settings: "QEMU_LD_PREFIX=prefix ../dynamic",
        harm: TAKEN_OVER,
        directly: [Succeeds, Succeeds],
    },
    // The program gets false information.
    succeeds("QEMU_SET_ENV", "QEMU_SET_ENV=LD_PRELOAD=evil", "grep -q '^variable LD_PRELOAD=evil' out"),
    succeeds("QEMU_UNSET_ENV", "QEMU_UNSET_ENV=PATH", "! grep -q '^variable PATH=' out"),
    succeeds("QEMU_ARGV0", "QEMU_ARGV0=chosen", "grep -q '^argument chosen' out"),
    succeeds("QEMU_UNAME", "QEMU_UNAME=9.9", "grep -q '^release 9.9' out"),
    // The random bytes from which stack protectors are made.
    succeeds("QEMU_RAND_SEED", "QEMU_RAND_SEED=1", "grep -q '^random f5b165224a58b791df6af1d8303e61cd' out"),
    // A record of the program's actions that everybody can read, even if its file cannot be read.
    succeeds("QEMU_STRACE", "QEMU_STRACE=1", "grep -q 'geteuid()' err"),
    succeeds("QEMU_LOG", "QEMU_LOG=in_asm", "grep -q '^IN:' err"),
    succeeds("QEMU_DFILTER", "QEMU_LOG=in_asm QEMU_DFILTER=0x400000+0x100000", "grep -q '^IN:' err"),
    // The program's address in memory.
    succeeds("QEMU_GUEST_BASE", "QEMU_LOG=page QEMU_GUEST_BASE=0x10000000", "grep -q 'guest_base  0x10000000' err"),
    // The program dies while it works, or does not begin.
    succeeds("QEMU_STACK_SIZE", "QEMU_STACK_SIZE=4096", STOPPED),
    succeeds("QEMU_CPU", "QEMU_CPU=none", STOPPED),
    succeeds("QEMU_VERSION", "QEMU_VERSION=1", STOPPED),
    only_old("QEMU_RESERVED_VA", "QEMU_RESERVED_VA=1", STOPPED, "what is below a page counts as nothing in QEMU 10"),
    only_old("QEMU_PAGESIZE", "QEMU_PAGESIZE=3", STOPPED, "QEMU 10 only warns"),
    Variable {
        name: "QEMU_PAGESIZE",
        settings: "QEMU_PAGESIZE=8192",
        harm: LOGGED,
        directly: [Fails("QEMU 7.2 takes it without a word"), Succeeds],
    },
    only_new("QEMU_TB_SIZE", "QEMU_TB_SIZE=none", STOPPED),
    only_new("QEMU_RTSIG_MAP", "QEMU_RTSIG_MAP=none", STOPPED),
    // The program runs one instruction at a time, as the log shows.
    only_old(
        "QEMU_SINGLESTEP",
        "QEMU_LOG=in_asm QEMU_SINGLESTEP=1",
        "[[ $(grep -c '^IN:' err) -gt 200 ]]",
        "it has another name since QEMU 8.1",
    ),
    only_new("QEMU_ONE_INSN_PER_TB", "QEMU_LOG=in_asm QEMU_ONE_INSN_PER_TB=1", "[[ $(grep -c '^IN:' err) -gt 200 ]]"),
    neither("QEMU_PLUGIN", "QEMU_PLUGIN=none", STOPPED, "Debian's static QEMU is built without plugins"),
    neither("QEMU_MODULE_DIR", "QEMU_MODULE_DIR=.", STOPPED, "a static QEMU loads no modules"),
    neither(
        "QEMU_TB_RECORDS",
        "QEMU_TB_RECORDS=/mnt",
        "[[ $(stat -c '%u %a' /mnt) != '0 7'[05][05] ]] || ls /mnt | grep -q tb-records",
        "only emulators of emulators/ read it, and not for a privileged program",
    ),
    neither("QEMU_XTENSA_ABI_CALL0", "QEMU_XTENSA_ABI_CALL0=1", STOPPED, "only QEMU for Xtensa reads it"),
];

#[test]
fn variables_that_steer_qemu() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let scripts: Vec<String> = VARIABLES.iter().map(Variable::script).collect();
    let attacks = VARIABLES.iter().zip(&scripts);
    let attacks =
        attacks.map(|(&Variable { name, harm, directly, .. }, script)| Attack { name, script, harm, directly });
    let debugging = format!("umask 0; {}", with_debugger("env QEMU_GDB=socket ../victim"));
    attack(attacks.chain([Attack { name: "QEMU_GDB", script: &debugging, harm: DEBUGGED, directly: [Succeeds; 2] }]));
}

/// Strings in the emulators that begin like a variable but are none: parts of messages, and names
/// of numbers.
const NO_VARIABLES: &[&str] = &["QEMU_", "QEMU_AES_", "QEMU_ERESTARTSYS", "QEMU_ESIGRETURN", "QEMU_IS_ALIGNED"];
/// The same, as prefixes.
const NO_VARIABLES_WITH: &[&str] = &["QEMU_IFLA", "QEMU_OPT_"];
/// The end of the symbols for events to trace, which the emulators for riscv64 have kept.
const TRACED: &str = "_DSTATE";

#[test]
fn every_name_in_the_emulators_is_known() {
    need!(BothQemus);
    let known: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).chain(["QEMU_GDB"]).collect();
    let mut read = BTreeSet::new();
    for release in Release::ALL {
        let emulators = release.qemu(crate::lab::CPU).parent().unwrap().to_owned();
        let mut grep = Command::new("grep");
        grep.args(["-r", "-a", "-o", "-h", "QEMU_[A-Z0-9_]*"]).arg(&emulators);
        let output = grep.output().unwrap();
        assert!(output.status.success(), "{grep:?}");
        read.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
    }
    let other = |name: &str| {
        let named = NO_VARIABLES.contains(&name) || NO_VARIABLES_WITH.iter().any(|with| name.starts_with(with));
        named || name.ends_with(TRACED)
    };
    let unknown: Vec<_> = read.iter().filter(|name| !known.contains(name.as_str()) && !other(name)).collect();
    assert!(unknown.is_empty(), "the table does not know {unknown:?}");
    let absent: Vec<_> = known.into_iter().filter(|&name| !read.contains(name)).collect();
    // Only QEMU 7.2 reads it, which is not there for every host.
    let old = (!Release::ALL.contains(&Release::Bookworm)).then_some("QEMU_SINGLESTEP");
    let ours = translate().is_empty().then_some("QEMU_TB_RECORDS");
    let unread: Vec<_> = ["QEMU_MODULE_DIR", "QEMU_PLUGIN"].into_iter().chain(old).chain(ours).collect();
    assert_eq!(absent, unread, "these are not read by any of them");
}
