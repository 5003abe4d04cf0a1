//! The wake word: decides who wakes a sleeping core, once for each sleep.
//!
//! Owns one word that is RUNNING, PARKED or NOTIFIED. A sender pushes, then swaps in NOTIFIED:
//! it alone, if the word was PARKED, must wake the core. The core parks with RUNNING to PARKED,
//! which fails if a sender came since it last looked; awake again it swaps in RUNNING and only
//! then looks at the queue. Never blocks, never makes the system call itself.
//!
//! Orderings: only read-modify-writes change the word, each acquire and release (a sender alone
//! could do without the acquire; one rule for all costs nothing). They form one chain in the
//! word's order of changes, so whoever reads NOTIFIED has the notifying sender's push before it,
//! and those of all senders earlier in the chain. A sender later in the chain than the core's
//! swap leaves NOTIFIED for the next park to fail on, or finds PARKED and wakes. A plain store in
//! `unpark` would break the chain: the core could miss a push whose sender saw the core as
//! already notified. No fence, and nothing leans on sequential consistency.
//! Source: the flag of compio's executor, with tokio's park states; modelled in `wake_loom`.

use super::sync::{AtomicU8, Ordering};

/// Whether a core sleeps, and whether somebody has called it since it last looked.
#[derive(Debug)]
pub(crate) struct WakeWord(AtomicU8);

impl WakeWord {
    /// Makes the word of a core that is awake.
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    /// Tells the core to look at its queue; true means the caller must wake it.
    #[must_use]
    pub(crate) fn notify(&self) -> bool {
        self.0.swap(NOTIFIED, Ordering::AcqRel) == PARKED
    }

    /// As [`notify`](Self::notify), but leaves one that is awake alone, for the price of a load.
    ///
    /// Right only for a caller whom something else keeps from missing the sleep: the load may be
    /// old, see `watchdog/post.rs`.
    #[must_use]
    pub(crate) fn notify_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PARKED && self.notify()
    }

    /// Whether it sleeps and nobody has called it; if not, its next [`unpark`](Self::unpark), or
    /// the last, has the caller's past before it, or the caller has the past of that.
    pub(crate) fn is_parked(&self) -> bool {
        self.0.fetch_or(0, Ordering::AcqRel) == PARKED
    }

    /// As [`is_parked`](Self::is_parked), without its promise: a mutant for the model.
    #[cfg(all(test, loom))]
    pub(crate) fn looks_parked(&self) -> bool {
        self.0.load(Ordering::Acquire) == PARKED
    }

    /// Goes to sleep; false means somebody notified the core, which must look again first.
    #[must_use]
    pub(crate) fn park(&self) -> bool {
        self.0.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Wakes up, or declines to sleep; every push notified before this is then visible.
    pub(crate) fn unpark(&self) {
        self.0.swap(RUNNING, Ordering::AcqRel);
    }
}

const RUNNING: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_notification_of_a_sleep_wakes() {
        let word = WakeWord::new();
        assert!(word.park());
        assert!(word.notify());
        assert!(!word.notify());
        word.unpark();
        assert!(word.park());
        assert!(word.notify());
    }

    #[test]
    fn a_core_notified_while_awake_does_not_sleep_until_it_has_looked() {
        let word = WakeWord::new();
        assert!(!word.notify());
        assert!(!word.park());
        assert!(!word.park());
        word.unpark();
        assert!(word.park());
    }
}
