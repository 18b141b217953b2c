//! Completions. The shell's script asks the command, which knows its options and architectures.

use std::ffi::{OsStr, OsString};
use std::io;

use clap::builder::ValueHint;
use clap::{Arg, Command};
use clap_complete::engine::{self, ArgValueCompleter, CompletionCandidate};
use dispatch_core::NAME;
use dispatch_table::ArchTable;

use super::{Directory, Document, MARK};

/// The name of architectures among the names of values.
const ARCHITECTURE: &str = "ARCH";

/// The scripts, with `MARK` where the mark belongs.
const SCRIPTS: [(Directory, &str, &str); 3] = [
    (Directory::Bash, "NAME", include_str!("completion.bash")),
    (Directory::Zsh, "_NAME", include_str!("completion.zsh")),
    (Directory::Fish, "NAME.fish", include_str!("completion.fish")),
];

/// The scripts for shells.
pub fn scripts() -> impl Iterator<Item = Document> {
    SCRIPTS.into_iter().map(|(directory, name, text)| Document {
        directory,
        name: name.replace("NAME", NAME),
        text: text.replacen("MARK", MARK, 1),
    })
}

/// What may stand in place of the word `index` of a command line, and what each of that means: one
/// line each, value and meaning separated by a tab. There is nothing for files: the script leaves
/// them to the shell.
///
/// # Errors
/// The engine finds no place for the word.
pub fn candidates(
    command: Command,
    table: &ArchTable,
    mut words: Vec<OsString>,
    index: usize,
) -> Result<String, io::Error> {
    if words.len() <= index {
        words.resize(index + 1, OsString::new());
    }
    let option = words[index].as_encoded_bytes().starts_with(b"-");
    let names = names(table);
    let found = engine::complete(&mut with_values(command, &names), words, index, None)?;
    let lines = found.iter().filter_map(|found| {
        let value = found.get_value().to_str()?;
        let meaning = found.get_help().map(ToString::to_string).unwrap_or_default();
        // Options are offered to those who begin with a dash.
        (option || !value.starts_with('-'))
            .then(|| format!("{value}\t{}\n", meaning.lines().next().unwrap_or_default()))
    });
    Ok(lines.collect())
}

/// The command with completers for values, by the names that the values have in `--help`.
fn with_values(command: Command, names: &[(String, String)]) -> Command {
    let value = |argument: Arg| {
        let is = |wanted: &str| argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == wanted));
        if is(ARCHITECTURE) {
            let names = names.to_vec();
            return argument.add(ArgValueCompleter::new(move |current: &OsStr| architectures(&names, current)));
        }
        if argument.get_action().takes_values() { argument.value_hint(ValueHint::Other) } else { argument }
    };
    command.mut_args(value).mut_subcommands(|command| with_values(command, names))
}

/// The names of all architectures, and what each means.
fn names(table: &ArchTable) -> Vec<(String, String)> {
    let row = |row: &dispatch_table::Architecture| {
        let own = (row.name.clone(), format!("{} {}", row.class, row.data));
        let alias = |alias: &String| (alias.clone(), format!("{}, {}", row.name, own.1));
        let aliases: Vec<_> = row.aliases.iter().map(alias).collect();
        [own].into_iter().chain(aliases).collect::<Vec<_>>()
    };
    table.architectures().iter().flat_map(row).collect()
}

/// Those that begin with `current`.
fn architectures(names: &[(String, String)], current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let begins = |(name, _): &&(String, String)| name.starts_with(&*current);
    let candidate = |(name, meaning): &(String, String)| CompletionCandidate::new(name).help(Some(meaning.into()));
    names.iter().filter(begins).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn values(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let last = words.len() - 1;
        let found = candidates(Cli::command(), &ArchTable::builtin(), words, last).unwrap();
        found.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn architectures_stand_for_themselves() {
        for line in ["x install s39", "x install arm64 --dry-run s39", "x list s39", "x unshare -a s39", "x tune s39"] {
            assert_eq!(values(line), ["s390x"], "{line}");
        }
        assert_eq!(values("x register armh"), ["armhf", "armhfp"]);
        assert_eq!(values("x generate --host=s39"), ["--host=s390x"]);
        assert!(values("x install ").len() > 33);
    }

    #[test]
    fn files_are_left_to_the_shell() {
        for line in ["x explain ", "x run ./p", "x image -o ", "x install --root ", "x --table "] {
            assert_eq!(values(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn commands_and_options_are_those_of_the_definition() {
        assert_eq!(values("x unr"), ["unregister"]);
        assert!(values("x ").iter().all(|value| value != "helper" && !value.starts_with('-')));
        assert!(values("x install --r").contains(&"--replace".to_owned()));
        assert_eq!(values("x generate --format n"), ["nixos"]);
        assert_eq!(values("x hel"), ["help"]);
    }
}
