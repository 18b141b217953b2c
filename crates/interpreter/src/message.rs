//! The one line that a person gets when a guest is not run.

use core::ffi::CStr;

use dispatch_core::NAME;
use dispatch_core::message::{Say, Text};
use dispatch_core::refusal::{EXIT_BROKEN, Refusal};

use crate::{cpu, sys};

/// How much of a guest's name is shown, counted from its end.
const SHOWN: usize = 512;
/// Longest line; what goes beyond is cut off.
const LINE: usize = 2048;

/// Writes a line at once, so that lines of several processes do not mix.
fn write(pieces: &[&dyn Say]) {
    let mut bytes = [b'\n'; LINE];
    let mut len = 0usize;
    // The newline stays.
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

/// Says something about ourselves.
pub fn say(what: &str) {
    write(&[&NAME, &": ", &what]);
}

/// Says why `guest` is not run, and ends the process with the refusal's exit code.
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

/// Ends the process after a bug of ours.
pub fn broken() -> ! {
    say("a bug: please report it");
    cpu::exit(EXIT_BROKEN)
}
