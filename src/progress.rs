//! The step that a long command has come to: one line on a terminal, which the next step replaces.
//!
//! It is on standard error. Elsewhere than on a terminal, nothing is written.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Goes to the beginning of the line, and erases it (ECMA-48: CR, EL).
const ERASE: &str = "\r\x1b[K";
/// Columns of a terminal that does not tell how many it has.
const COLUMNS: usize = 80;

/// Whether the terminal shows a step.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// Whether standard error is a terminal that can erase a line.
static TERMINAL: LazyLock<bool> = LazyLock::new(|| {
    let able = std::env::var_os("TERM").is_some_and(|name| name != "dumb" && !name.is_empty());
    able && io::stderr().is_terminal()
});

/// Shows the step `number` of `total`. With `-v` nothing is shown, since its lines say the same.
pub fn show(number: usize, total: usize, what: impl fmt::Display) {
    if !*TERMINAL || log::log_enabled!(log::Level::Info) {
        return;
    }
    let columns = terminal_size::terminal_size_of(io::stderr()).map_or(COLUMNS, |(width, _)| usize::from(width.0));
    let text = format!("[{number}/{total}] {what}");
    // A line that is wrapped could not be erased.
    let text: String = text.chars().take(columns.saturating_sub(1)).collect();
    SHOWN.store(true, Ordering::Relaxed);
    let _ = io::stderr().write_all(format!("{ERASE}{text}").as_bytes());
}

/// Erases the step, if one is shown: before anything else is written.
pub fn clear() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = io::stderr().write_all(ERASE.as_bytes());
    }
}
