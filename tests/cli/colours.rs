//! Colours: on terminals, and where the environment says so.

use crate::support::{Observation, Scratch, TOOL};

const ESCAPE: char = '\x1b';

fn list(scratch: &Scratch, variables: &[(&str, &str)], arguments: &[&str]) -> Observation {
    let mut command = scratch.command(TOOL);
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("CLICOLOR").env_remove("CI");
    Observation::of(command.envs(variables.iter().copied()))
}

#[test]
fn follow_the_environment() {
    let scratch = Scratch::new();
    let coloured = |variables: &[(&str, &str)]| {
        let run = list(&scratch, variables, &["list", "arm64", "z80"]);
        let streams = (run.out().contains(ESCAPE), run.err().contains(ESCAPE));
        assert_eq!(streams.0, streams.1, "{run}");
        streams.0
    };
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn change_nothing_else() {
    let scratch = Scratch::new();
    scratch.probe("p", "aarch64");
    for arguments in [&["list"][..], &["--help"], &["tune", "-h"], &["explain", "./p"], &["explain", "./absent"]] {
        let plain = list(&scratch, &[], arguments);
        let coloured = list(&scratch, &[("CLICOLOR_FORCE", "1")], arguments);
        assert!(coloured.out().contains(ESCAPE) || coloured.err().contains(ESCAPE), "{coloured}");
        let stripped = |text: &str| {
            let mut parts = text.split(ESCAPE);
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |text, part| text + part.split_once('m').expect("a colour ends with m").1)
        };
        assert_eq!((stripped(coloured.out()).as_str(), stripped(coloured.err()).as_str()), (plain.out(), plain.err()));
        assert_eq!(coloured.code(), plain.code());
    }
    // What programs read has none.
    for arguments in [&["list", "--json"][..], &["generate"], &["explain", "--json", "./p"], &["--version"]] {
        let run = list(&scratch, &[("CLICOLOR_FORCE", "1")], arguments);
        assert!(!run.out().contains(ESCAPE) && !run.out().is_empty(), "{run}");
    }
}

#[test]
fn are_there_on_terminals() {
    let scratch = Scratch::new();
    let on_terminal = |variables: &str| {
        let run = scratch.shell(&format!(
            "env -u NO_COLOR -u CI {variables} script -qec \"$TOOL list arm64 z80\" /dev/null </dev/null"
        ));
        run.exited(2).out().to_owned()
    };
    let text = on_terminal("TERM=xterm");
    assert!(
        text.contains("\x1b[1mNAME\x1b[0m") && text.contains("\x1b[31mbinfmt-dispatch:\x1b[0m unknown"),
        "{text:?}"
    );
    for variables in ["TERM=dumb", "TERM=xterm NO_COLOR=1", "TERM=xterm CLICOLOR=0"] {
        let text = on_terminal(variables);
        assert!(!text.contains(ESCAPE), "{variables}: {text:?}");
    }
}
