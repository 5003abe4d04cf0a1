//! The mailbox of one core: how every other thread hands it work.
//!
//! Owns a queue many threads push to and one core empties, the gate that closes it, and the rule
//! for waking the core. Never blocks a sender, never loses an accepted message, never sends more
//! than one wake for one sleep, and calls no user code but the wake function it was given.
//!
//! How the core uses it, each turn: [`park`](Mailbox::park); sleep only if that succeeded, else
//! poll without waiting; [`unpark`](Mailbox::unpark); then [`take`](Mailbox::take) until empty or
//! the budget is spent, in which case the next poll must not wait.
//!
//! Orderings: a message and the data behind it pass through the queue, which publishes on push
//! and acquires on pop. That the core *looks* after a push is the wake word's business, see
//! [`wake`]. The gate counts and orders nothing, see [`gate`]. The gauges are relaxed: each is
//! read alone.

mod gate;
mod notice;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
mod wake;
#[cfg(all(test, loom))]
mod wake_loom;

use std::collections::VecDeque;
use std::fmt;

use crossbeam::queue::SegQueue;
use crossbeam::utils::{Backoff, CachePadded};

use gate::Gate;
pub(crate) use notice::Notice;
use sync::{AtomicU64, Ordering};
pub(crate) use wake::WakeWord;

/// How many messages `Mailbox::try_send` lets wait before it refuses: 65,536.
///
/// Soft: threads that look at the same moment may pass it by one message each.
pub const SOFT_CAP: usize = 65_536;

/// A queue from any thread to one core, which is woken when it sleeps.
///
/// A send costs one allocation in 31 and three atomic additions or swaps, on the gate, the queue
/// and the wake word; a system call only if the core sleeps and nobody has woken it yet.
pub(crate) struct Mailbox<M> {
    queue: SegQueue<M>,
    gate: CachePadded<Gate>,
    wakes: CachePadded<Wakes>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// The wake word and its counters, which a sender writes together: one cache line.
struct Wakes {
    word: WakeWord,
    sent: AtomicU64,
    suppressed: AtomicU64,
}

/// Why a message was not taken; it comes back to the caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<M> {
    /// The soft cap is reached: try later, or send without a cap.
    Full(M),
    /// The core has stopped and will never take a message again.
    Stopped(M),
}

/// What a mailbox has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailboxStats {
    /// Messages accepted and not yet taken.
    pub(crate) depth: usize,
    /// Calls of the wake function: each is a system call.
    pub(crate) wakes_sent: u64,
    /// Sends, or batches, that found the core awake or already woken.
    pub(crate) wakes_suppressed: u64,
}

impl<M: Send> Mailbox<M> {
    /// Makes an open, empty mailbox of a core that is awake.
    ///
    /// `wake` interrupts the core's poll, or makes its next one return at once. It runs on the
    /// sender's thread, so it must neither block nor send to this mailbox.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            queue: SegQueue::new(),
            gate: CachePadded::new(Gate::new()),
            wakes: CachePadded::new(Wakes {
                word: WakeWord::new(),
                sent: AtomicU64::new(0),
                suppressed: AtomicU64::new(0),
            }),
            wake,
        }
    }

    /// Hands the core a message, and wakes it if it sleeps.
    ///
    /// # Errors
    ///
    /// Returns the message when the core has stopped.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        if !self.gate.admit(1) {
            return Err(message);
        }
        self.queue.push(message);
        self.notify();
        Ok(())
    }

    /// Like [`send`](Self::send), but refuses when `cap` messages wait already.
    ///
    /// # Errors
    ///
    /// Returns the message, with the reason; see [`Refused`].
    pub(crate) fn try_send(&self, message: M, cap: usize) -> Result<(), Refused<M>> {
        if self.gate.count() >= cap && !self.gate.is_closed() {
            return Err(Refused::Full(message));
        }
        self.send(message).map_err(Refused::Stopped)
    }

    /// Hands the core all messages of a batch, in order, with one wake at most.
    ///
    /// Empties `batch` and keeps its allocation for the next one.
    ///
    /// # Errors
    ///
    /// When the core has stopped; `batch` is then untouched.
    pub(crate) fn send_batch(&self, batch: &mut Vec<M>) -> Result<(), Stopped> {
        if batch.is_empty() {
            return Ok(());
        }
        if !self.gate.admit(batch.len()) {
            return Err(Stopped);
        }
        for message in batch.drain(..) {
            self.queue.push(message);
        }
        self.notify();
        Ok(())
    }

    /// Moves the oldest messages, `most` at most, to the end of `taken`; returns how many. For the
    /// owning core.
    ///
    /// They are uncounted together: each touch of the gate takes its cache line from the senders.
    pub(crate) fn take(&self, most: usize, taken: &mut VecDeque<M>) -> usize {
        let before = taken.len();
        taken.extend(std::iter::from_fn(|| self.queue.pop()).take(most));
        let count = taken.len() - before;
        self.gate.release(count);
        count
    }

    /// Whether no message waits and none is on its way in. For the owning core.
    pub(crate) fn is_empty(&self) -> bool {
        self.gate.count() == 0
    }

    /// Announces that the core is about to sleep; false means it must not. For the owning core.
    #[must_use]
    pub(crate) fn park(&self) -> bool {
        self.wakes.word.park()
    }

    /// Announces that the core is awake. For the owning core, which then empties the queue.
    pub(crate) fn unpark(&self) {
        self.wakes.word.unpark();
    }

    /// Whether the core sleeps; if not, it finds what the caller did before, once it has woken.
    pub(crate) fn is_asleep(&self) -> bool {
        self.wakes.word.is_parked()
    }

    /// Stops accepting, and passes on every message that was accepted. For the owning core.
    ///
    /// Returns when each of them has been passed on. Waits, at most, for senders that are between
    /// the gate and the end of their pushes; a send from within `take` is refused.
    pub(crate) fn close(&self, mut take: impl FnMut(M)) {
        self.gate.close();
        let backoff = Backoff::new();
        while self.gate.count() > 0 {
            match self.queue.pop() {
                Some(message) => {
                    self.gate.release(1);
                    backoff.reset();
                    take(message);
                }
                None => backoff.snooze(),
            }
        }
    }

    /// How full it is and how often it woke its core; gauges, exact only when nobody sends.
    pub(crate) fn stats(&self) -> MailboxStats {
        MailboxStats {
            depth: self.gate.count(),
            wakes_sent: self.wakes.sent.load(Ordering::Relaxed),
            wakes_suppressed: self.wakes.suppressed.load(Ordering::Relaxed),
        }
    }

    fn notify(&self) {
        if self.wakes.word.notify() {
            self.wakes.sent.fetch_add(1, Ordering::Relaxed);
            (self.wake)();
        } else {
            self.wakes.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("depth", &self.gate.count()).finish_non_exhaustive()
    }
}

/// The core has stopped; nothing was sent and nothing ever will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;
