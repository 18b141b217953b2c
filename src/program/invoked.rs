//! A program that a person names. It is looked up as a shell does it, and scripts are followed to
//! their interpreters.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use dispatch_core::elf::{Header, MAX_HEADER};
use dispatch_core::emulator_file::Host;
use dispatch_core::message::Text;
use dispatch_core::refusal::{EXIT_CANNOT_RUN, EXIT_NO_EMULATOR};
use dispatch_core::rule::WINDOW;
use nix::unistd::{AccessFlags, access};
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::failure::{self, Failure};
use crate::platform::{files, host};
use crate::program::env::{self, Started};

/// Most `#!` lines that are followed (fs/exec.c, `exec_binprm`: five rewrites, and binfmt-dispatch
/// uses one of them).
const MAX_SCRIPTS: usize = 4;

/// A program, with its arguments for execve(2).
#[derive(Debug)]
pub struct Invoked {
    /// The file that decides which emulator runs.
    pub file: File,
    /// Its path.
    pub path: PathBuf,
    /// argv\[0\].
    pub argv0: OsString,
    /// argv from argv\[1\] on.
    pub args: Vec<OsString>,
    /// The scripts that led to it, the first one first.
    pub scripts: Vec<PathBuf>,
}

/// The reason why a file is not executed.
#[derive(Debug)]
pub struct Obstacle {
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

impl Invoked {
    /// Finds `name` and follows `#!` lines, as `fs/binfmt_script.c` does. It stops at a script for
    /// which `is_taken`, which gets its path and its first bytes, returns true: the kernel asks the
    /// entries of `binfmt_misc` before it reads that line.
    pub fn find(name: &OsStr, args: &[OsString], is_taken: impl Fn(&Path, &[u8]) -> bool) -> Result<Self, Failure> {
        let mut path = locate(name)?;
        let mut file = files::open(&path).map_err(|error| Failure::unusable(&path, &error))?;
        log::info!("{}: opened", failure::show(path.as_os_str()));
        let (mut argv0, mut args, mut scripts) = (name.to_owned(), args.to_vec(), Vec::new());
        loop {
            let mut start = [0; WINDOW];
            // A file that cannot be read is no script; whoever needs more of it reports the error.
            let len = file.read_at(&mut start, 0).unwrap_or(0);
            let start = &start[..len];
            let Some((interpreter, option)) = shebang(start).filter(|_| !is_taken(&path, start)) else { break };
            if scripts.len() == MAX_SCRIPTS {
                return Err(refused(&path, "the last of too many scripts that run scripts: shorten the chain"));
            }
            let shown = [&path, &interpreter].map(|path| failure::show(path.as_os_str()).to_string());
            log::info!("{}: a script, run by {}", shown[0], shown[1]);
            file = files::open(&interpreter).map_err(|error| no_interpreter(&path, &interpreter, &error))?;
            args.insert(0, path.clone().into_os_string());
            args.splice(0..0, option);
            argv0 = interpreter.clone().into_os_string();
            scripts.push(std::mem::replace(&mut path, interpreter));
        }
        Ok(Invoked { file, path, argv0, args, scripts })
    }

    /// The program that this one starts, if it is the env(1) of a script and can start by itself
    /// or as a program of the same machine; and whether env changes its environment.
    ///
    /// # Errors
    /// As [`Invoked::find`], and env would not find the program.
    pub fn started_by_env(&self, is_taken: impl Fn(&Path, &[u8]) -> bool) -> Result<Option<(Self, bool)>, Failure> {
        let Some(Started { name, args, changed }) = env::started(self) else { return Ok(None) };
        if !locate(&name).is_ok_and(|path| path.exists()) {
            return Err(self.env_finds_no(&name));
        }
        let next = Invoked::find(&name, &args, is_taken)?;
        let machines = [&self.file, &next.file].map(machine);
        if machines[0] != machines[1] && machines[0] != Some(host::host()) {
            return Ok(None);
        }
        let scripts = [&self.scripts[..], std::slice::from_ref(&self.path), &next.scripts].concat();
        Ok(Some((Invoked { scripts, ..next }, changed)))
    }

