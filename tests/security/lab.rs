//! A directory with privileged programs, and an attacker, who is an ordinary user.

use std::fmt;

use crate::support::{FOREIGN, Foreign, Namespace, Observation, Release, Row, Scratch, native, tool};

/// Mounts an empty file system over /proc, so that the kernel shows nothing there.
pub const NO_PROC: &str = "mount -t tmpfs none /proc";

/// The architecture of the programs. QEMU treats privileged programs of all architectures alike.
pub const CPU: &str = FOREIGN;

/// The attacker's user.
pub const ATTACKER: u32 = 1000;

/// The result of an attack on QEMU registered directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directly {
    /// The attack succeeds.
    Succeeds,
    /// The attack fails, for this reason.
    Fails(&'static str),
}

/// One attack: a bash script that the attacker runs in a directory of the attacker's own. Beside
/// that directory, as ../NAME, there are the privileged programs `victim` and `dynamic`, owned by
/// root and set-user-ID; `plain`, the same without privileges; and the attacker's tools `evil` (the
/// program that the attacker wants to run with privileges), `call`, `swap` and `debugger`. In the
/// script, `victim` stands for "../victim >out 2>err".
#[derive(Clone, Copy, Debug)]
pub struct Attack<'a> {
    /// The name of the attack.
    pub name: &'a str,
    /// The script.
    pub script: &'a str,
    /// A bash condition that is true if the attack has succeeded.
    pub harm: &'a str,
    /// The expected results with QEMU 7.2 and 10.0.
    pub directly: [Directly; 2],
}

/// The outcome of an attack.
#[derive(Debug)]
pub struct Outcome {
    /// Whether the condition is true.
    pub harmed: bool,
    /// The content of `out`, written by the last program.
    pub out: String,
    /// The whole observation.
    pub seen: Observation,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen.fmt(f)
    }
}

/// The directory, and the registry for it.
pub struct Lab {
    /// The directory.
    pub scratch: Scratch,
    /// The registered entry: that of [`CPU`], with the flags POCF.
    pub namespace: Namespace,
}

impl Lab {
    /// Registers QEMU of `release` directly.
    pub fn direct(release: Release) -> Self {
        Self::with(|scratch| direct(scratch, release.qemu(CPU).to_str().unwrap()))
    }

    /// Registers an image with QEMU of `release` embedded.
    pub fn ours(release: Release) -> Self {
        let from = format!("{CPU}={}", release.qemu(CPU).display());
        Self::with(|scratch| match release.translated() {
            Some(image) => {
                std::fs::copy(image, scratch.at("image")).unwrap();
                Namespace::of_image(&scratch.at("image"))
            }
            None => Namespace::with_image(scratch, &["--from", &from]),
        })
    }

    /// A lab with the entries of `namespace`.
    pub fn with(namespace: impl FnOnce(&Scratch) -> Namespace) -> Self {
        Self::with_flags("POCF", namespace)
    }

    /// The same lab with other flags.
    pub fn with_flags(flags: &str, namespace: impl FnOnce(&Scratch) -> Namespace) -> Self {
        let scratch = Scratch::new();
        let namespace = namespace(&scratch).flags(flags).mapped();
        for (name, bytes) in programs() {
            scratch.write(name, bytes);
        }
        Lab { scratch, namespace }
    }

    /// Runs the script `root` as root, and then `attacker` as the attacker, in a directory that
    /// belongs to the attacker.
    #[track_caller]
    pub fn run(&self, root: &str, attacker: &str) -> Observation {
        self.scratch.write("attack", format!("{ATTACK}\n{attacker}"));
        let mut seen = self.namespace.run(&self.scratch, &format!("{PREPARE}\n{root}\n{BECOME} bash ../attack"));
        seen.command += &format!("\n--- ../attack\n{attacker}");
        seen
    }

    /// Makes an attack.
    #[track_caller]
    pub fn make(&self, attack: &Attack<'_>) -> Outcome {
        self.make_after("", attack)
    }

    /// Makes an attack, after root has run a script.
    #[track_caller]
    pub fn make_after(&self, root: &str, attack: &Attack<'_>) -> Outcome {
        let Attack { script, harm, .. } = attack;
        let verdict = format!("{script}\nif {harm}; then echo harmed; else echo unharmed; fi\ncat out");
        let seen = self.run(root, &verdict);
        let (first, out) = seen.out().split_once('\n').unwrap_or_default();
        assert!(["harmed", "unharmed"].contains(&first), "{seen}");
        Outcome { harmed: first == "harmed", out: out.to_owned(), seen }
    }
}

