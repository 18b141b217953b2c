//! The format files of binfmt-support, which Debian's packages put into /usr/share/binfmts
//! (update-binfmts(8), FORMAT FILES): options, one a line.

use std::os::unix::ffi::OsStrExt;

use super::{flags_before_t, not_in_format, parts};
use crate::failure::Failure;
use crate::registry::RegisterLine;

/// Whose entries these are, as far as update-binfmts is concerned.
const PACKAGE: &str = dispatch_core::NAME;

/// The file for one entry; update-binfmts calls the entry as the file is called.
///
/// # Errors
/// [`Failure::NotInFormat`]: update-binfmts would make another entry of it.
pub fn file(line: &RegisterLine) -> Result<Vec<u8>, Failure> {
    let (flags, path) = (flags_before_t(line)?, line.interpreter().as_os_str().as_bytes());
    if flags.open_binary && !flags.credentials {
        return Err(not_in_format(
            line,
            "binfmt-support cannot register flag O without C: use --credentials, with which the privileges of \
             set-user-ID programs take effect, or another format",
        ));
    }
    // It delimits fields with a colon, and values with blanks.
    if path.contains(&b':') || path.trim_ascii() != path {
        return Err(not_in_format(
            line,
            "binfmt-support cannot register an interpreter whose path has a colon, or a blank at its end",
        ));
    }
    let [offset, magic, mask] = parts(line);
    let mut text = format!("package {PACKAGE}\ninterpreter ").into_bytes();
    text.extend(path);
    if !offset.is_empty() {
        text.extend(format!("\noffset {offset}").bytes());
    }
    let answer = |yes: bool| if yes { "yes" } else { "no" };
    let [credentials, preserve, fix] = [flags.credentials, flags.preserve_argv0, flags.fix_binary].map(answer);
    let rest =
        format!("\nmagic {magic}\nmask {mask}\ncredentials {credentials}\npreserve {preserve}\nfix_binary {fix}\n");
    text.extend(rest.bytes());
    Ok(text)
}