    fn env_finds_no(&self, name: &OsStr) -> Failure {
        let script = self.scripts.last().unwrap_or(&self.path);
        let (env, shown) = (Text(self.path.as_os_str().as_bytes()), Text(name.as_bytes()));
        let place = if name.as_bytes().contains(&b'/') { "" } else { " in PATH" };
        let message = format!("{env} finds no {shown}{place}: install it, or mend the script's first line");
        Failure::Refused { path: script.clone(), message, exit_code: EXIT_NO_EMULATOR }
    }

    /// Whether execve(2) would refuse the program, or a script that led to it, before it reads the
    /// file.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let mut files = self.scripts.iter().chain([&self.path]);
        let file = files.find(|file| access(file.as_path(), AccessFlags::X_OK).is_err())?;
        let executable = file.metadata().is_ok_and(|metadata| metadata.mode() & 0o111 != 0);
        let (name, quoted) = (Text(file.as_os_str().as_bytes()), quote(file.as_os_str().as_bytes()));
        Some(if let Some(mount) = noexec_above(file) {
            let problem = format!("the mount {} of {name} has the option noexec", Text(mount.as_os_str().as_bytes()));
            Obstacle { problem, remedy: "copy it elsewhere, or mount that without".to_owned() }
        } else if executable {
            let problem = format!("you may not execute {name}");
            Obstacle { problem, remedy: "check its owner and mode, and those of its directories".to_owned() }
        } else {
            Obstacle { problem: format!("{name} is not executable"), remedy: format!("chmod +x {quoted}") }
        })
    }
}

/// The mount of `file`, if no program may be started there.
fn noexec_above(file: &Path) -> Option<PathBuf> {
    statvfs(file).ok().filter(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))?;
    Some(files::mount_of(file).unwrap_or_else(|| file.to_owned()))
}

/// `word`, quoted for a shell. Bytes that could control a terminal are written as `\xHH`.
pub fn quote(bytes: &[u8]) -> String {
    let shown = Text(bytes).to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    match shown.as_bytes() == bytes {
        true if !shown.is_empty() && shown.chars().all(plain) => shown,
        true => quoted(&shown),
        // Only `$'…'` makes a shell understand the escapes, so backslashes in the name are escaped
        // too.
        false => {
            let escaped: Vec<String> = bytes
                .utf8_chunks()
                .flat_map(|chunk| {
                    let valid = chunk.valid().replace('\\', r"\\").replace('\'', r"\'");
                    [Text(valid.as_bytes()).to_string(), Text(chunk.invalid()).to_string()]
                })
                .collect();
            format!("$'{}'", escaped.concat())
        }
    }
}

/// The path that `name` means, as in a shell: a name without a slash is searched for in PATH only.
///
/// # Errors
/// [`Failure::NotInPath`].
pub fn locate(name: &OsStr) -> Result<PathBuf, Failure> {
    // Directories are not in PATH; whoever opens them says what they are.
    if name.as_bytes().contains(&b'/') || name == "." || name == ".." {
        return Ok(name.into());
    }
    let here = || Path::new(name).metadata().is_ok_and(|found| !found.is_dir());
    let found = which::which(name).map_err(|_| Failure::NotInPath { name: name.to_owned(), here: here() })?;
    log::info!("{}: found in PATH: {}", Text(name.as_bytes()), Text(found.as_os_str().as_bytes()));
    Ok(found)
}

fn refused(path: &Path, message: &str) -> Failure {
    Failure::Refused { path: path.to_owned(), message: message.to_owned(), exit_code: EXIT_CANNOT_RUN }
}

