//! The interpreter of an entry: its file, and which emulator it is.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use binfmt_misc::Matcher;
use binfmt_misc::grammar::Reading;
use dispatch_core::elf::{Header, MAGIC, PT_INTERP};

use super::Setting;
use super::finding::{Check, Findings, Level, quoted};
use crate::failure::{self, Failure, show};
use crate::image::OpenImage;
use crate::platform::{files, rooted};

/// Targets that QEMU has had, and the version from which on it does not
/// (QEMU's docs/about/removed-features.rst).
const DROPPED: [(&str, &str); 4] = [("tilegx", "6.0"), ("ppc64abi32", "7.0"), ("nios2", "9.1"), ("cris", "9.2")];
/// How QEMU's emulators are called.
const QEMU: &str = "qemu-";
/// Where Debian has links to them whose names are those of the targets.
const LINKS: &str = "qemu-binfmt";
/// What may follow the name of the target.
const SUFFIXES: [&str; 4] = ["-static", "-binfmt", "-binfmt-P", ".old"];
/// How much of the path of a program's loader is read, in bytes (`PATH_MAX`).
const LONGEST: u64 = 4096;

/// The files of interpreters, each looked at once.
#[derive(Debug)]
pub struct Interpreters<'s> {
    setting: &'s Setting<'s>,
    seen: HashMap<PathBuf, Seen>,
}

/// What a file is.
#[derive(Clone, Debug)]
struct Seen {
    /// Where it is, with links resolved, if it is there.
    real: Option<PathBuf>,
    kind: Kind,
}

/// The kinds of files.
#[derive(Clone, Debug)]
enum Kind {
    /// It cannot be executed, for this reason.
    Unusable(String),
    /// It is a script.
    Script,
    /// It needs this loader.
    Dynamic(Vec<u8>),
    /// It is a program for another machine.
    Foreign,
    /// It needs no other file; or it cannot be told.
    Alone,
}

impl<'s> Interpreters<'s> {
    /// None looked at.
    pub fn new(setting: &'s Setting<'s>) -> Self {
        Interpreters { setting, seen: HashMap::new() }
    }

    /// Checks the interpreter of an entry.
    pub fn check(&mut self, reading: &Reading<'_>, findings: &mut Findings) {
        let (field, flags) = (reading.fields[5], reading.flags);
        let path = reading.interpreter();
        if !path.is_absolute() {
            let (level, message) = match flags.credentials {
                true => {
                    (Level::Error, "is a relative path: with flag C, everyone can put a program there that gets root")
                }
                false => (
                    Level::Warning,
                    "is a relative path, which is looked up in the directory of the caller: give an absolute one",
                ),
            };
            findings.at_level(Check::RelativeInterpreter, level, field.range(), message);
        }
        let seen = self.see(path);
        let there = seen.as_ref().is_some_and(|seen| !matches!(seen.kind, Kind::Unusable(_)));
        emulator(reading, there, self.setting, findings);
        if let Some(seen) = &seen {
            self::file(reading, seen, findings);
        }
        if flags.credentials {
            credentials(reading, seen.as_ref().and_then(|seen| seen.real.as_deref()), findings);
        }
    }

    /// Looks at a file, if files are looked at.
    fn see(&mut self, path: &Path) -> Option<Seen> {
        let root = self.setting.root.as_deref().filter(|_| path.is_absolute())?;
        if let Some(seen) = self.seen.get(path) {
            return Some(seen.clone());
        }
        log::info!("{}: looked at, as an interpreter", show(path.as_os_str()));
        let real = rooted::resolve(root, path);
        let kind = real
            .as_ref()
            .map_err(failure::text)
            .and_then(|real| self.kind(real).map_err(|error| failure::text(&error)));
        let seen = Seen { real: real.ok(), kind: kind.unwrap_or_else(Kind::Unusable) };
        self.seen.insert(path.to_owned(), seen.clone());
        Some(seen)
    }

    fn kind(&self, path: &Path) -> io::Result<Kind> {
        // A program that may be executed need not be readable.
        let metadata = path.metadata()?;
        if metadata.is_file() && metadata.permissions().mode() & 0o111 == 0 {
            return Ok(Kind::Unusable("is not executable".into()));
        }
        let file = match files::open(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && metadata.is_file() => {
                return Ok(Kind::Alone);
            }
            file => file?,
        };
        let head = read(&file, 0, 64)?;
        if head.starts_with(b"#!") {
            return Ok(Kind::Script);
        }
        let Ok(header) = Header::parse(&head) else {
            let what = if head.starts_with(&MAGIC) {
                "is no ELF file that can be started"
            } else {
                "is neither a program nor a script"
            };
            return Ok(Kind::Unusable(what.into()));
        };
        let host = self.setting.host;
        let here = host.machine.iter().any(|machine| machine.number == header.machine.0);
        if !here || header.class != host.class || header.data != host.data {
            return Ok(Kind::Foreign);
        }
        let table = read(&file, header.phoff, header.program_headers_size())?;
        let loader = header.program_headers(&table).find(|segment| segment.kind == PT_INTERP);
        Ok(match loader {
            Some(segment) => {
                let mut path = read(&file, segment.offset, segment.filesz.min(LONGEST))?;
                path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                Kind::Dynamic(path)
            }
            None => Kind::Alone,
        })
    }
}

