//! The messages: `what is wrong: what to do`, with the kernel's error text last.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;

use dispatch_core::NAME;
use nix::unistd::geteuid;
use rustix::thread::{self, CapabilitySet};

use super::{Doing, Failure, MEMFD_SETTING, listed, show, text};
use crate::defaults;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, reason)) = self.reason() {
            return write!(f, "{}: {}", show(name), reason.of(false));
        }
        match self {
            // They have a reason.
            Failure::Native { .. }
            | Failure::NotRegistered { .. }
            | Failure::EntryTaken { .. }
            | Failure::NotOurs { .. }
            | Failure::CapturesHost { .. }
            | Failure::ProbeFailed { .. } => Ok(()),
            Failure::Io { doing, path, error } => {
                write!(f, "{}: cannot {doing}: {}{}", show(path.as_os_str()), remedy(*doing, error), text(error))
            }
            Failure::UnreadableTable { path, error } => {
                write!(f, "{}: cannot read: {}{}", show(path.as_os_str()), remedy(Doing::Read, error), text(error))
            }
            Failure::Output(error) => write!(f, "standard output cannot be written: {}", text(error)),
            Failure::Random(error) => write!(f, "no random number: choose one with --seed: {}", text(error)),
            Failure::Usage(message) => f.write_str(message),
            Failure::Reported(exit_code) => write!(f, "the helper process exited with {exit_code}"),
            Failure::BadTable { path, error } => f.write_str(&error.in_file(show(path.as_os_str()))),
            Failure::Refused { path, message, .. } => write!(f, "{}: {message}", show(path.as_os_str())),
            Failure::NotInPath { name, here: true } => {
                write!(f, "{0}: is not in PATH: for the file in this directory, write ./{0}", show(name))
            }
            Failure::NotInPath { name, here: false } => {
                write!(f, "{}: is not in PATH: check the name, or give the program's path", show(name))
            }
            Failure::UnknownArchitectures(names) => unknown(f, names),
            Failure::NativeThere { architecture } => {
                write!(f, "{architecture}: is the host's own architecture: leave it out")
            }
            Failure::Disabled { architecture, by } => {
                write!(f, "{architecture}: is disabled by {}: enable it there, or leave it out", show(OsStr::new(by)))
            }
            Failure::NoEmulator { architecture, from, tried } => {
                let (from, tried) = (shown(from), tried.join(", "));
                write!(f, "{from}: contains no emulator for {architecture} ({tried}): name another directory")
            }
            Failure::NoEmulators { from } if from.is_empty() => f.write_str(
                "no emulator is installed, and none would be in the image: install the package qemu-user-static, name \
                 a directory with --from, or choose --no-emulators",
            ),
            Failure::NoEmulators { from } => {
                write!(f, "{}: contains no emulator of the table: name another directory", shown(from))
            }
            Failure::NoBinfmtMisc => f.write_str("this kernel has no binfmt_misc: as root, run `modprobe binfmt_misc`"),
            Failure::NotMounted { directory } if is_confined() => write!(
                f,
                "{}: no binfmt_misc is mounted, and root of this container cannot mount it: run `{NAME} install` on the \
                 host, or start single programs with `{NAME} run`",
                show(directory.as_os_str()),
            ),
            Failure::NotMounted { directory } => write!(
                f,
                "{0}: no binfmt_misc is mounted: as root, run `mount -t binfmt_misc binfmt_misc {0}`, or use `{NAME} unshare`",
                show(directory.as_os_str()),
            ),
            Failure::AutomountFailed { directory } => write!(
                f,
                "{}: the automounter did not mount binfmt_misc: run `systemctl restart proc-sys-fs-binfmt_misc.automount`",
                show(directory.as_os_str()),
            ),
            Failure::NotPermitted { directory, error } if geteuid().is_root() => write!(
                f,
                "{}: cannot be written: run `{NAME}` on the host of this container, or use `{NAME} unshare`: {}",
                show(directory.as_os_str()),
                text(error),
            ),
            Failure::NotPermitted { directory, error } => write!(
                f,
                "{}: cannot be written: become root, or use `{NAME} unshare`: {}",
                show(directory.as_os_str()),
                text(error),
            ),
            Failure::AllDisabled { directory } => {
                let status = directory.join("status");
                write!(f, "all entries are turned off: as root, run `echo 1 > {}`", show(status.as_os_str()))
            }
            Failure::Interrupted => f.write_str("interrupted: everything is as it was"),
            Failure::EntryExists { entry } => {
                write!(f, "{}: was registered by another process meanwhile: see `{NAME} status`", show(entry))
            }
            Failure::BadLine { entry, fault } => write!(f, "{}: {fault}", show(entry)),
            Failure::NotInFormat { entry, reason } => write!(f, "{}: {reason}", show(entry)),
            Failure::NoneInstalled => {
                f.write_str("no emulator is installed: install the package qemu-user-static, or list all with --all")
            }
            Failure::LineRefused { line, error } => {
                write!(f, "the kernel refused `{line}`: please report this: {}", text(error))
            }
            Failure::InterpreterRefused { entry, interpreter, error } => write!(
                f,
                "{}: the kernel cannot open {}: make it executable, and close it in any writer: {}",
                show(entry),
                show(interpreter.as_os_str()),
                text(error),
            ),
            Failure::TooManyInterpreters(entry) => write!(
                f,
                "{}: the kernel's limit on interpreters is reached: remove entries, or, as root, raise \
                 user.max_binfmt_misc_interpreters with sysctl",
                show(entry),
            ),
            Failure::CapturesPrograms { entry, architecture } => write!(
                f,
                "{}: would capture programs that {architecture} hosts run natively: leave this architecture out",
                show(entry),
            ),
            Failure::NoImage { path } if path.as_os_str() == defaults::IMAGE => {
                write!(f, "{}: no such image: make it, and register it, with `{NAME} install`", show(path.as_os_str()))
            }
            Failure::NoImage { path } => {
                write!(f, "{0}: no such image: make it with `{NAME} image -o {0}`", show(path.as_os_str()))
            }
            Failure::InTheWay { path } => {
                write!(f, "{}: left alone, as binfmt-dispatch did not write it: move it away", show(path.as_os_str()))
            }
            Failure::DamagedImage { path, fault } => {
                write!(f, "{}: the image {fault}: write it again with `{NAME} image`", show(path.as_os_str()))
            }
            Failure::ImageOfOtherHosts { path, is, wanted } => {
                let path = show(path.as_os_str());
                write!(
                    f,
                    "{path}: the image is for {is} hosts, and not for {wanted}: write another with `{NAME} image`"
                )
            }
            Failure::NotAHost { name, hosts } => {
                write!(f, "{name}: no image can be written for such hosts: only for {}", hosts.join(", "))
            }
            Failure::OtherHost { path, is, wanted } => {
                let path = show(path.as_os_str());
                write!(f, "{path}: runs on {is} hosts, and the image is for {wanted}: name a file for {wanted} hosts")
            }
            Failure::NotACommand { path, version: true } => {
                let path = show(path.as_os_str());
                write!(f, "{path}: is {NAME} in another version than this one: build both from the same sources")
            }
            Failure::NotACommand { path, version: false } => {
                write!(f, "{}: is not {NAME}: name the file that `ci/build --host` prints", show(path.as_os_str()))
            }
            Failure::NotForImage { path, fault } => {
                let path = show(path.as_os_str());
                write!(f, "{path}: cannot be embedded, as it {fault}: {}", fault.remedy())
            }
            Failure::NotAnImage { path } => {
                write!(f, "{}: is not an image: make one with `{NAME} image -o FILE`", show(path.as_os_str()))
            }
            Failure::KernelTooOld { release } => write!(
                f,
                "Linux {release} has one binfmt_misc for all, and user namespaces have their own from 6.7 on: start one \
                 program with `{NAME} run`, or, as root, run `{NAME} install` for the whole machine",
            ),
            Failure::NamespacesForbidden { setting, allowing } => {
                write!(f, "{setting} forbids user namespaces: as root, run `sysctl -w {setting}={allowing}`")
            }
            Failure::MemoryForbidden => {
                write!(f, "{MEMFD_SETTING} forbids programs in memory: as root, run `sysctl -w {MEMFD_SETTING}=1`")
            }
            Failure::NothingRegistered => {
                write!(f, "nothing was registered: install an emulator; `{NAME} list` shows which ones are supported")
            }
            Failure::Namespace { step, error } => {
                write!(f, "cannot {step}: leave the container, sandbox or chroot that forbids it: {}", text(error))
            }
            Failure::NotReady(names) if names.is_empty() => {
                write!(f, "nothing is expected to run: name architectures, or use an image that embeds emulators")
            }
            Failure::NotReady(names) => {
                write!(f, "{}: do not run through {NAME}: see `{NAME} status`", listed(names))
            }
            Failure::Container(fault) => fault.fmt(f),
            Failure::CommandNotFound { command } => write!(f, "{}: no such command: check the path", show(command)),
            Failure::CommandRefused { command, error } => {
                write!(f, "{}: cannot be executed: {}", show(command), text(error))
            }
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doing::Read => "read",
            Doing::Write => "write",
            Doing::Make => "make",
            Doing::Find => "find",
            Doing::Lock => "lock",
            Doing::Remove => "remove",
            Doing::Restore => "restore",
            Doing::Mount => "mount",
            Doing::Enter => "enter",
            Doing::Execute => "execute",
        })
    }
}

