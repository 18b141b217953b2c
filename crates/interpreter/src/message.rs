//! The one-line message that a person gets when a guest is not run.

use core::ffi::CStr;

use dispatch_core::NAME;
use dispatch_core::message::{Say, Text};
use dispatch_core::refusal::{EXIT_BROKEN, Refusal};

use crate::{cpu, sys};

/// How many bytes of a guest's name are shown, counted from its end.
const SHOWN: usize = 512;
/// Longest line, in bytes; the rest is cut off.
const LINE: usize = 2048;

/// Writes a line with one system call, so that lines of several processes do not mix.
fn write(pieces: &[&dyn Say]) {
    let mut bytes = [b'\n'; LINE];
    let mut len = 0usize;
    // Keep the newline.
    let [line @ .., _] = &mut bytes;
    for piece in pieces {
        piece.say(&mut |text| {
            for byte in text.bytes() {
                if let Some(to) = line.get_mut(len) {
                    *to = byte;
                    len = len.wrapping_add(1);
                }
            }
        });
    }
    sys::complain(bytes.get(..len.wrapping_add(1)).unwrap_or(&bytes));
}

/// Prints a message about this program itself.
pub fn say(what: &str) {
    write(&[&NAME, &": ", &what]);
}

/// Prints why `guest` is not run, and ends the process with the refusal's exit code.
pub fn refuse(guest: Option<&CStr>, refusal: &Refusal<'_>) -> ! {
    match guest.map(CStr::to_bytes) {
        Some(name) => {
            let cut = name.len().saturating_sub(SHOWN);
            let ellipsis = if cut > 0 { "..." } else { "" };
            write(&[&NAME, &": ", &ellipsis, &Text(name.get(cut..).unwrap_or_default()), &": ", refusal]);
        }
        None => write(&[&NAME, &": ", refusal]),
    }
    cpu::exit(refusal.exit_code())
}

/// Ends the process after a bug in this program.
pub fn broken() -> ! {
    say("a bug: please report it");
    cpu::exit(EXIT_BROKEN)
}
