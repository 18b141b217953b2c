//! env(1) in the first line of a script: `#!/usr/bin/env python3`. The program that it starts
//! decides how the script runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::invoked::Invoked;

/// The program that env(1) starts.
pub struct Started {
    /// Its name, to be searched for in PATH.
    pub name: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Whether env changes its environment.
    pub changed: bool,
}

/// What `program` starts, if it is the env of a script. `None` if it is another program, or if its
/// options change where the program is searched.
pub fn started(program: &Invoked) -> Option<Started> {
    let script = program.scripts.last()?;
    if program.path.file_name()? != "env" {
        return None;
    }
    let (option, rest) = program.args.split_first()?;
    // Without an option, env starts the script again, and so on.
    if option == script.as_os_str() {
        return None;
    }
    let words = words(option)?;
    let before = words.iter().take_while(|word| is_envs_own(word)).count();
    let (before, behind) = words.split_at(before);
    let (name, args) = behind.split_first()?;
    let changed = before.iter().any(|word| word == "-i" || word.as_bytes().contains(&b'='));
    let found = !name.as_bytes().starts_with(b"-") && !before.iter().any(|word| word.as_bytes().starts_with(b"PATH="));
    found.then(|| Started { name: name.clone(), args: [args, rest].concat(), changed })
}

/// Whether a word in front of the program's name is one of env's that is understood here: an option
/// or a variable.
fn is_envs_own(word: &OsStr) -> bool {
    word == "-i"
        || word == "-v"
        || word == "--"
        || word.as_bytes().contains(&b'=') && !word.as_bytes().starts_with(b"-")
}

/// The words that env sees: the kernel passes all that follows its name as one, and option `-S`
/// splits it. `None` if they have quotes, escapes or variables.
fn words(option: &OsStr) -> Option<Vec<OsString>> {
    let bytes = option.as_bytes();
    let split = [(&b"-S"[..], None), (b"--split-string=", None), (b"-vS", None), (b"-iS", Some("-i"))];
    let found = split.iter().find_map(|(prefix, first)| Some((bytes.strip_prefix(*prefix)?, first)));
    let Some((text, first)) = found else { return Some(vec![option.to_owned()]) };
    if text.iter().any(|byte| b"'\"\\$#".contains(byte)) {
        return None;
    }
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words = words.map(|word| OsStr::from_bytes(word).to_owned());
    Some(first.map(OsString::from).into_iter().chain(words).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn found(path: &str, option: Option<&str>) -> Option<String> {
        let args = option.into_iter().chain(["./script", "x"]).map(OsString::from).collect();
        let file = File::open("/dev/null").unwrap();
        let scripts = vec!["./script".into()];
        let found = started(&Invoked { file, path: path.into(), argv0: path.into(), args, scripts })?;
        let words = [&[found.name], found.args.as_slice()].concat().join(OsStr::new("|")).into_string().unwrap();
        Some(if found.changed { format!("changed: {words}") } else { words })
    }

    #[test]
    fn the_program_is_found_as_env_finds_it() {
        let env = |option| found("/usr/bin/env", Some(option));
        assert_eq!(env("python3").as_deref(), Some("python3|./script|x"));
        assert_eq!(env("-S python3 -u").as_deref(), Some("python3|-u|./script|x"));
        assert_eq!(env("-SA=1 B=2 awk -f").as_deref(), Some("changed: awk|-f|./script|x"));
        assert_eq!(env("--split-string=-i -- sh").as_deref(), Some("changed: sh|./script|x"));
        assert_eq!(env("-iSsh").as_deref(), Some("changed: sh|./script|x"));
        // Options and variables behind the name are the program's.
        assert_eq!(env("-S -v bash -i -v -- A=1").as_deref(), Some("bash|-i|-v|--|A=1|./script|x"));
        assert_eq!(env("python3 -u").as_deref(), Some("python3 -u|./script|x"), "one word without -S");
        for untold in ["-S PATH=/x sh", "-S 'a b'", "-S ${A} x", "-u A sh", "-S -u A sh", "-S", "A=1"] {
            assert_eq!(env(untold), None, "{untold}");
        }
        assert_eq!(found("/usr/bin/env", None), None, "it would start itself for ever");
        assert_eq!(found("/bin/sh", Some("-e")), None);
    }
}
