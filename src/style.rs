//! Colours, on terminals only: few, so that they point out what matters. `NO_COLOR`, `CLICOLOR` and
//! `CLICOLOR_FORCE` are honoured, and terminals that have no colours.

use std::fmt;
use std::io;
use std::sync::LazyLock;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// Titles of columns and of sections.
pub const HEADING: Style = Style::new().bold();
/// A check that succeeded.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// A failure, or a program that does not run.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// A warning.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Text without a style.
pub const PLAIN: Style = Style::new();

/// Whether standard output has colours.
pub static OUTPUT: LazyLock<bool> = LazyLock::new(|| AutoStream::choice(&io::stdout()) != ColorChoice::Never);
/// Whether standard error has colours.
pub static ERRORS: LazyLock<bool> = LazyLock::new(|| AutoStream::choice(&io::stderr()) != ColorChoice::Never);

/// Text in a style.
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    text: T,
    style: Style,
}

/// `text` in `style`, for standard output.
pub fn paint<T: fmt::Display>(style: Style, text: T) -> Painted<T> {
    paint_if(*OUTPUT, style, text)
}

/// The same for a stream of which it is known whether it has colours.
pub fn paint_if<T: fmt::Display>(coloured: bool, style: Style, text: T) -> Painted<T> {
    Painted { text, style: if coloured { style } else { PLAIN } }
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_painted_where_there_are_colours() {
        assert_eq!(paint_if(true, GOOD, "ok").to_string(), "\x1b[32mok\x1b[0m");
        assert_eq!(paint_if(false, GOOD, "ok").to_string(), "ok");
        assert_eq!(paint_if(true, PLAIN, "ok").to_string(), "ok");
    }
}
