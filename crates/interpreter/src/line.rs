//! The one line that a person gets when a guest is not run.

use core::ffi::CStr;

use dispatch_core::NAME;
use dispatch_core::refusal::{EXIT_BROKEN, Refusal};
use dispatch_core::say::{Say, Text};

use crate::sys;

/// How much of a guest's name is shown, counted from its end.
const SHOWN: usize = 512;
/// Longest line; what goes beyond is cut off. The last byte is kept for the newline.
const LINE: usize = 2048;

/// Writes a line at once, so that lines of several processes do not mix.
fn write(pieces: &[&dyn Say]) {
    let mut bytes = [b'\n'; LINE];
    let mut len = 0usize;
    for piece in pieces {
        piece.say(&mut |text| {
            let room = bytes.iter_mut().take(LINE.saturating_sub(1)).skip(len);
            for (to, byte) in room.zip(text.bytes()) {
                *to = byte;
                len = len.saturating_add(1);
            }
        });
    }
    sys::complain(bytes.get(..len.saturating_add(1)).unwrap_or(&bytes));
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
    sys::exit(refusal.exit_code())
}

/// Ends the process after a bug of ours.
pub fn broken() -> ! {
    say("a bug: please report it");
    sys::exit(EXIT_BROKEN)
}
