//! The man pages: an overview, one page for each command, and the format of the table.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use dispatch_core::NAME;

use super::{Directory, Document, MARK};
use crate::defaults;

/// The section of commands for administrators.
const COMMANDS: &str = "8";
/// The name of the page about the table, in section 5.
const TABLE: &str = "binfmt-dispatch-table";
/// What the list of exit codes begins with in `--help`.
const EXIT_CODES: &str = "Exit codes: ";
/// What follows the title: no hyphens in words, a ragged margin.
const LAYOUT: &str = ".nh\n.ad l";
/// Lines that the renderer puts in front of each of its parts.
const PREAMBLE: [&str; 2] = [r".ie \n(.g .ds Aq \(aq", ".el .ds Aq '"];
/// Pages of other projects that are worth reading.
const OTHERS: [(&str, &str); 4] =
    [("binfmt.d", "5"), ("systemd-binfmt", "8"), ("update-binfmts", "8"), ("qemu-user-static", "1")];

/// What the overview says in addition to `--help`.
const DESCRIPTION: [&str; 2] = [
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

/// All pages.
pub fn pages(command: Command) -> Vec<Document> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let shown: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let mut pages = vec![page(&command, overview(&command, &shown))];
    pages.extend(shown.iter().map(|one| page(one, of_command(one))));
    pages.push(Document {
        directory: Directory::Formats,
        name: format!("{TABLE}.5"),
        text: marked(&include_str!("binfmt-dispatch-table.5").replacen("VERSION", env!("CARGO_PKG_VERSION"), 1)),
    });
    pages
}

fn page(command: &Command, text: String) -> Document {
    Document { directory: Directory::Commands, name: format!("{}.{COMMANDS}", name(command)), text: marked(&text) }
}

/// The name of a command's page.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn marked(text: &str) -> String {
    format!(".\\\" {MARK}\n{text}")
}

fn overview(command: &Command, commands: &[&Command]) -> String {
    let mut list = Roff::new();
    list.control("SH", ["COMMANDS"]);
    for command in commands {
        list.control("TP", []);
        list.text([bold(name(command)), roman(format!("({COMMANDS})"))]);
        list.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    let mut rest = Roff::new();
    rest.control("SH", ["EXAMPLES"]);
    for (call, meaning) in EXAMPLES {
        definition(&mut rest, call, meaning);
    }
    rest.control("SH", ["EXIT STATUS"]);
    let codes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for (code, meaning) in
        codes.trim_start_matches(EXIT_CODES).trim_end_matches('.').split("; ").filter_map(|code| code.split_once(' '))
    {
        definition(&mut rest, code, meaning);
    }
    rest.control("SH", ["FILES"]);
    for (path, meaning) in [
        (defaults::IMAGE, "The image: the file that is registered with the kernel. It is the command as well."),
        ("/etc/binfmt-dispatch/*.json", "Rows of the table that go into every image, see binfmt-dispatch-table(5)."),
        ("/usr/lib/binfmt.d/zz-binfmt-dispatch.conf", "The entries that systemd-binfmt registers at each boot."),
        (defaults::REGISTRY, "The kernel's entries."),
    ] {
        definition(&mut rest, path, meaning);
    }
    rest.control("SH", ["ENVIRONMENT"]);
    definition(&mut rest, "NO_COLOR", "If it is set and not empty, the output has no colours.");
    definition(
        &mut rest,
        "CLICOLOR_FORCE",
        "If it is set and not empty, the output has colours, also if it is no terminal.",
    );
    definition(
        &mut rest,
        "QEMU_CPU",
        "The emulator's CPU model, in place of the table's. It has no effect on set-user-ID programs.",
    );
    let own = commands.iter().map(|command| (name(command), COMMANDS)).chain([(TABLE, "5")]);
    [start(command, &DESCRIPTION), list.to_roff(), rest.to_roff(), see_also(own.chain(OTHERS))].concat_pages()
}

fn of_command(command: &Command) -> String {
    [start(command, &[]), see_also([(NAME, COMMANDS), (TABLE, "5")].into_iter())].concat_pages()
}

/// Title, name, synopsis, description with more paragraphs, options.
fn start(command: &Command, paragraphs: &[&str]) -> String {
    let man = Man::new(command.clone())
        .section(COMMANDS)
        .source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))
        .manual(NAME);
    let mut parts = Vec::new();
    // A vector takes everything that is written to it.
    let _ = man.render_title(&mut parts).and_then(|()| man.render_name_section(&mut parts));
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let called = command.get_bin_name().unwrap_or(NAME);
    synopsis.text([bold(called), roman(usage.strip_prefix(called).unwrap_or(usage))]);
    parts.extend(synopsis.to_roff().into_bytes());
    let _ = man.render_description_section(&mut parts);
    let mut description = Roff::new();
    for paragraph in paragraphs {
        description.control("PP", []);
        description.text([roman(*paragraph)]);
    }
    parts.extend(description.to_roff().into_bytes());
    let _ = man.render_options_section(&mut parts);
    String::from_utf8_lossy(&parts).into_owned()
}

fn see_also<'n>(pages: impl Iterator<Item = (&'n str, &'n str)>) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for (name, section) in pages {
        if !words.is_empty() {
            words.push(roman(", "));
        }
        words.extend([bold(name), roman(format!("({section})"))]);
    }
    roff.text(words);
    roff.to_roff()
}

fn definition(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}

trait Pages {
    /// One page of these parts, with one preamble and code in bold.
    fn concat_pages(&self) -> String;
}

impl Pages for [String] {
    fn concat_pages(&self) -> String {
        let parts = self.concat();
        let lines = parts.lines().filter(|line| !PREAMBLE.contains(line)).map(code);
        let laid_out =
            |line: String| if line.starts_with(".TH ") { format!("{line}\n{LAYOUT}\n") } else { line + "\n" };
        PREAMBLE.iter().map(ToString::to_string).chain(lines).map(laid_out).collect()
    }
}

/// A line in which what stands between backquotes is bold.
fn code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    if parts.len() % 2 == 0 {
        return line.to_owned();
    }
    let shown =
        |(index, part): (usize, &&str)| if index % 2 == 0 { (*part).to_owned() } else { format!("\\fB{part}\\fR") };
    parts.iter().enumerate().map(shown).collect()
}
