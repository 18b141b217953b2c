//! The man pages: an overview, one page for each command, and the format of the table.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use dispatch_core::NAME;

use super::overview::{DESCRIPTION, sections};
use super::{Directory, Document, MARK, name, shown};

/// The section of commands for administrators.
const COMMANDS: &str = "8";
/// The name of the page about the table, in section 5.
const TABLE: &str = "binfmt-dispatch-table";
/// What follows the title: no hyphens in words, a ragged margin.
const LAYOUT: &str = ".nh\n.ad l";
/// Lines that the renderer puts in front of each of its parts.
const PREAMBLE: [&str; 2] = [r".ie \n(.g .ds Aq \(aq", ".el .ds Aq '"];
/// Pages of other projects that are worth reading.
const OTHERS: [(&str, &str); 4] =
    [("binfmt.d", "5"), ("systemd-binfmt", "8"), ("update-binfmts", "8"), ("qemu-user-static", "1")];

/// All pages.
pub fn pages(command: &Command) -> Vec<Document> {
    let shown: Vec<&Command> = shown(command).collect();
    let mut pages = vec![page(command, overview(command, &shown))];
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
    for section in sections(command) {
        rest.control("SH", [section.title.to_uppercase().as_str()]);
        for (term, meaning) in &section.terms {
            definition(&mut rest, term, meaning);
        }
    }
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
