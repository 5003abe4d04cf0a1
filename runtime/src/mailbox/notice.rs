//! A notice: tells a core, by one message however often it is posted, to look at something.
//!
//! Owns one flag, set while the message is on its way. Never sends: whoever posts first must. The
//! core takes the notice down when the message has come, before it looks; so a post that found the
//! flag set was for a change that the core is about to see.
//!
//! Orderings: only swaps touch the flag, each acquire and release, so they form one chain. The
//! core's swap comes after every post that found the flag set, and has their changes before it; a
//! post after it finds the flag clear and sends. Modelled in `wake_loom`.

use super::sync::{AtomicBool, Ordering};

/// Whether a message is on its way.
#[derive(Debug)]
pub(crate) struct Notice(AtomicBool);

impl Notice {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks the core to look; true means the caller must send it the message.
    #[must_use]
    pub(crate) fn post(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// The message has come. For the core, before it looks.
    pub(crate) fn take_down(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_sent_until_it_has_come() {
        let notice = Notice::new();
        assert!(notice.post());
        assert!(!notice.post());
        notice.take_down();
        assert!(notice.post());
    }
}
