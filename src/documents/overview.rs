//! What the overview of all commands says in addition to `--help`. The man page and the book's page
//! both have it.

use clap::Command;

use crate::defaults;

/// What the list of exit codes begins with in `--help`.
const EXIT_CODES: &str = "Exit codes: ";

/// The first paragraphs.
pub const DESCRIPTION: [&str; 2] = [
    "The kernel starts binfmt-dispatch, through binfmt_misc, for each program of another architecture. It reads the \
     ELF header, picks an emulator (QEMU user mode) from a table, and the process becomes the emulator, without a \
     second exec. Run by hand, the same file is a command that registers entries and explains why a program does not \
     run.",
    "Architectures (ARCH) have any of the names that tools use for them: arm64, aarch64, linux/arm64, arm64v8, \
     aarch64-linux-gnu. `binfmt-dispatch list` shows those that the table has.",
];
const EXAMPLES: [(&str, &str); 4] = [
    ("binfmt-dispatch explain ./program", "Says which emulator runs the program, or why it does not run."),
    ("binfmt-dispatch run ./program", "Runs it without any registration."),
    ("binfmt-dispatch unshare", "Starts a shell in which programs of other architectures run; root is not needed."),
    ("sudo binfmt-dispatch install arm64", "Registers programs for arm64 on this machine, now and at each boot."),
];
const FILES: [(&str, &str); 4] = [
    (defaults::IMAGE, "The image: the file that is registered with the kernel. It is the command as well."),
    ("/etc/binfmt-dispatch/*.json", "Rows of the table that go into every image, see binfmt-dispatch-table(5)."),
    ("/usr/lib/binfmt.d/zz-binfmt-dispatch.conf", "The entries that systemd-binfmt registers at each boot."),
    (defaults::REGISTRY, "The kernel's entries."),
];
const ENVIRONMENT: [(&str, &str); 3] = [
    ("NO_COLOR", "If it is set and not empty, the output has no colours."),
    ("CLICOLOR_FORCE", "If it is set and not empty, the output has colours, also if it is no terminal."),
    ("QEMU_CPU", "The emulator's CPU model, in place of the table's. It has no effect on set-user-ID programs."),
];

/// Words, and what each of them means.
pub struct Section {
    pub title: &'static str,
    pub terms: Vec<(String, String)>,
}

/// The sections that follow the list of commands.
pub fn sections(command: &Command) -> [Section; 4] {
    let section = |title, terms: &[(&str, &str)]| Section {
        title,
        terms: terms.iter().map(|(term, meaning)| (term.to_string(), meaning.to_string())).collect(),
    };
    let codes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let codes = codes.trim_start_matches(EXIT_CODES).trim_end_matches('.').split("; ");
    let codes: Vec<(&str, &str)> = codes.filter_map(|code| code.split_once(' ')).collect();
    [
        section("Examples", &EXAMPLES),
        section("Exit status", &codes),
        section("Files", &FILES),
        section("Environment", &ENVIRONMENT),
    ]
}
