//! env(1) in the first line of a script: `#!/usr/bin/env python3`. The program that it starts
//! decides how the script runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::invoked::Invoked;

/// The program that `program`, if it is the env of a script, starts, and its arguments. `None` if
/// it is another program, or if its options change where the program is searched.
pub fn started(program: &Invoked) -> Option<(OsString, Vec<OsString>)> {
    let script = program.scripts.last()?;
    if program.path.file_name()? != "env" {
        return None;
    }
    let (option, rest) = program.args.split_first()?;
    // Without an option, env starts the script again, and so on.
    if option == script.as_os_str() {
        return None;
    }
    let mut words = words(option)?;
    let name = words.iter().position(|word| !word.as_bytes().contains(&b'=')).map(|at| words.split_off(at))?;
    let (name, arguments) = name.split_first()?;
    (!name.as_bytes().starts_with(b"-")).then(|| (name.clone(), [arguments, rest].concat()))
}

/// The words that env sees: the kernel passes all that follows its name as one, and option `-S`
/// splits it. `None` if they have quotes, escapes or variables, or set PATH.
fn words(option: &OsStr) -> Option<Vec<OsString>> {
    let bytes = option.as_bytes();
    let split = [&b"-S"[..], b"--split-string=", b"-vS", b"-iS"];
    let text = match split.iter().find_map(|prefix| bytes.strip_prefix(*prefix)) {
        Some(text) if text.iter().any(|byte| b"'\"\\$#".contains(byte)) => return None,
        Some(text) => text,
        None => return Some(vec![option.to_owned()]),
    };
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut words: Vec<OsString> = words.map(|word| OsStr::from_bytes(word).to_owned()).collect();
    words.retain(|word| word != "-i" && word != "-v" && word != "--");
    words.iter().all(|word| !word.as_bytes().starts_with(b"PATH=")).then_some(words)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn found(path: &str, option: Option<&str>) -> Option<String> {
        let args = option.into_iter().chain(["./script", "x"]).map(OsString::from).collect();
        let file = File::open("/dev/null").unwrap();
        let scripts = vec!["./script".into()];
        let (name, args) = started(&Invoked { file, path: path.into(), argv0: path.into(), args, scripts })?;
        Some([&[name], args.as_slice()].concat().join(OsStr::new("|")).into_string().unwrap())
    }

    #[test]
    fn the_program_is_found_as_env_finds_it() {
        let env = |option| found("/usr/bin/env", Some(option));
        assert_eq!(env("python3").as_deref(), Some("python3|./script|x"));
        assert_eq!(env("-S python3 -u").as_deref(), Some("python3|-u|./script|x"));
        assert_eq!(env("-SA=1 B=2 awk -f").as_deref(), Some("awk|-f|./script|x"));
        assert_eq!(env("--split-string=-i -- sh").as_deref(), Some("sh|./script|x"));
        assert_eq!(env("python3 -u").as_deref(), Some("python3 -u|./script|x"), "one word without -S");
        for untold in ["-S PATH=/x sh", "-S 'a b'", "-S ${A} x", "-u A sh", "-S -u A sh", "-S", "A=1"] {
            assert_eq!(env(untold), None, "{untold}");
        }
        assert_eq!(found("/usr/bin/env", None), None, "it would start itself for ever");
        assert_eq!(found("/bin/sh", Some("-e")), None);
    }
}
