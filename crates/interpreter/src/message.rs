//! The one-line message that a person gets when a guest is not run.

use core::ffi::CStr;

use dispatch_core::NAME;
use dispatch_core::message::{Out, Say, Text};
use dispatch_core::refusal::{EXIT_ANSWERED, EXIT_BROKEN, MORE, Refusal};

use crate::{cpu, sys};

/// How many bytes of a guest's name are shown, counted from its end.
const SHOWN: usize = 512;
/// Longest line, in bytes; the rest is cut off.
const LINE: usize = 2048;

/// Writes a line with one system call, so that lines of several processes do not mix. `say` says
/// what it has after this program's name.
fn write(say: &dyn Fn(&mut Out<'_>)) {
    let mut bytes = [b'\n'; LINE];
    let mut len = 0usize;
    // Keep the newline.
    let [line @ .., _] = &mut bytes;
    let mut out = |text: &str| {
        for byte in text.bytes() {
            if let Some(to) = line.get_mut(len) {
                *to = byte;
                len = len.wrapping_add(1);
            }
        }
    };
    out(NAME);
    out(": ");
    say(&mut out);
    sys::complain(bytes.get(..len.wrapping_add(1)).unwrap_or(&bytes));
}

/// Prints a message about this program itself.
pub fn say(what: &str) {
    write(&|out| out(what));
}

/// Prints why `guest` is not run, and the command that says more; ends the process with the
/// refusal's exit code.
pub fn refuse(guest: Option<&CStr>, refusal: &Refusal<'_>) -> ! {
    let code = refusal.exit_code();
    write(&|out| {
        let Some(bytes) = guest.map(CStr::to_bytes) else { return refusal.say(out) };
        let cut = bytes.len().saturating_sub(SHOWN);
        let name = Text(bytes.get(cut..).unwrap_or_default());
        if cut > 0 {
            out("...");
        }
        name.say(out);
        out(": ");
        refusal.say(out);
        if code != EXIT_ANSWERED {
            out(MORE);
            if cut == 0 && is_one_word(bytes) { name.say(out) } else { out("FILE") }
        }
    });
    cpu::exit(code)
}

/// Whether a shell takes the name as it is for a word, and a command does not take it for an option.
fn is_one_word(name: &[u8]) -> bool {
    // From + to : are digits and + , - . /
    let plain = |byte: &u8| matches!(byte, b'%' | b'+'..=b':' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'z');
    !name.starts_with(b"-") && name.iter().all(plain)
}

/// Ends the process after a bug in this program.
pub fn broken() -> ! {
    say("a bug: please report it");
    cpu::exit(EXIT_BROKEN)
}