/// A script whose interpreter cannot be opened. Shells report that the script itself does not
/// exist.
fn no_interpreter(script: &Path, interpreter: &Path, error: &io::Error) -> Failure {
    let shown = Text(interpreter.as_os_str().as_bytes());
    let remedy = if interpreter.as_os_str().as_bytes().ends_with(b"\r") {
        "remove the carriage returns at the ends of its lines"
    } else {
        "install it, or mend the script's first line"
    };
    let message = format!("its interpreter {shown} cannot be opened: {remedy}: {}", failure::text(error));
    let exit_code = if error.kind() == io::ErrorKind::NotFound { EXIT_NO_EMULATOR } else { EXIT_CANNOT_RUN };
    Failure::Refused { path: script.to_owned(), message, exit_code }
}

/// The machine that an ELF file is for.
fn machine(file: &File) -> Option<Host> {
    let mut start = [0; MAX_HEADER];
    let len = files::read_full(file, &mut start, 0).ok()?;
    let Header { machine, class, data, .. } = Header::parse(&start[..len]).ok()?;
    Some(Host { machine, class, data })
}

/// The interpreter of a script and its one option. `start` is the first [`WINDOW`] bytes of the
/// script, or fewer if it is shorter.
fn shebang(start: &[u8]) -> Option<(PathBuf, Option<OsString>)> {
    let line = start.strip_prefix(b"#!")?;
    // Only spaces and tabs separate words: a carriage return is part of the name.
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let whole = start.len() < WINDOW || line.contains(&b'\n');
    // For the kernel, a NUL ends the string.
    let line = line.split(|byte| matches!(byte, b'\n' | b'\0')).next()?;
    let line = &line[line.iter().position(|byte| !blank(byte))?..];
    let (interpreter, option) = match line.iter().position(blank) {
        Some(end) => line.split_at(end),
        None if whole => (line, &b""[..]),
        // A name that was cut off would be that of another file.
        None => return None,
    };
    let string = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let from = option.iter().position(|byte| !blank(byte));
    let option =
        from.map(|from| &option[from..option.iter().rposition(|byte| !blank(byte)).map_or(from, |end| end + 1)]);
    Some((string(interpreter).into(), option.map(string)))
}

/// A string for the kernel. It comes from the command line or the environment, or is the path of an
/// existing file, so it contains no NUL.
pub fn c_string(string: &OsStr) -> CString {
    CString::new(string.as_bytes()).expect("what the kernel has given or taken has no NUL in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &[u8]) -> Option<(PathBuf, Option<OsString>)> {
        shebang(&script[..script.len().min(WINDOW)])
    }

    #[test]
    fn scripts_are_read_as_the_kernel_reads_them() {
        assert_eq!(read(b"#!/bin/sh\necho"), Some(("/bin/sh".into(), None)));
        assert_eq!(read(b"#! /bin/env  -S a b \n"), Some(("/bin/env".into(), Some("-S a b".into()))));
        assert_eq!(read(b"#!\t/bin/sh\t-e\t\n"), Some(("/bin/sh".into(), Some("-e".into()))));
        assert_eq!(read(b"#!/bin/sh\r\n"), Some(("/bin/sh\r".into(), None)));
        assert_eq!(read(b"#!/bin/sh\0-e\n"), Some(("/bin/sh".into(), None)));
        assert_eq!(read(format!("#!/{}", "x".repeat(300)).as_bytes()), None);
        assert_eq!(read(b"#! \n"), None);
        assert_eq!(read(b"#!\n"), None);
        assert_eq!(read(b"\x7fELF"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn words_are_quoted_as_shells_need_them() {
        for (word, quoted) in [
            (&b"/usr/bin/a-b"[..], "/usr/bin/a-b"),
            (b"", "''"),
            (b"a b", "'a b'"),
            (b"it's", r"'it'\''s'"),
            (b"\\x41", r"'\x41'"),
            (b"a\x1b'\\\xff", r"$'a\x1b\'\\\xff'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }
}
