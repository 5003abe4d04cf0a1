//! The gate of a mailbox: counts what was admitted, and closes without losing any of it.
//!
//! Owns one word: the closed bit, and the number of messages admitted and not yet taken out. A
//! sender is counted before it pushes, the owner uncounts after it popped; so the count is both
//! the depth of the queue and the proof, at closing, that nothing admitted is still on its way.
//! Never blocks a sender.
//!
//! Invariants: a message is pushed only after it was counted by an open gate; after `close`
//! nothing new is counted, but for a moment by a sender that is about to see the closed bit.
//!
//! Orderings: relaxed throughout, because every step is an operation on this one word and a
//! single atomic has one order of changes that all threads agree on. An admission before the
//! closing in that order is in every count the owner reads afterwards, until the owner itself
//! takes it out; one after the closing sees the bit. The messages are published by the queue.

use super::sync::{AtomicUsize, Ordering};

/// Counts messages in and out, until it is closed.
#[derive(Debug)]
pub(super) struct Gate(AtomicUsize);

impl Gate {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Counts `messages` that are about to be pushed; false, and nothing counted, when closed.
    #[must_use]
    pub(super) fn admit(&self, messages: usize) -> bool {
        // A thread that has seen the bit never touches the count again, so refused senders
        // cannot keep the owner from seeing zero.
        if self.is_closed() {
            return false;
        }
        let added = messages * ONE;
        let open = self.0.fetch_add(added, Ordering::Relaxed) & CLOSED == 0;
        if !open {
            self.0.fetch_sub(added, Ordering::Relaxed);
        }
        open
    }

    /// Uncounts `messages` that were popped.
    pub(super) fn release(&self, messages: usize) {
        if messages == 0 {
            return;
        }
        let before = self.0.fetch_sub(messages * ONE, Ordering::Relaxed);
        debug_assert!(before >= messages * ONE, "a message was popped that was never admitted");
    }

    /// Refuses from now on.
    pub(super) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Messages admitted and not yet taken out.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed) / ONE
    }
}

const CLOSED: usize = 1;
/// One message, in the bits above the closed bit.
const ONE: usize = 2;