/// Makes each attack both ways, with both versions of QEMU. Through an image it must fail, and the
/// privileged program must run as it does without an attack.
#[track_caller]
pub fn attack<'a>(attacks: impl IntoIterator<Item = Attack<'a>>) {
    let mut wrong = Vec::new();
    for attack in attacks {
        let Attack { name, .. } = attack;
        for release in Release::ALL {
            let directly = release.pick(attack.directly);
            let direct = Lab::direct(release).make(&attack);
            if direct.harmed != (directly == Directly::Succeeds) {
                wrong.push(format!("{name}, {release:?}: it should be that the attack {directly:?}\n{direct}"));
            }
            let ours = Lab::ours(release).make(&attack);
            if ours.harmed || !ours.undisturbed() {
                wrong.push(format!("{name}, {release:?}: the attack makes a difference\n{ours}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The programs beside the attacker's directory.
pub fn programs() -> [(&'static str, Vec<u8>); 8] {
    [
        ("victim", victim("victim", &["-static"])),
        ("plain", victim("victim", &["-static"])),
        ("dynamic", victim("dynamic", DYNAMIC)),
        ("ld.so", victim("ld.so", &["-static-pie", "-fPIE"])),
        ("evil", victim("evil", &["-static-pie", "-fPIE", "-DEVIL"])),
        ("call", native("tests/support/callers/call.c")),
        ("swap", native("tests/security/programs/swap.c")),
        ("debugger", native("tests/security/programs/debugger.c")),
    ]
}

impl Outcome {
    /// Whether the victim ran with its privileges, and without any variable that steers an
    /// emulator.
    pub fn undisturbed(&self) -> bool {
        let ids = format!("\nuid {ATTACKER}\neuid 0\ngid {ATTACKER}\negid {ATTACKER}\n");
        let complete = self.out.starts_with("program the victim\n") && self.out.ends_with("end\n");
        let privileged = self.out.contains(&ids) && self.out.contains("\nsecure 1\n");
        let silent = self.seen.code() == 0 && self.seen.stderr.is_empty();
        complete && privileged && silent && !self.out.contains("\nvariable QEMU_")
    }
}

/// A namespace with `emulator` registered directly.
pub fn direct(scratch: &Scratch, emulator: &str) -> Namespace {
    let table = scratch.write("table.json", Row::new(CPU, emulator).table());
    let table = ["--table", table.to_str().unwrap()];
    let lines = tool(&[&["generate", "--format", "register", "--direct", "--all"], &table[..], &[CPU]].concat());
    Namespace::directly(String::from_utf8(lines).unwrap())
}

/// The same, with a dynamic linker where [`PREPARE`] puts one.
const DYNAMIC: &[&str] = &["-pie", "-fPIE", "-Wl,--dynamic-linker=/tmp/ld.so"];

fn victim(name: &str, options: &[&str]) -> Vec<u8> {
    let source = "tests/security/programs/victim.c";
    let options = [&["-nostdlib", "-ffreestanding"], options].concat();
    std::fs::read(Foreign::USUAL.build_as(name, source, &options)).unwrap()
}

/// Sets owners and modes. Mounts a /tmp that the attacker may change, and makes everything else
/// visible in /mnt.
const PREPARE: &str = "set -e
chmod 4755 victim dynamic
mkdir -p attacker
chown 1000:1000 attacker
mount --bind . /mnt
mount -t tmpfs -o mode=1777 none /tmp
cd /mnt
cp ld.so /tmp
echo password-of-root >secret
chmod 600 secret
cd attacker";

/// Becomes the attacker.
const BECOME: &str = "exec setpriv --reuid 1000 --regid 1000 --clear-groups env -i PATH=/usr/bin:/bin";

/// The beginning of the attacker's scripts.
const ATTACK: &str = r#"
ulimit -c 0
victim() { ../victim "$@" >out 2>err </dev/null; }
# Waits until a condition holds.
until_true() { local i; for ((i = 0; i < 200; i++)); do eval "$1" && return; sleep 0.05; done; return 1; }
# Prints the owner of a file.
owner() { stat -c %u "$1" 2>/dev/null; }"#;
