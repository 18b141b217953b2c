//! Delays the signals that would end this program.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::process;

/// The signals that people and service managers use to end programs.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Goes on after a reader of the output has gone away, which would end this program by SIGPIPE: for
/// commands that change something. Programs that the standard library starts get no signal blocked.
pub fn outlive_readers() {
    // This fails only if an argument is invalid.
    let _ = SigSet::from(Signal::SIGPIPE).thread_block();
}

/// While it exists, a write beyond the limit on the size of files (`ulimit -f`) fails with EFBIG.
/// Otherwise SIGXFSZ would end this program, and nobody would say why.
#[derive(Debug)]
pub struct SizeLimit {
    before: Option<SigSet>,
}

impl SizeLimit {
    /// Blocks the signal from now on.
    pub fn begin() -> Self {
        // This fails only if an argument is invalid.
        SizeLimit { before: SigSet::from(Signal::SIGXFSZ).thread_swap_mask(SigmaskHow::SIG_BLOCK).ok() }
    }
}

impl Drop for SizeLimit {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        // The failed write has been reported. One that somebody else sent meanwhile is lost too.
        if !before.contains(Signal::SIGXFSZ) && process::is_pending(Signal::SIGXFSZ) {
            let _ = SigSet::from(Signal::SIGXFSZ).wait();
        }
        let _ = before.thread_set_mask();
    }
}

/// While it exists, signals that would end this program are blocked, because between the removal
/// and the registration of an entry there is none. Signals that arrive meanwhile take effect
/// afterwards. Long steps check [`SignalGuard::is_over`]; if it is true, they undo their changes
/// before this is dropped.
#[derive(Debug)]
pub struct SignalGuard {
    before: Option<SigSet>,
}

impl SignalGuard {
    /// Blocks the signals from now on.
    pub fn begin() -> Self {
        // An ignored signal would be pending too if it were blocked, and look like one that ends
        // the program.
        let signals = SIGNALS.into_iter().filter(|signal| !process::is_ignored(*signal));
        let signals: SigSet = signals.collect();
        // This fails only if an argument is invalid.
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