/// Names of architectures that nobody knows, each with those that were perhaps meant.
fn unknown(f: &mut fmt::Formatter<'_>, names: &[(String, Vec<String>)]) -> fmt::Result {
    let [(name, similar)] = names else {
        let names = names.iter().map(|(name, similar)| {
            let name = show(OsStr::new(name));
            if similar.is_empty() {
                name.to_string()
            } else {
                format!("{name} (did you mean {}?)", similar.join(" or "))
            }
        });
        let names: Vec<String> = names.collect();
        return write!(f, "unknown architectures {}: see `{NAME} list`", names.join(", "));
    };
    write!(f, "unknown architecture {}: ", show(OsStr::new(name)))?;
    match &similar[..] {
        [] => write!(f, "see `{NAME} list`"),
        similar => write!(f, "did you mean {}?", similar.join(" or ")),
    }
}

/// `CAP_SYS_ADMIN`, as in `<linux/capability.h>`: it is needed to mount the registry.
pub const MAY_MOUNT: CapabilitySet = CapabilitySet::from_bits_retain(1 << 21);

/// Whether root lacks what it takes to mount a file system, as in most containers.
fn is_confined() -> bool {
    let may_mount = thread::capabilities(None).map(|all| all.effective.contains(MAY_MOUNT));
    geteuid().is_root() && may_mount != Ok(true)
}

