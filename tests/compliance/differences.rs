//! All known differences, each with its reason. An unlisted difference fails the tests, and so does
//! a listed one that does not show.

use std::fmt;

use crate::seen::Found;
use crate::support::{Foreign, Release};

/// The value of a difference for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Better than with QEMU registered directly.
    Improvement,
    /// It cannot be otherwise.
    Unavoidable,
    /// Between the two QEMUs, and the same when they are registered directly.
    Qemu,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Improvement => "improvement",
            Kind::Unavoidable => "unavoidable",
            Kind::Qemu => "QEMU",
        })
    }
}

/// A known difference.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The fields, each of which has to differ.
    pub fields: &'static [&'static str],
    /// The cases. It must show in each of them; if the list is empty, it may show in any.
    pub cases: &'static [&'static str],
    /// The architectures of the programs.
    pub on: &'static [Foreign],
    /// The versions of QEMU.
    pub with: &'static [Release],
    /// Its value for the user.
    pub kind: Kind,
    /// The reason for it.
    pub reason: &'static str,
}

impl Difference {
    /// Whether `found` is this difference.
    pub fn covers(&self, found: &Found) -> bool {
        self.fields.contains(&found.field.as_str()) && (self.cases.is_empty() || self.cases.contains(&found.case))
    }

    /// The fields and cases of it that are not among `found`.
    pub fn lacks(&self, found: &[&Found]) -> Vec<String> {
        let any_case = [""];
        let cases = if self.cases.is_empty() { &any_case[..] } else { self.cases };
        let pairs = self.fields.iter().flat_map(|field| cases.iter().map(move |case| (*field, *case)));
        let differs = |(field, case): &(&str, &str)| {
            found.iter().any(|found| found.field == *field && ["", found.case].contains(case))
        };
        pairs.filter(|pair| !differs(pair)).map(|(field, case)| format!("{field} {case}")).collect()
    }

    /// Its row in docs/compliance.md.
    pub fn row(&self) -> String {
        let list = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<String>>().join(", ");
        let cases = if self.cases.is_empty() { "any".to_owned() } else { list(self.cases) };
        let of = self.on.iter().map(|foreign| foreign.name()).collect::<Vec<_>>().join(", ");
        let cases = if self.on == ALL { cases } else { format!("{cases}, of {of}") };
        let with: Vec<&str> = self.with.iter().map(|release| release.version()).collect();
        format!("| {} | {cases} | {} | {} | {} |", list(self.fields), with.join(", "), self.kind, self.reason)
    }
}

const BOTH: &[Release] = &[Release::Bookworm, Release::Trixie];
const ALL: &[Foreign] = &[Foreign::Aarch64, Foreign::Arm, Foreign::S390x, Foreign::Riscv64];

