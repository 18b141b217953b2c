//! The reason why there is no plan for a program.

use dispatch_core::elf::{ET_CORE, ET_REL, HeaderFault};
use dispatch_core::refusal::Refusal;

use super::Verdict;

/// Why there is no plan.
pub(super) struct Unplanned {
    /// The problem.
    pub reason: String,
    /// The remedy.
    pub remedy: String,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// What decides so.
    pub ground: Ground,
    /// The command that runs it without the remedy.
    pub now: Option<String>,
}

/// The ground of a verdict.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// The header: no kernel runs such a file.
    Header,
    /// The file, and what this process may do with it.
    File,
    /// What this machine has; a test program that runs refutes it.
    Host,
}

impl Unplanned {
    /// The verdict that follows.
    pub fn verdict(self) -> Verdict {
        let remedy = Some(self.remedy).filter(|remedy| !remedy.is_empty());
        Verdict {
            runs: Some(false),
            certain: true,
            exit_code: self.exit_code,
            reason: self.reason,
            remedy,
            now: self.now,
        }
    }
}

/// The reason of a refusal, as the interpreter says it.
pub(super) fn reason_of(refusal: &Refusal<'_>) -> String {
    let mut reason = String::new();
    refusal.say_reason(&mut |piece| reason.push_str(piece));
    reason
}

/// What to do about a bad header; `None` for the usual advice.
pub(super) fn remedy_of_header(fault: HeaderFault) -> Option<&'static str> {
    match fault {
        HeaderFault::Type(ET_REL) => Some("link it"),
        HeaderFault::Type(ET_CORE) => Some("open it with a debugger"),
        _ => None,
    }
}
