//! Man pages, the book's pages about the commands, and completions.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::{Observation, Scratch, TOOL, need};

/// The documents, as they are below `share`.
fn documents(scratch: &Scratch) -> PathBuf {
    scratch.tool(["helper", "documents", "share"]).succeeded();
    scratch.path().join("share")
}

/// The pages of a section.
fn pages(scratch: &Scratch, section: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(documents(scratch).join(section)).unwrap();
    let pages: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    assert!(!pages.is_empty());
    pages
}

/// The commands that `--help` lists.
fn commands(scratch: &Scratch) -> Vec<String> {
    let help = scratch.tool(["--help"]);
    let list = help.succeeded().out().split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // Longer descriptions go on in the next line, further to the right.
    let lines = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    lines.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The options in the help of a command: `--name`.
fn options(help: &str) -> BTreeSet<&str> {
    let begins = |line: &&str| line.trim_start().starts_with('-');
    let words = help.lines().filter(begins).flat_map(|line| line.split([' ', ',', '=', '[']));
    let words = words.map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).collect()
}

#[test]
fn every_command_and_option_has_its_place_in_a_page() {
    let scratch = Scratch::new();
    let man = documents(&scratch).join("man");
    let read = |path: &str| std::fs::read_to_string(man.join(path)).unwrap().replace("\\-", "-");
    let overview = read("man8/binfmt-dispatch.8");
    let commands = commands(&scratch);
    assert!(commands.len() >= 12, "{commands:?}");
    for command in &commands {
        let help = scratch.tool([command, "--help"]);
        let page = read(&format!("man8/binfmt-dispatch-{command}.8"));
        let options = options(help.succeeded().out());
        assert!(options.contains("--help") && options.contains("--table"), "{options:?}\n{help}");
        for option in options {
            assert!(page.contains(&format!("\\fB{option}\\fR")), "{command}: {option}\n{page}");
        }
        let about = help.out().lines().next().unwrap().replace('`', "");
        let plain = page.replace("\\fB", "").replace("\\fR", "").replace("\\*(Aq", "'");
        assert!(plain.contains(&format!("binfmt-dispatch-{command} - {about}")), "{command}: {about}\n{plain}");
        assert!(overview.contains(&format!("\\fBbinfmt-dispatch-{command}\\fR(8)")), "{command}\n{overview}");
    }
    let help = scratch.tool(["--help"]);
    for option in options(help.succeeded().out()) {
        assert!(overview.contains(option), "{option}\n{overview}");
    }
    for code in ["0", "1", "2", "125", "126", "127"] {
        assert!(overview.contains(&format!("\\fB{code}\\fR\n")), "{code}\n{overview}");
    }
    assert_eq!(pages(&scratch, "man/man8").len(), commands.len() + 1);
}

#[test]
fn every_command_and_option_has_its_place_in_the_book() {
    let scratch = Scratch::new();
    scratch.tool(["helper", "reference", "book/commands"]).succeeded();
    let book = scratch.path().join("book/commands");
    let read = |name: &str| std::fs::read_to_string(book.join(name)).unwrap();
    let overview = read("binfmt-dispatch.md");
    let commands = commands(&scratch);
    for command in &commands {
        let page = read(&format!("binfmt-dispatch-{command}.md"));
        let help = scratch.tool([command, "--help"]);
        let mut lines = page.lines().skip(2);
        assert_eq!(lines.next(), Some(format!("# binfmt-dispatch {command}").as_str()), "{page}");
        let about = help.succeeded().out().lines().next().unwrap();
        assert!(page.contains(about), "{about}\n{page}");
        for option in options(help.out()) {
            // What precedes the meaning, which may name other options.
            let told = page.lines().filter(|line| line.starts_with("* `-")).filter_map(|line| line.split("`: ").next());
            let places = told.filter(|line| line.split(['`', ' ']).any(|word| word == option)).count();
            assert_eq!(places, 1, "{command}: {option}\n{page}");
        }
        let row = format!("| [{command}](binfmt-dispatch-{command}.md) | ");
        assert!(overview.lines().any(|line| line.starts_with(&row)), "{row}\n{overview}");
    }
    let files = std::fs::read_dir(&book).unwrap().count();
    assert_eq!(files, commands.len() + 1);
    for code in ["0", "1", "2", "125", "126", "127"] {
        assert!(overview.contains(&format!("\n* `{code}`: ")), "{code}\n{overview}");
    }
    // Values, their meanings and defaults.
    let generate = read("binfmt-dispatch-generate.md");
    for shown in ["\n* `--format FORMAT`: ", " (`binfmt-d` unless given)\n", "\n  * `openrc`: "] {
        assert!(generate.contains(shown), "{shown}\n{generate}");
    }
}

