//! The commands in docs/questions.md, and in other pages for readers who begin, print what is shown.
//!
//! Each section runs in a namespace of its own, in the state that questions.sh, or the page's own
//! file, makes for it.

use std::collections::BTreeMap;

use crate::support::{Namespace, Scratch, need};

/// A page, what its sections need, and how many have commands.
struct Page {
    name: &'static str,
    text: &'static str,
    setups: &'static str,
    answered: usize,
}

pub(super) const PRELUDE: &str = include_str!("questions.prelude.sh");

/// Begins the output of each command. No command prints it.
pub(super) const MARK: &str = "===== command";

/// A command, and the output that the page shows.
pub(super) struct Shown<'p> {
    /// The function of the prelude that runs it.
    pub(super) run: &'static str,
    pub(super) command: String,
    output: Vec<&'p str>,
}

impl Shown<'_> {
    /// The line of a script that runs it, after the mark.
    pub(super) fn line(&self) -> String {
        format!("echo '{MARK}'\n{} '{}'\n", self.run, self.command.replace('\'', r"'\''"))
    }
}

/// The text of each section, by its title.
pub(super) fn sections(text: &str) -> BTreeMap<&str, &str> {
    let sections = text.split("\n## ").skip(1);
    sections.map(|section| section.split_once('\n').expect("a title, and text")).collect()
}

/// The commands of a section. One that goes on in the next line is made one line.
pub(super) fn commands(section: &str) -> Vec<Shown<'_>> {
    let mut commands: Vec<Shown<'_>> = Vec::new();
    for block in section.split("```\n").skip(1).step_by(2) {
        let mut lines = block.lines().peekable();
        assert!(lines.peek().is_some_and(|line| line.starts_with(['$', '#'])), "a block without a command:\n{block}");
        for line in lines {
            let (run, command) = match line.split_at_checked(2) {
                Some(("$ ", command)) => ("run_as_user", command),
                Some(("# ", command)) => ("run_as_root", command),
                _ => {
                    let last = commands.last_mut().expect("a block begins with a command");
                    match last.command.strip_suffix('\\') {
                        Some(begun) => last.command = format!("{begun}{}", line.trim_start()),
                        None => last.output.push(line),
                    }
                    continue;
                }
            };
            commands.push(Shown { run, command: command.to_owned(), output: Vec::new() });
        }
    }
    commands
}

/// Whether `printed` is what the page shows. `…` stands for any text, and in a line of its own for
/// any lines.
fn agrees(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], printed) => printed.is_empty(),
        (["…", rest @ ..], printed) => (0..=printed.len()).any(|skipped| agrees(rest, &printed[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => is_line(line, first) && agrees(rest, others),
        _ => false,
    }
}

fn is_line(shown: &str, printed: &str) -> bool {
    let Some((start, mut rest)) = shown.split_once('…') else { return shown == printed };
    let Some(mut printed) = printed.strip_prefix(start) else { return false };
    while let Some((part, next)) = rest.split_once('…') {
        let Some((_, after)) = printed.split_once(part) else { return false };
        (rest, printed) = (next, after);
    }
    printed.ends_with(rest)
}

/// Without empty lines at the end.
fn trimmed<'l>(lines: impl IntoIterator<Item = &'l str>) -> Vec<&'l str> {
    let mut lines: Vec<&str> = lines.into_iter().collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

#[test]
fn lines_agree_if_only_what_is_left_out_differs() {
    assert!(is_line("a … c", "a b c") && is_line("…", "") && is_line("x", "x") && is_line("…/a…b", "/a/a b"));
    assert!(!is_line("a … c", "a b d") && !is_line("x", "xy") && !is_line("a…", "b"));
    assert!(agrees(&["a", "…", "d"], &["a", "b", "c", "d"]) && agrees(&["a", "…"], &["a"]));
    assert!(!agrees(&["a", "…", "d"], &["a", "b"]) && !agrees(&[], &["a"]) && !agrees(&["a"], &[]));
}

#[test]
fn have_the_answers_that_are_shown() {
    need!(Namespace, Root, Guests, Qemu, CrossCompilers, Uidmap, Buildah, Mmdebstrap);
    shown_and_printed(&Page {
        name: "docs/questions.md",
        text: include_str!("../../docs/questions.md"),
        setups: include_str!("questions.sh"),
        answered: 30,
    });
}

#[test]
fn other_registrations_are_taken_over_as_shown() {
    need!(Namespace, Root, Qemu, Systemd);
    shown_and_printed(&Page {
        name: "docs/migration.md",
        text: include_str!("../../docs/migration.md"),
        setups: include_str!("migration.sh"),
        answered: 5,
    });
}

#[test]
fn an_exec_format_error_is_mended_as_shown() {
    need!(Namespace, Root, CrossCompilers, Qemu);
    shown_and_printed(&Page {
        name: "docs/start-error.md",
        text: include_str!("../../docs/start-error.md"),
        setups: include_str!("start-error.sh"),
        answered: 3,
    });
}

#[test]
fn in_wsl_programs_for_windows_go_on_as_shown() {
    need!(Namespace, Root, Qemu, Systemd);
    shown_and_printed(&Page {
        name: "docs/wsl.md",
        text: include_str!("../../docs/wsl.md"),
        setups: include_str!("wsl.sh"),
        answered: 2,
    });
}

/// Runs the commands of each section, and compares what they print.
fn shown_and_printed(page: &Page) {
    let (sections, setups) = (sections(page.text), sections(page.setups));
    let answered = sections.iter().filter(|(_, text)| text.contains("```"));
    assert_eq!(
        answered.clone().map(|(title, _)| *title).collect::<Vec<_>>(),
        setups.keys().copied().collect::<Vec<_>>()
    );
    assert_eq!(setups.len(), page.answered);
    // Functions for all sections stand in front of the first.
    let common = page.setups.split("\n## ").next().expect("a beginning");
    for (title, text) in answered {
        let scratch = Scratch::new();
        scratch.probe("i386", "i386");
        let commands = commands(text);
        let lines: String = commands.iter().map(Shown::line).collect();
        let script = format!("{PRELUDE}\n{common}\n{}\n{lines}", setups[title]);
        let seen = Namespace::empty().mapped().run(&scratch, &script);
        let printed: Vec<Vec<&str>> =
            seen.out().split(&format!("{MARK}\n")).map(|part| trimmed(part.lines())).collect();
        assert!(
            printed.len() == commands.len() + 1 && printed[0].is_empty() && seen.err().is_empty(),
            "{title}\n{seen}"
        );
        for (shown, printed) in commands.iter().zip(&printed[1..]) {
            let expected = trimmed(shown.output.iter().copied());
            let (command, expected, found) = (&shown.command, expected.join("\n"), printed.join("\n"));
            let right = agrees(&trimmed(shown.output.iter().copied()), printed);
            assert!(right, "{title}\n$ {command}\n{found}\n--- {} has\n{expected}", page.name);
        }
    }
}
