//! `unshare`: runs a command in a namespace where foreign programs work, without root and without
//! effect on the rest of the system.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use dispatch_table::{ArchTable, Architecture};
use nix::errno::Errno;
use nix::unistd::{execve, getgid, getuid};

use crate::failure::{Failure, show};
use crate::image::Temporary;
use crate::platform::memfd::DESCRIPTORS;
use crate::platform::namespace;
use crate::program::environment::environment;
use crate::program::invoked::{c_string, locate};
use crate::registry::Registry;
use crate::registry::selection::{Credentials, Interpreter, Skipped};
use crate::registry::{own_programs, selection};
use crate::{architectures, defaults};

/// Tools that make root directories and images of containers, and give files in them to users.
const MAKERS: [&str; 4] = ["buildah", "debootstrap", "mmdebstrap", "podman"];

/// Run a command in a namespace where foreign programs work; no root needed
///
/// The command runs as root of a new user namespace with its own `binfmt_misc` (Linux 6.7 and
/// newer). Every architecture whose emulator is installed, or in the image that this command runs
/// from, is registered there. The emulators are embedded in an image in memory, so that programs run
/// in any root directory. With -a, the command starts sooner. The host's own entries have no effect
/// there. The exit status is the command's.
///
/// Other users exist there if /etc/subuid and /etc/subgid give ids to the user, and newuidmap and
/// newgidmap are installed (package uidmap). A message says what is missing: with -v, in front of a
/// shell, and if the command is buildah, debootstrap, mmdebstrap or podman.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Register only this architecture, by any of its names; may be repeated
    #[arg(short, long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Embed no emulators; open them by path when a program starts. The command starts
    /// sooner and takes less memory, but nothing runs in root directories without emulators
    #[arg(long)]
    no_emulators: bool,
    #[command(flatten)]
    credentials: Credentials,
    /// The command and its arguments; default: $SHELL, else sh
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Becomes the command; returns only on failure.
///
/// # Errors
/// The command cannot be started; or nothing, or not everything asked for by name, could be
/// registered. Failures of other architectures are only reported.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    let named = architectures::named(table, &args.architectures)?;
    let rootless = rootless();
    namespace::enter(needs_other_ids(&args.command))?;
    let registry = Registry::open(Path::new(defaults::REGISTRY))?;
    // There are no entries yet: whatever runs now is native.
    let (native, foreign): (Vec<&Architecture>, Vec<&Architecture>) =
        table.architectures().iter().partition(|architecture| own_programs::runs(architecture, &[], true));
    let rows = named.clone().unwrap_or(foreign);
    let image = match args.no_emulators {
        true => Temporary::without_emulators(table, &rows),
        false => Temporary::with_emulators(table, &rows),
    }?;

    // The kernel opens the image now, and only once (flag F); its path means nothing later.
    let interpreter = PathBuf::from(format!("{DESCRIPTORS}/{}", image.file.as_raw_fd()));
    let interpreter = Interpreter {
        path: &interpreter,
        embedded: &image.embedded,
        credentials: args.credentials,
        transparent: registry.knows_transparent()?,
    };
    let native = |architecture: &Architecture| native.iter().any(|native| native.name == architecture.name);
    let selection = selection::select(table, named.as_deref(), interpreter, native);
    if let Some(failure) = selection.failures.into_iter().next() {
        return Err(failure);
    }
    for (architecture, reason) in &selection.skipped {
        let reason = match reason {
            Skipped::Native => "this machine runs such programs by itself",
            Skipped::NoEmulator => "there is no emulator",
        };
        log::info!("{}: left out, as {reason}", architecture.name);
    }
    let mut registered = false;
    for line in selection.chosen.iter().flat_map(|chosen| &chosen.lines) {
        match registry.register(line) {
            Ok(()) => registered = true,
            Err(failure) if named.is_some() => return Err(failure),
            Err(failure) => failure.report(),
        }
    }
    if !registered {
        return Err(Failure::NothingRegistered);
    }
    drop(image);
    Err(execute(&args.command, &rootless))
}

/// Whether a command is known to need more users than root, or may be anything, as in a shell.
fn needs_other_ids(command: &[OsString]) -> bool {
    let name = command.first().and_then(|command| Path::new(command).file_name());
    name.is_none_or(|name| MAKERS.iter().any(|maker| name == *maker))
}

/// The variables by which buildah, podman and skopeo learn that root of this namespace is a plain
/// user, whose images are below the user's home directory; `podman unshare` sets the same. Root
/// gets none.
fn rootless() -> Vec<(&'static str, String)> {
    let (uid, gid) = (getuid(), getgid());
    if uid.is_root() {
        return Vec::new();
    }
    vec![
        ("_CONTAINERS_USERNS_CONFIGURED", "done".to_owned()),
        ("_CONTAINERS_ROOTLESS_UID", uid.to_string()),
        ("_CONTAINERS_ROOTLESS_GID", gid.to_string()),
    ]
}

/// Executes the command in this process, so that signals and the exit status need no forwarding.
/// Its environment is the caller's, and the variables in `added` that the caller has not set.
fn execute(command: &[OsString], added: &[(&str, String)]) -> Failure {
    let shell = [env::var_os("SHELL").unwrap_or_else(|| defaults::SHELL.into())];
    let command = if command.is_empty() { &shell } else { command };
    let name = command[0].clone();
    // Not execvp(3): it hands a file that the kernel refuses to a shell, even a program without
    // emulator.
    let path = match locate(&name) {
        Ok(path) if path.exists() => path,
        Ok(_) => return Failure::CommandNotFound { command: name },
        Err(failure) => return failure,
    };
    let strings = |text: &OsString| CString::new(text.as_bytes());
    let arguments: Result<Vec<CString>, _> = command.iter().map(strings).collect();
    // The arguments came as C strings, so none contains a NUL.
    let (Ok(path), Ok(arguments)) = (CString::new(path.into_os_string().into_vec()), arguments) else {
        return Failure::CommandRefused { command: name, error: Errno::EINVAL.into() };
    };
    log::info!("{}: executed", show(&name));
    let added = added.iter().filter(|(name, _)| env::var_os(name).is_none());
    let added = added.map(|(name, value)| c_string(OsStr::new(&format!("{name}={value}"))));
    let callers = environment();
    let callers = callers.iter().map(|variable| c_string(OsStr::from_bytes(variable)));
    let variables: Vec<CString> = callers.chain(added).collect();
    // Not the standard library's exec, which would reset SIGPIPE.
    let Err(errno) = execve(&path, &arguments, &variables);
    Failure::CommandRefused { command: name, error: errno.into() }
}
