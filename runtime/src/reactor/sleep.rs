//! Between turns: how long a core may wait for events, and the wait itself.
//!
//! Owns the order in which a core goes to sleep: leases go back, it looks for events as long as its
//! idle policy says, the mailbox learns that it must wake the core, then the driver waits. Never
//! sleeps while anything is left to do.
//!
//! Invariants: a core that has nothing to do holds no lease, whether it sleeps or looks; the
//! mailbox wakes a core only between `park` and `unpark`, so one that looks costs no sender a call.

use std::time::Duration;

use super::meter::Spent;
use super::{Core, nanos};
use crate::placement::Idle;
use crate::watchdog::Label;

/// Failures to wait for events, one after another, that end a core.
const FAILED_POLLS: u32 = 16;

/// Longest sleep: a core looks around that often even if nothing is due.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Core {
    /// Waits for events.
    pub(super) fn poll(&mut self, longest: Duration) {
        self.pulse.beat(Label::WAITING);
        self.wait(longest);
        self.pulse.beat(Label::CORE);
    }

    /// Leases go back once no events are there at once, and only then.
    fn wait(&mut self, longest: Duration) {
        let mut timeout = self.sleep(longest);
        if !timeout.is_zero() && self.shards.hold_leases() {
            // Most turns of a busy core find events here and keep their leases.
            self.poll_for(Duration::ZERO, Spent::Busy);
            if !self.events.is_empty() {
                return;
            }
            self.shards.park();
            timeout = self.sleep(longest);
        }
        if !timeout.is_zero() && self.idle != Idle::Park {
            match self.spin(longest) {
                Some(rest) => timeout = rest,
                None => return,
            }
        }
        let sleeps = !timeout.is_zero();
        if sleeps && !self.shared.mailbox(self.index()).park() {
            timeout = Duration::ZERO;
        }
        self.poll_for(timeout, Spent::Busy);
        if sleeps {
            self.shared.mailbox(self.index()).unpark();
            self.shared.post.rouse();
        }
    }

    /// Looks for events instead of sleeping, as long as the idle policy has it.
    ///
    /// Returns how long the core may sleep then, or nothing if a turn is due: events are there, or
    /// mail, or a timer.
    fn spin(&mut self, longest: Duration) -> Option<Duration> {
        let spell = match self.idle {
            Idle::Park => Duration::ZERO,
            Idle::Spin(time) => time,
            Idle::Busy => Duration::MAX,
        };
        let begun = self.driver.now();
        self.spend(begun, Spent::Busy);
        loop {
            self.poll_for(Duration::ZERO, Spent::Spin);
            let spun = self.now.saturating_since(begun);
            let rest = self.sleep(longest.saturating_sub(spun));
            if !self.events.is_empty() || rest.is_zero() {
                return None;
            }
            if spun >= spell {
                return Some(rest);
            }
            std::hint::spin_loop();
        }
    }

    /// Asks the driver for events, and notes how much longer the core was away from it than meant.
    ///
    /// The time since the last reading was spent `on` this if it does not sleep.
    fn poll_for(&mut self, timeout: Duration, on: Spent) {
        let since = self.now;
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
            false => {
                self.spend(self.now, on);
                self.publish_in_time();
            }
        }
        self.note_gap(self.now.saturating_since(since).saturating_sub(timeout));
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