/// Differences between QEMU registered directly and binfmt-dispatch.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        fields: &["aux.16", "aux.26"],
        cases: &[],
        on: &[Foreign::Aarch64],
        with: BOTH,
        kind: Kind::Improvement,
        reason: "AT_HWCAP, AT_HWCAP2: the table gives the emulator a CPU model with which programs run several times faster.",
    },
    Difference {
        fields: &["cpuinfo"],
        cases: &[],
        on: &[Foreign::Aarch64, Foreign::Riscv64],
        with: &[Release::Trixie],
        kind: Kind::Improvement,
        reason: "/proc/cpuinfo shows that model.",
    },
    Difference {
        fields: &["host.cmdline"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "`ps` shows the program's own arguments, instead of QEMU's path and the program's in front of them.",
    },
    Difference {
        fields: &["host.exe"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Unavoidable,
        reason: "The kernel points the link to the registered file, which is the image instead of QEMU; changing it takes privileges.",
    },
    Difference {
        fields: &["comm", "proc.comm", "proc.status.Name", "host.comm", "host.status.Name"],
        cases: &["descriptor", "memfd"],
        on: ALL,
        with: BOTH,
        kind: Kind::Unavoidable,
        reason: "For a program without a path the kernel names the process after the registered file, which is the image instead of QEMU.",
    },
    Difference {
        fields: &["host.aux.8"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Unavoidable,
        reason: "AT_FLAGS of the process, not of the program. The bit that tells QEMU about argv[0] is cleared, because QEMU gets argv[0] by `-0`, which all its versions understand.",
    },
    Difference {
        fields: &["host.aux.2"],
        cases: &[
            "closed-0",
            "closed-0-1",
            "closed-0-1-2",
            "closed-0-2",
            "closed-1",
            "closed-1-2",
            "closed-2",
            "setuid-closed-0-1-2",
        ],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "AT_EXECFD of the process. The program's descriptor is moved to 3 or above, because QEMU before 10 takes 0 as missing, and because the first file that a privileged program opens would get the number.",
    },
    Difference {
        fields: &["host.aux.2"],
        cases: &["mode-0111-closed-0"],
        on: ALL,
        with: &[Release::Trixie],
        kind: Kind::Improvement,
        reason: "The same.",
    },
    Difference {
        fields: &["err"],
        cases: &["environment-cpu"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "When the caller has set `QEMU_CPU`, the name in front of QEMU's messages says so: it may be meant for another program.",
    },
    Difference {
        fields: &["argc", "argv", "proc.cmdline"],
        cases: &["name-E", "name-L", "name-two-hyphens"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "The program gets the arguments that it was called with. Registered directly, QEMU takes the program's path as one of its own options, and the next arguments as the option's value and the program.",
    },
    Difference {
        fields: &["aux.31", "proc.exe"],
        cases: &["name-E", "name-L"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "The same: the program knows its own path. Directly, it gets an argument instead.",
    },
    Difference {
        fields: &["env"],
        cases: &["name-E"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "The same: QEMU takes an argument as a variable to set.",
    },
    Difference {
        fields: &["out", "reports"],
        cases: &["name-version"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "The same: QEMU prints its version instead of running the program.",
    },
    Difference {
        fields: &["aux.31"],
        cases: &[
            "file-capabilities",
            "file-capabilities-inherited",
            "file-capabilities-permitted",
            "ids-real-and-effective",
            "no-new-privs-capabilities",
            "setgid",
            "setuid",
            "setuid-closed-0-1-2",
            "setuid-environment",
            "setuid-mount",
            "setuid-qemu",
            "setuid-root",
            "setuid-setgid",
            "setuid-stack-unlimited",
            "setuid-unreadable",
        ],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "The path of a privileged program is the kernel's. The caller's path may name another file a moment later, which QEMU would start with privileges in place of `/proc/self/exe`.",
    },
    Difference {
        fields: &["env", "release"],
        cases: &["setuid-qemu"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "No `QEMU_*` variable of the caller reaches a privileged start.",
    },
    Difference {
        fields: &["descriptor"],
        cases: &["closed-0", "closed-0-1", "closed-0-2", "closed-0-1-2", "setuid-closed-0-1-2"],
        on: ALL,
        with: &[Release::Bookworm],
        kind: Kind::Improvement,
        reason: "Closed descriptors stay closed. QEMU 7.2 takes the program's descriptor 0 as missing, opens the program's path again, and leaves the program itself open as its standard input.",
    },
    Difference {
        fields: &["code", "reports"],
        cases: &["mode-0111-closed-0"],
        on: ALL,
        with: &[Release::Bookworm],
        kind: Kind::Improvement,
        reason: "The program runs. QEMU 7.2 takes descriptor 0 as missing, and cannot open a program that may not be read.",
    },
    Difference {
        fields: &["code", "err", "reports"],
        cases: &["dynamic"],
        on: ALL,
        with: BOTH,
        kind: Kind::Improvement,
        reason: "A dynamic program runs if its dynamic linker is below a sysroot of the row, and not below `/`: it gets `-L`. Directly, QEMU says that it cannot open the linker, and ends with 255. As with `QEMU_LD_PREFIX`, files below the sysroot then hide those below `/` from the program. There is no `-L`, and no difference, for static programs, for privileged starts, and where the caller has set `QEMU_LD_PREFIX`.",
    },
];

/// Differences between QEMU 7.2 and QEMU 10.0, both through binfmt-dispatch.
pub const QEMU_DIFFERENCES: &[Difference] = &[
    Difference {
        fields: &["aux.16"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "AT_HWCAP: the newer one emulates or reports more features of the CPU.",
    },
    Difference {
        fields: &["aux.26"],
        cases: &[],
        on: &[Foreign::Arm, Foreign::S390x],
        with: BOTH,
        kind: Kind::Qemu,
        reason: "AT_HWCAP2: the same.",
    },
    Difference {
        fields: &["aux.33"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "AT_SYSINFO_EHDR: the newer one has a vDSO for its programs.",
    },
    Difference {
        fields: &["cpuinfo"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "/proc/cpuinfo: the newer one shows the emulated CPU; the older one shows the host's, except for a few architectures.",
    },
    Difference {
        fields: &["env"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "The older one passes the environment in reverse order.",
    },
    Difference {
        fields: &["host.environ"],
        cases: &["foreign-shell"],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "A foreign shell passes the environment on in the order in which it got it.",
    },
    Difference {
        fields: &["descriptor"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "O_LARGEFILE among the flags of a descriptor: only the newer one reports it.",
    },
    Difference {
        fields: &["proc.status.SigCgt", "host.status.SigCgt"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "The newer one catches only the signals that it needs itself.",
    },
    Difference {
        fields: &["proc.status.SigIgn", "host.status.SigIgn"],
        cases: &["signals"],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "The older one catches ignored signals and drops them; the newer one leaves them ignored.",
    },
    Difference {
        fields: &["signal-blocked"],
        cases: &["signals"],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "They map real-time signals in different ways.",
    },
    Difference {
        fields: &["proc.exe"],
        cases: &["deleted", "memfd", "memfd-path"],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "If the file has no path any more, the older one fails; the newer one reports the same as the kernel.",
    },
    Difference {
        fields: &["err"],
        cases: &["dynamic-prefix-elsewhere", "dynamic-setuid"],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "The name in front of the messages: Debian calls the older one `qemu-<cpu>-static`.",
    },
    Difference {
        fields: &["host.exe"],
        cases: &[],
        on: ALL,
        with: BOTH,
        kind: Kind::Qemu,
        reason: "Each is in an image of its own.",
    },
];
