//! The remedy that works in the state that was found: never a command that would fail next.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dispatch_core::NAME;
use dispatch_table::Architecture;
use nix::unistd::geteuid;

use super::Explanation;
use crate::defaults::REGISTRY;
use crate::image::Effective;
use crate::platform::distribution::Family;
use crate::platform::host;
use crate::program::invoked::quote;

/// Commands that need root, one after the other.
pub(super) fn as_root(commands: &[String]) -> String {
    let sudo = if geteuid().is_root() { "" } else { "sudo " };
    commands.iter().map(|command| format!("{sudo}{command}")).collect::<Vec<_>>().join(" && ")
}

/// Writes to a file of the registry.
fn turn_on(file: &[u8]) -> String {
    let path = quote(Path::new(REGISTRY).join(OsStr::from_bytes(file)).as_os_str().as_bytes());
    if geteuid().is_root() { format!("echo 1 > {path}") } else { format!("echo 1 | sudo tee {path}") }
}

/// Whether an emulator for `row` is at hand: embedded in the image of this command, or installed.
pub(super) fn has_emulator(row: &Architecture, image: &Effective) -> bool {
    let embeds =
        matches!(image, Effective::Image(image) if image.embedded().is_ok_and(|names| names.contains(&row.name)));
    embeds || host::installed(row).is_some()
}

/// The command that installs an emulator of `row`.
pub(super) fn get_emulator(row: &Architecture) -> String {
    match Family::of(Path::new("/")) {
        Some(family) => as_root(&[family.emulator(&row.name)]),
        None => "install the package qemu-user-static".to_owned(),
    }
}

/// How to get an entry for a program of `row`.
pub(super) fn get_entry(explanation: &Explanation, row: &Architecture, image: &Effective) -> String {
    let kernel = &explanation.kernel;
    if kernel.disabled {
        return turn_on(b"status");
    }
    if let Some(off) = kernel.off() {
        return turn_on(off.name.as_bytes());
    }
    let mut steps = Vec::new();
    let mut replace = "";
    if !has_emulator(row, image) {
        steps.push(get_emulator(row));
        // The package registers its own entries.
        replace = "--replace ";
    }
    let install = as_root(&[format!("{NAME} install {replace}{}", row.name)]);
    if kernel.unavailable.is_some() {
        steps.push(match kernel.may_have_entries {
            true => as_root(&[format!("mount -t binfmt_misc binfmt_misc {REGISTRY}")]),
            false => as_root(&["modprobe binfmt_misc".to_owned()]),
        });
    }
    steps.push(install);
    steps.join(" && ")
}

/// The command that runs the program at once.
pub(super) fn run_now(explanation: &Explanation, row: &Architecture, image: &Effective) -> Option<String> {
    has_emulator(row, image).then(|| format!("{NAME} run {}", quote(explanation.file.as_bytes())))
}

/// How to get the C library of a program of `row`, whose dynamic linker is `linker`. It belongs
/// into `into`.
pub(super) fn get_linker(row: &Architecture, linker: &str, into: &str, native: bool) -> String {
    if linker.starts_with("/system/") {
        return "run it on Android".to_owned();
    }
    if linker.contains("ld-musl") {
        return format!("run it in a root directory of Alpine, or install musl of {} into {into}", row.name);
    }
    // Packages put their files below /usr, or, for programs that run natively, below /.
    let packaged = if native { row.name != host::row().name } else { into.starts_with("/usr/") };
    let family = Family::of(Path::new("/")).filter(|_| packaged);
    let package = family.and_then(|family| family.c_library(&row.name, linker, native));
    package.map_or_else(
        || format!("install the C library of {} into {into}, or get a static build", row.name),
        |commands| as_root(&commands),
    )
}
