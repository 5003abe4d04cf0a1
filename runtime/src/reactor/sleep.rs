//! Between turns: how long a core may wait for events, and the wait itself.
//!
//! Owns the order in which a core goes to sleep: leases go back, the mailbox learns that it must
//! wake the core, then the driver waits. Never sleeps while anything is left to do.

use std::time::Duration;

use super::meter::Spent;
use super::{Core, nanos};
use crate::watchdog::Label;

/// Failures to wait for events, one after another, that end a core.
const FAILED_POLLS: u32 = 16;

/// Longest sleep: a core looks around that often even if nothing is due.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Core {
    /// Waits for events, and notes how much longer it was away than it meant to be.
    pub(super) fn poll(&mut self, longest: Duration) {
        let since = self.now;
        self.pulse.beat(Label::WAITING);
        let meant = self.wait(longest);
        self.pulse.beat(Label::CORE);
        self.note_gap(self.now.saturating_since(since).saturating_sub(meant));
    }

    /// Waits; returns for how long it meant to. Leases go back before the core sleeps, and only
    /// then.
    fn wait(&mut self, longest: Duration) -> Duration {
        let mut timeout = self.sleep(longest);
        if !timeout.is_zero() && self.shards.hold_leases() {
            // Most turns of a busy core find events here and keep their leases.
            self.poll_for(Duration::ZERO);
            if !self.events.is_empty() {
                return Duration::ZERO;
            }
            self.shards.park();
            timeout = self.sleep(longest);
        }
        let sleeps = !timeout.is_zero();
        if sleeps && !self.shared.mailbox(self.index()).park() {
            timeout = Duration::ZERO;
        }
        self.poll_for(timeout);
        if sleeps {
            self.shared.mailbox(self.index()).unpark();
            self.shared.post.rouse();
        }
        timeout
    }

    fn poll_for(&mut self, timeout: Duration) {
        let sleeps = !timeout.is_zero();
        if sleeps {
            self.fall_asleep();
        }
        match self.driver.poll(Some(timeout), &mut self.events) {
            Ok(()) => self.failed_polls = 0,
            Err(error) => {
                // The set of descriptors is ours and valid, so this is a lack of memory, which may
                // pass, or a defect, which does not.
                tracing::error!(%error, core = self.index, "waiting for events failed");
                self.failed_polls += 1;
                assert!(
                    self.failed_polls < FAILED_POLLS,
                    "a core that cannot wait is over: {error}"
                );
            }
        }
        self.now = self.driver.now();
        match sleeps {
            true => self.wake_up(),
            false => self.spend(self.now, Spent::Busy),
        }
    }

    /// How long the core may sleep: not at all while something is to do.
    fn sleep(&mut self, longest: Duration) -> Duration {
        let busy = self.lanes.have_work()
            || !self.again.is_empty()
            || !self.passed_over.is_empty()
            || !self.closing.is_empty()
            || self.outbox.iter().any(|messages| !messages.is_empty())
            || self.shards.are_due()
            || self.wires.have_posts()
            || !self.shared.mailbox(self.index()).is_empty();
        if busy || self.drain.is_over() {
            return Duration::ZERO;
        }
        let now = self.driver.now();
        match self.wheel.next_deadline() {
            Some(deadline) => longest.min(deadline.saturating_since(now)),
            None => longest,
        }
    }

    pub(super) fn note_gap(&mut self, gap: Duration) {
        self.stats.longest_gap_ns = self.stats.longest_gap_ns.max(nanos(gap));
    }
}
