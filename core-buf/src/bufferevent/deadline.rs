//! The deadlines of one bufferevent: read and write timeouts, and the linger of a close.
//!
//! Owns durations and the times they run out. Never reads a clock: `now` is an argument. The
//! reactor keeps at most one timer per bufferevent, at [`Deadlines::next`] or earlier, and asks
//! again when it fires, so moving a deadline back on every byte costs one store.
//!
//! Invariant: a timeout runs only while the peer could act, and any progress restarts it.

use std::time::Duration;

use groups::{Direction, Time};

/// Timeouts as set by the user, and when they run out.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    timeout: [Option<Duration>; 2],
    at: [Option<Time>; 2],
    linger_at: Option<Time>,
}

impl Deadlines {
    pub(super) fn set_timeout(&mut self, direction: Direction, timeout: Option<Duration>) {
        self.timeout[direction.index()] = timeout;
        self.at[direction.index()] = None;
    }

    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.timeout[direction.index()]
    }

    /// Starts the timeout of a direction if it has one and does not run yet.
    pub(super) fn start(&mut self, now: Time, direction: Direction) {
        let i = direction.index();
        if self.at[i].is_none() {
            self.at[i] = self.timeout[i].map(|timeout| now + timeout);
        }
    }

    /// Starts the timeout of a direction anew.
    pub(super) fn restart(&mut self, now: Time, direction: Direction) {
        self.stop(direction);
        self.start(now, direction);
    }

    pub(super) fn stop(&mut self, direction: Direction) {
        self.at[direction.index()] = None;
    }

    pub(super) fn linger(&mut self, until: Time) {
        self.linger_at = Some(until);
    }

    pub(super) fn is_due(&self, now: Time, direction: Direction) -> bool {
        self.at[direction.index()].is_some_and(|at| at <= now)
    }

    pub(super) fn linger_is_due(&self, now: Time) -> bool {
        self.linger_at.is_some_and(|at| at <= now)
    }

    pub(super) fn next(&self) -> Option<Time> {
        [self.at[0], self.at[1], self.linger_at].into_iter().flatten().min()
    }
}
