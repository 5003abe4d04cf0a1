//! Where the time of a core goes, and when its figures are published.
//!
//! Owns the last reading that was accounted for. Takes no reading of its own: every span lies
//! between two that the turn makes anyway, the one after a poll and the one at its end.
//!
//! Figures are published before the core sleeps, so that they are exact once it is quiet, and where
//! it finds something to do instead, once in 10 µs: copying them costs some 20 ns, which a turn of
//! a microsecond would feel.
//!
//! Invariant: `busy_ns`, `idle_ns` and `spin_ns` sum up to the time since the core was made.

use std::time::Duration;

use core_buf::BlockStats;
use groups::Time;

use super::{Core, MESSAGES_PER_TURN, nanos};
use crate::stats::CoreStats;

/// How old published figures may get while the core does not sleep.
const PUBLISH_EVERY: Duration = Duration::from_micros(10);

/// What a span of a core's time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// On work, or on a look whether there is more.
    Busy,
    /// Asleep.
    Idle,
    /// On looking for events without work, instead of sleeping.
    Spin,
}

/// The readings that accounting goes by.
#[derive(Debug)]
pub(super) struct Meter {
    /// Up to here time is accounted for.
    settled: Time,
    published_at: Time,
}

impl Meter {
    pub(super) fn new(now: Time) -> Self {
        Self { settled: now, published_at: now }
    }
}

impl Core {
    /// Accounts for the time since the last reading.
    #[inline]
    pub(super) fn spend(&mut self, now: Time, on: Spent) {
        let span = nanos(now.saturating_since(self.meter.settled));
        self.meter.settled = now;
        match on {
            Spent::Busy => self.stats.busy_ns += span,
            Spent::Idle => self.stats.idle_ns += span,
            Spent::Spin => self.stats.spin_ns += span,
        }
    }

    /// The core is about to sleep: from here on its figures stand still, but for the idle time.
    pub(super) fn fall_asleep(&mut self) {
        self.stats.sleeps += 1;
        self.meter.published_at = self.meter.settled;
        let published = self.shared.published(self.index());
        published.fall_asleep(&self.stats(), self.meter.settled);
    }

    /// The core has slept until now.
    pub(super) fn wake_up(&mut self) {
        self.spend(self.now, Spent::Idle);
        self.shared.published(self.index()).wake(self.stats.idle_ns);
    }

    /// The core has looked for events without sleeping.
    pub(super) fn publish_in_time(&mut self) {
        if self.now.saturating_since(self.meter.published_at) >= PUBLISH_EVERY {
            self.meter.published_at = self.now;
            self.publish();
        }
    }

    /// A turn has taken so many messages from the mailbox.
    pub(super) fn note_mail(&mut self, taken: u64) {
        let left = match taken < MESSAGES_PER_TURN as u64 {
            true => 0,
            false => self.shared.mailbox(self.index()).stats().depth as u64,
        };
        self.stats.mailbox_depth_max = self.stats.mailbox_depth_max.max(taken + left);
    }

    /// Shows everybody the figures as they are now.
    pub(crate) fn publish(&self) {
        self.shared.published(self.index()).publish(&self.stats());
    }

    /// What this core has done, and how it stands: as of now, but for the time of this turn.
    pub fn stats(&self) -> CoreStats {
        let calls = self.driver.system_calls();
        let blocks = BlockStats::of_this_thread();
        let seats = self.shards.work();
        CoreStats {
            system_calls: calls.total(),
            polls: calls.polls,
            reads: calls.reads,
            writes: calls.writes,
            accepts: calls.accepts,
            slots: self.slots.len() as u64,
            draws: seats.draws,
            refunds: seats.refunds,
            rebalances: seats.rebalances,
            timers: self.wheel.len() as u64,
            timers_armed: self.wheel.armed(),
            blocks_reused: blocks.reused,
            blocks_allocated: blocks.allocated,
            blocks_returned: blocks.returned,
            blocks_kept: blocks.kept,
            ..self.stats
        }
    }
}
