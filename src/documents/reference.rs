//! The book's pages about the commands, in Markdown: an overview, and one page for each command.

use std::fmt::Write;

use clap::{Arg, Command};

use super::overview::{DESCRIPTION, sections};
use super::{Directory, Document, MARK, name, shown};

/// All pages.
pub fn pages(command: &Command) -> Vec<Document> {
    let page = |of: &Command, text: String| Document {
        directory: Directory::Book,
        name: file(of),
        text: format!("<!-- {MARK} -->\n\n{text}"),
    };
    let of_commands = shown(command).map(|one| page(one, start(one, &[]) + &arguments(one)));
    [page(command, overview(command))].into_iter().chain(of_commands).collect()
}

fn file(command: &Command) -> String {
    format!("{}.md", name(command))
}

fn overview(command: &Command) -> String {
    let mut page = start(command, &DESCRIPTION);
    page += "## Commands\n\n| command | does |\n|---|---|\n";
    for one in shown(command) {
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        line(&mut page, format_args!("| [{}]({}) | {} |", one.get_name(), file(one), text(&about)));
    }
    page += "\n";
    page += &arguments(command);
    for section in sections(command) {
        line(&mut page, format_args!("\n## {}\n", section.title));
        for (term, meaning) in &section.terms {
            line(&mut page, format_args!("* `{term}`: {}", text(meaning)));
        }
    }
    page
}

/// Title, call, description with more paragraphs.
fn start(command: &Command, paragraphs: &[&str]) -> String {
    let called = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let usage = command.clone().render_usage().to_string();
    let mut page = format!("# {called}\n\n```\n{}\n```\n\n", usage.trim_start_matches("Usage: "));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    line(&mut page, format_args!("{}\n", text(&about)));
    for paragraph in paragraphs {
        line(&mut page, format_args!("{}\n", text(paragraph)));
    }
    page
}

/// Arguments and options, under the titles that they have in `--help`.
fn arguments(command: &Command) -> String {
    let mut groups: Vec<(&str, Vec<&Arg>)> = vec![("Arguments", Vec::new()), ("Options", Vec::new())];
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let usual = if argument.is_positional() { "Arguments" } else { "Options" };
        let title = argument.get_help_heading().unwrap_or(usual);
        match groups.iter_mut().find(|(other, _)| *other == title) {
            Some((_, group)) => group.push(argument),
            None => groups.push((title, vec![argument])),
        }
    }
    let mut page = String::new();
    for (title, group) in groups.iter().filter(|(_, group)| !group.is_empty()) {
        let between = if page.is_empty() { "" } else { "\n" };
        line(&mut page, format_args!("{between}## {title}\n"));
        for argument in group {
            line(&mut page, format_args!("* {}: {}", call(argument), meaning(argument)));
        }
    }
    page
}

/// The option as it is called, with its value.
fn call(argument: &Arg) -> String {
    if argument.is_positional() {
        return format!("`{argument}`");
    }
    let short = argument.get_short().map(|letter| format!("`-{letter}`, ")).unwrap_or_default();
    let values = match argument.get_value_names() {
        Some(names) if argument.get_action().takes_values() => {
            names.iter().map(|name| format!(" {name}")).collect::<String>()
        }
        _ => String::new(),
    };
    let long = argument.get_long().map(|long| format!("--{long}")).unwrap_or_default();
    format!("{short}`{long}{values}`")
}

/// What the option does, with its default, and a list of the values that it may have.
fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut meaning = text(&help).replace("\n\n", "\n\n  ");
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(meaning, " (`{}` unless given)", defaults.join(" "));
    }
    for value in argument.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
        let help = value.get_help().map(|help| format!(": {}", text(&help.to_string()))).unwrap_or_default();
        if argument.get_action().takes_values() {
            let _ = write!(meaning, "\n  * `{}`{help}", value.get_name());
        }
    }
    meaning
}

/// Text in which only what stands between backquotes is markup.
fn text(plain: &str) -> String {
    let escaped = |part: &str| -> String {
        let mark = |c: char| if "\\*_<[|".contains(c) { vec!['\\', c] } else { vec![c] };
        part.chars().flat_map(mark).collect()
    };
    let parts: Vec<&str> = plain.split('`').collect();
    let code = |(index, part): (usize, &&str)| if index % 2 == 0 { escaped(part) } else { (*part).to_owned() };
    parts.iter().enumerate().map(code).collect::<Vec<_>>().join("`")
}

fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes everything that is written to it.
    let _ = writeln!(page, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_markup() {
        assert_eq!(text("say `a_b <c>` of *.json | [x] <y> \\"), "say `a_b <c>` of \\*.json \\| \\[x] \\<y> \\\\");
    }
}