/// So many bytes of a file, or fewer at its end.
fn read(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let read = files::read_full(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether the file can do what the entry asks of it.
fn file(reading: &Reading<'_>, seen: &Seen, findings: &mut Findings) {
    let (field, pinned) = (reading.fields[5], reading.flags.fix_binary);
    let path = quoted(field.text);
    let level = if pinned { Level::Error } else { Level::Warning };
    match &seen.kind {
        Kind::Unusable(reason) => {
            let end = if pinned { "the kernel refuses the entry" } else { "programs will not start" };
            findings.at_level(Check::InterpreterFile, level, field.range(), format!("{path}: {reason}: {end}"));
        }
        Kind::Foreign => {
            let message = format!("{path} is a program for another machine");
            findings.at(Check::InterpreterFile, field.range(), message);
        }
        Kind::Script if pinned => {
            let message = format!(
                "{path} is a script, and the program that runs it is looked up in each chroot and container in spite of F"
            );
            findings.at(Check::NotStatic, field.range(), message);
        }
        Kind::Dynamic(loader) if pinned => {
            let message = format!(
                "{path} is not static: in spite of F, its loader {} is looked up in each chroot and container",
                quoted(loader)
            );
            findings.at(Check::NotStatic, field.range(), message);
        }
        Kind::Script | Kind::Dynamic(_) | Kind::Alone => {}
    }
}

/// QEMU with flag C.
fn credentials(reading: &Reading<'_>, real: Option<&Path>, findings: &mut Findings) {
    let paths = [Some(reading.interpreter()), real];
    let image = real.is_some_and(|real| {
        matches!(
            OpenImage::open(real),
            Ok(Some(_)) | Err(Failure::DamagedImage { .. } | Failure::ImageOfOtherHosts { .. })
        )
    });
    if image || paths.into_iter().flatten().all(|path| target(path).is_none()) {
        return;
    }
    let flags = reading.fields[6];
    let letter = flags.start + flags.text.iter().position(|letter| *letter == b'C').unwrap_or(0);
    let message = "with flag C, QEMU obeys the caller's QEMU_ variables with the privileges of set-user-ID programs: \
                   every user can become root; remove C";
    findings.at(Check::Credentials, letter..letter + 1, message);
}

/// The target of an emulator of QEMU, by its file name.
fn target(path: &Path) -> Option<&str> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    // Debian's links for flag P, such as /usr/libexec/qemu-binfmt/arm-binfmt-P.
    let linked = || path.parent()?.ends_with(LINKS).then_some(name);
    let mut name = name.strip_prefix(QEMU).or_else(linked)?;
    while let Some(shorter) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)) {
        name = shorter;
    }
    Some(name)
}

/// Whether QEMU has such an emulator, and whether it runs these programs. If the file is `there`, it
/// is of a version that has it.
fn emulator(reading: &Reading<'_>, there: bool, setting: &Setting<'_>, findings: &mut Findings) {
    let Some(target) = target(reading.interpreter()) else { return };
    let field = reading.fields[5];
    if reading.flags.transparent {
        let message = "with flag T, QEMU takes the program's first argument for the program: use P";
        findings.at_level(Check::Flags, Level::Warning, reading.fields[6].range(), message);
    }
    if let Some((_, version)) = DROPPED.iter().find(|(dropped, _)| *dropped == target) {
        let (level, remedy) = if there {
            (Level::Note, "an upgrade will break the entry")
        } else {
            (Check::DroppedTarget.level(), "remove the entry")
        };
        let message = format!("QEMU has no emulator for {target} since version {version}: {remedy}");
        findings.at_level(Check::DroppedTarget, level, field.range(), message);
    }
    let (Matcher::Rule(rule), Some(row)) = (&reading.matcher, setting.table.find(target)) else { return };
    let accepted = super::architectures(&reading.matcher, setting.table);
    if !accepted.is_empty() && !rule.accepts(&row.probe_elf()) {
        let message = format!("is for programs of {target}, and the magic is that of {}", accepted.join(", "));
        findings.at(Check::WrongEmulator, field.range(), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_by_names() {
        for (path, expected) in [
            ("/usr/bin/qemu-cris", Some("cris")),
            ("/usr/bin/qemu-cris-static", Some("cris")),
            ("/usr/libexec/qemu-binfmt/cris-binfmt-P", Some("cris")),
            ("/usr/bin/qemu-x-static-binfmt", Some("x")),
            ("/usr/bin/box64", None),
            ("/", None),
        ] {
            assert_eq!(target(Path::new(path)), expected, "{path}");
        }
    }
}