fn shown(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| show(path.as_os_str()).to_string()).collect();
    paths.join(", ")
}

/// What to do about an error of a file, in front of the kernel's error text; empty if there is no
/// advice.
fn remedy(doing: Doing, error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match (doing, error.kind()) {
        (_, Kind::IsADirectory) => "name a file: ",
        (Doing::Write, Kind::NotFound | Kind::NotADirectory) => "create the directory first: ",
        (_, Kind::NotFound | Kind::NotADirectory) => "check the path: ",
        (Doing::Write, Kind::StorageFull | Kind::QuotaExceeded) => "free some space or choose another directory: ",
        (Doing::Write, Kind::FileTooLarge) => "raise the limit on the size of files, `ulimit -f`: ",
        (Doing::Write, Kind::ReadOnlyFilesystem) => "choose another directory: ",
        (Doing::Write | Doing::Make, Kind::PermissionDenied) => "choose another directory or become root: ",
        (Doing::Lock | Doing::Remove | Doing::Restore | Doing::Mount, Kind::PermissionDenied) => "become root: ",
        (_, Kind::PermissionDenied) => "make it readable or become root: ",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ProgramFault;

    /// Those that the tests of the command cannot bring about at will.
    #[test]
    fn rare_situations_have_messages_too() {
        let error = || io::Error::from_raw_os_error(22);
        let entry = || "qemu-\x1barm".into();
        let io = |doing| Failure::io(doing, "/d/f".as_ref(), error());
        for (failure, message) in [
            (
                Failure::NoImage { path: defaults::IMAGE.into() },
                "/usr/libexec/binfmt-dispatch/binfmt-dispatch: no such image: make it, and register it, with \
                 `binfmt-dispatch install`",
            ),
            (Failure::Random(error()), "no random number: choose one with --seed: invalid argument"),
            (Failure::Reported(3), "the helper process exited with 3"),
            (
                Failure::AutomountFailed { directory: "/d".into() },
                "/d: the automounter did not mount binfmt_misc: run `systemctl restart \
                 proc-sys-fs-binfmt_misc.automount`",
            ),
            (Failure::Interrupted, "interrupted: everything is as it was"),
            (
                Failure::EntryExists { entry: entry() },
                "qemu-\\x1barm: was registered by another process meanwhile: see `binfmt-dispatch status`",
            ),
            (
                Failure::LineRefused { line: ":e:".into(), error: error() },
                "the kernel refused `:e:`: please report this: invalid argument",
            ),
            (
                Failure::io(Doing::Remove, "/d/f".as_ref(), io::ErrorKind::PermissionDenied.into()),
                "/d/f: cannot remove: become root: permission denied",
            ),
            (
                Failure::KernelTooOld { release: "6.1.0".into() },
                "Linux 6.1.0 has one binfmt_misc for all, and user namespaces have their own from 6.7 on: start one \
                 program with `binfmt-dispatch run`, or, as root, run `binfmt-dispatch install` for the whole machine",
            ),
            (Failure::NoBinfmtMisc, "this kernel has no binfmt_misc: as root, run `modprobe binfmt_misc`"),
            (
                Failure::CapturesPrograms { entry: entry(), architecture: "arm".into() },
                "qemu-\\x1barm: would capture programs that arm hosts run natively: leave this architecture out",
            ),
            (
                Failure::TooManyInterpreters(entry()),
                "qemu-\\x1barm: the kernel's limit on interpreters is reached: remove entries, or, as root, raise \
                 user.max_binfmt_misc_interpreters with sysctl",
            ),
            (
                Failure::NotForImage { path: "/d/f".into(), fault: ProgramFault::Bss },
                "/d/f: cannot be embedded, as it has zeroed memory that is not readable and writable: leave it out, or \
                 get a static one",
            ),
            (
                Failure::NotForImage { path: "/d/f".into(), fault: ProgramFault::Image },
                "/d/f: cannot be embedded, as it is an image itself: name the emulator's own file",
            ),
            (
                Failure::NotForImage { path: "/d/f".into(), fault: ProgramFault::KeepsNoTranslations },
                "/d/f: cannot be embedded, as it keeps no translations: leave out --translate, or name one that \
                 `ci/emulators` builds",
            ),
            (
                Failure::NotForImage { path: "/d/f".into(), fault: ProgramFault::RecordedNothing },
                "/d/f: cannot be embedded, as it has recorded no translations: leave out --translate, or name one that \
                 `ci/emulators` builds",
            ),
            (io(Doing::Make), "/d/f: cannot make: invalid argument"),
            (io(Doing::Find), "/d/f: cannot find: invalid argument"),
            (io(Doing::Lock), "/d/f: cannot lock: invalid argument"),
            (io(Doing::Remove), "/d/f: cannot remove: invalid argument"),
            (io(Doing::Restore), "/d/f: cannot restore: invalid argument"),
            (io(Doing::Enter), "/d/f: cannot enter: invalid argument"),
            (io(Doing::Execute), "/d/f: cannot execute: invalid argument"),
        ] {
            assert_eq!(failure.to_string(), message);
        }
    }
}