#[test]
fn every_field_of_a_table_has_its_place_in_a_page() {
    let scratch = Scratch::new();
    let page = std::fs::read_to_string(documents(&scratch).join("man/man5/binfmt-dispatch-table.5")).unwrap();
    // The list of allowed keys, which comes from where tables are read.
    let keys = |row: &str| {
        scratch.write("table", format!(r#"{{"version": 1, "architectures": [{{"name": "alpha", {row}}}]}}"#));
        let run = scratch.tool(["--table", "table", "list"]);
        let keys = run.exited(2).err().split("use one of ").nth(1).unwrap_or_else(|| panic!("{run}")).trim().to_owned();
        keys.split(", ").map(str::to_owned).collect::<Vec<String>>()
    };
    let mut all = keys(r#""z": 1"#);
    for object in ["flags", "probe", "property"] {
        all.extend(keys(&format!(r#""{object}": {{"z": 1}}"#)));
    }
    all.extend(keys(r#""versions": [{"z": 1}]"#));
    all.extend(keys(r#""machine": [{"z": 1}]"#));
    assert!(all.len() > 30, "{all:?}");
    for key in all {
        let named =
            [".BR ", "\" ", "\", ", "with ", "and "].iter().any(|before| {
                page.lines().filter(|line| line.starts_with(".B")).any(|line| line.contains(&format!("{before}{key}")))
                    || page.contains(&format!(".BR {key} "))
            }) || page.lines().any(|line| line.starts_with(".BR") && line.split([' ', '"']).any(|word| word == key));
        assert!(named, "{key}\n{page}");
    }
}

#[test]
fn pages_are_well_formed() {
    need!(Man);
    let scratch = Scratch::new();
    for page in [pages(&scratch, "man/man8"), pages(&scratch, "man/man5")].concat() {
        let page = page.to_str().unwrap();
        let run = scratch.run("man", ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page]);
        assert!(run.succeeded().err().is_empty(), "{run}");
        // What `whatis` and `apropos` read.
        let name = page.rsplit('/').next().unwrap().rsplit_once('.').unwrap().0;
        let run = scratch.run("lexgrog", [page]);
        assert!(run.succeeded().out().contains(&format!(": \"{name} - ")), "{run}");
        // Lines for 80 columns, with nothing that the renderer did not understand.
        let shown = scratch.shell(&format!("MANWIDTH=80 man -E UTF-8 -l {page} | cat"));
        let text = shown.succeeded().out();
        let bad = |line: &&str| line.chars().count() > 80 || line.contains(['`', '\\']);
        assert_eq!(text.lines().find(bad), None, "{shown}");
        assert!(text.contains("NAME") && text.contains("SEE ALSO"), "{shown}");
    }
}

/// What bash offers for the last of these words.
fn bash(scratch: &Scratch, words: &[&str]) -> Observation {
    let script = r#"
        source share/bash-completion/completions/binfmt-dispatch || exit 3
        [[ $(complete -p binfmt-dispatch) == *"-o default"*"-F _binfmt_dispatch binfmt-dispatch" ]] || exit 4
        COMP_WORDS=(binfmt-dispatch "$@") COMP_CWORD=$#
        _binfmt_dispatch "$TOOL" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut command = scratch.command("bash");
    Observation::of(command.args(["-c", script, "bash"]).args(words).env("TOOL", TOOL))
}

#[test]
fn bash_completes() {
    let scratch = Scratch::new();
    documents(&scratch);
    bash(&scratch, &["unr"]).printed("unregister\n");
    bash(&scratch, &["install", "arm64", "s39"]).printed("s390x\n");
    bash(&scratch, &["install", "--dry"]).printed("--dry-run\n");
    bash(&scratch, &["register", "armh"]).printed("armhf\narmhfp\n");
    bash(&scratch, &["generate", "--format", "reg"]).printed("register\n");
    // Bash splits at `=`, and replaces what follows it.
    bash(&scratch, &["generate", "--format", "=", "reg"]).printed("register\n");
    bash(&scratch, &["generate", "--host", "=", "s39"]).printed("s390x\n");
    // Nothing: bash completes a file then.
    for words in
        [&["explain", ""][..], &["run", "./b"], &["--table", ""], &["image", "-o", "x"], &["list", "--image", "="]]
    {
        bash(&scratch, words).printed("\n");
    }
    // In an interactive shell, with files.
    scratch.write("program", "");
    let run = scratch.shell(
        r"
        {
            sleep 1
            echo 'source share/bash-completion/completions/binfmt-dispatch; PATH=${TOOL%/*}:$PATH'
            sleep 1
            printf 'binfmt-dispatch explain ./prog\t#\nbinfmt-dispatch list s39\t#\n'
            sleep 3
        } | TERM=dumb script -qec 'bash --norc --noprofile -i' /dev/null
        ",
    );
    assert!(run.out().contains("explain ./program #") && run.out().contains("list s390x #"), "{run}");
}

#[test]
fn zsh_completes() {
    need!(Zsh);
    let scratch = Scratch::new();
    documents(&scratch);
    // Its functions for completion, replaced by some that print what they get.
    let asked = |words: &str, current: u32| {
        scratch.shell(&format!(
            r#"zsh -f -n share/zsh/site-functions/_binfmt-dispatch && zsh -f -c '
                _describe() {{ print -l -- "${{(P@)argv[-1]}}" }}
                _files() {{ print files }}
                words=({words}) CURRENT={current}
                fpath=(share/zsh/site-functions) ; autoload -U _binfmt-dispatch; _binfmt-dispatch'"#
        ))
    };
    asked("$TOOL unreg", 2).printed("unregister:Remove the entries of binfmt-dispatch from the kernel\n");
    asked("$TOOL install arm64 s39", 4).printed("s390x:64-bit big-endian\n");
    asked("$TOOL list \"\"", 3).out().contains("aarch64:64-bit little-endian").then_some(()).expect("all names");
    asked("$TOOL explain \"\"", 3).printed("files\n");
}

#[test]
fn fish_completes() {
    need!(Fish);
    let scratch = Scratch::new();
    documents(&scratch);
    scratch.write("program", "");
    let asked = |line: &str| {
        let script = format!("source share/fish/vendor_completions.d/binfmt-dispatch.fish; complete -C '{line}'");
        let mut command = scratch.command("fish");
        let path = format!("{}:/usr/bin:/bin", TOOL.rsplit_once('/').unwrap().0);
        Observation::of(command.args(["--no-config", "-c", &script]).env("PATH", path).env("HOME", scratch.path()))
    };
    asked("binfmt-dispatch unreg").printed("unregister\tRemove the entries of binfmt-dispatch from the kernel\n");
    asked("binfmt-dispatch install arm64 s39").printed("s390x\t64-bit big-endian\n");
    asked("binfmt-dispatch generate --host=s39").printed("--host=s390x\t64-bit big-endian\n");
    let run = asked("binfmt-dispatch explain ./prog");
    assert!(run.out().starts_with("./program"), "{run}");
}
