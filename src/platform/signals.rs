//! Signals that end this program, and when they may.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::process;

/// The signals with which people and service managers end programs.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Blocks the signals that end this program, as long as it exists: between removal and registration
/// there is no entry. Signals that came meanwhile act afterwards. A long step in between asks
/// [`SignalGuard::is_over`], and undoes everything before this is dropped.
#[derive(Debug)]
pub struct SignalGuard {
    before: Option<SigSet>,
}

impl SignalGuard {
    /// Blocks the signals from now on.
    pub fn begin() -> Self {
        // One that is ignored would wait as well, and look like one that ends the program.
        let signals: SigSet = SIGNALS.into_iter().filter(|signal| !process::is_ignored(*signal)).collect();
        // Fails for an invalid argument only.
        SignalGuard { before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok() }
    }

    /// Whether a blocked signal is pending.
    pub fn is_over() -> bool {
        SIGNALS.into_iter().any(process::is_pending)
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_for_the_end() {
        let blocked = || SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM);
        let before = blocked();
        let guard = SignalGuard::begin();
        assert!(blocked());
        assert!(!SignalGuard::is_over());
        nix::sys::signal::raise(Signal::SIGWINCH).unwrap();
        assert!(!SignalGuard::is_over(), "only what ends programs counts");
        drop(guard);
        assert_eq!(blocked(), before);
    }
}
