//! The watchdog's post: where the cores find it, and how it knows that all of them sleep.
//!
//! Owns the word by which the watchdog sleeps and is woken, and its thread's handle. A core that
//! comes back from a sleep looks here, and whoever finds the watchdog asleep wakes it: one wake at
//! most for each of its sleeps. Without a watchdog nothing is ever asleep here.
//!
//! How it never sleeps while a core is awake: it announces its sleep in its own word, then makes a
//! read-modify-write on the wake word of each core ([`Mailbox::is_asleep`]). A core's swap of that
//! word as it wakes comes before, and the watchdog sees an awake core; or after, and then the core
//! has the announcement before it and finds it when it looks. So a plain load is enough for the
//! core, of a line that is hardly ever written. Modelled in `mailbox/wake_loom.rs`.
//!
//! [`Mailbox::is_asleep`]: crate::mailbox::Mailbox::is_asleep

use std::sync::OnceLock;
use std::thread::{self, Thread};

use crossbeam::utils::CachePadded;

use crate::mailbox::WakeWord;

#[derive(Debug)]
pub(crate) struct Post {
    word: CachePadded<WakeWord>,
    thread: OnceLock<Thread>,
}

impl Post {
    pub(crate) fn new() -> Self {
        Self { word: CachePadded::new(WakeWord::new()), thread: OnceLock::new() }
    }

    /// A core is awake. For the core, after its own wake word says so.
    #[inline]
    pub(crate) fn rouse(&self) {
        if self.word.notify_parked() {
            self.wake();
        }
    }

    /// A core is gone: the watchdog looks at once, and ends with the last of them.
    pub(crate) fn tell_end(&self) {
        // The thread's own token, which its next sleep finds, of either kind.
        let _wakes_below = self.word.notify();
        self.wake();
    }

    #[cold]
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// The calling thread is the watchdog.
    pub(super) fn man(&self) {
        // There is one; a second would be a defect and is never woken.
        let _kept = self.thread.set(thread::current());
    }

    /// Sleeps until a core wakes up, unless `all_asleep`, asked after the announcement, denies it.
    /// May return early.
    pub(super) fn sleep_if(&self, all_asleep: impl FnOnce() -> bool) -> bool {
        let sleeps = self.word.park() && all_asleep();
        if sleeps {
            thread::park();
        }
        self.word.unpark();
        sleeps
    }
}
