//! The deadlines of one bufferevent: read and write timeouts, and the linger of a close.
//!
//! Owns durations and the times they run out. Never reads a clock: `now` is an argument. The
//! reactor keeps at most one timer per bufferevent, at [`Bufferevent::poll_deadline`] or earlier,
//! and asks again when it fires, so moving a deadline back on every byte costs one store.
//!
//! Invariants: a timeout runs only while the peer is the one to act, and any progress restarts
//! it; one that runs out while the stream waits for our own tokens is excused and starts anew.
//! Source: libevent 2.1.12 `bufferevent_set_timeouts`; as there, the write timeout also bounds a
//! connection attempt. Differs: a wait for tokens neither stops nor resets a timeout, so that a
//! limit cannot hide a peer that has gone silent.

use std::time::Duration;

use groups::{Direction, Time};

use super::close::Life;
use super::{Bufferevent, EventFlags, Suspend};

/// The deadlines of a bufferevent; most have none, and find that out in one compare.
#[derive(Debug, Default)]
pub(super) struct Deadlines(Option<Box<Set>>);

/// Timeouts as set by the user, and when they run out.
#[derive(Debug, Default)]
struct Set {
    timeout: [Option<Duration>; 2],
    at: [Option<Time>; 2],
    linger_at: Option<Time>,
    /// Timeouts that ran out while the stream waited for tokens and were started again.
    excused: u32,
}

impl Deadlines {
    #[inline]
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn set_timeout(&mut self, direction: Direction, timeout: Option<Duration>) {
        if timeout.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().timeout[direction.index()] = timeout;
        }
        self.stop(direction);
    }

    fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.0.as_ref()?.timeout[direction.index()]
    }

    /// Starts the timeout of a direction if it has one and does not run yet.
    #[inline]
    fn start(&mut self, now: Time, direction: Direction) {
        if let Some(set) = &mut self.0 {
            let i = direction.index();
            if set.at[i].is_none() {
                set.at[i] = set.timeout[i].map(|timeout| now + timeout);
            }
        }
    }

    /// Starts the timeout of a direction anew.
    #[inline]
    pub(super) fn restart(&mut self, now: Time, direction: Direction) {
        self.stop(direction);
        self.start(now, direction);
    }

    #[inline]
    pub(super) fn stop(&mut self, direction: Direction) {
        if let Some(set) = &mut self.0 {
            set.at[direction.index()] = None;
        }
    }

    /// Puts off the timeouts that run.
    pub(super) fn delay(&mut self, by: Duration) {
        if let Some(set) = &mut self.0 {
            set.at = set.at.map(|at| at.map(|at| at + by));
        }
    }

    /// Bounds a close; of several bounds the earliest holds.
    pub(super) fn linger(&mut self, until: Time) {
        let at = &mut self.0.get_or_insert_default().linger_at;
        *at = Some(at.map_or(until, |at| at.min(until)));
    }

    fn is_due(&self, now: Time, direction: Direction) -> bool {
        let at = self.0.as_ref().and_then(|set| set.at[direction.index()]);
        at.is_some_and(|at| at <= now)
    }

    /// Starts the timeout of a direction anew, though it has run out.
    fn excuse(&mut self, now: Time, direction: Direction) {
        if let Some(set) = &mut self.0 {
            set.excused = set.excused.saturating_add(1);
        }
        self.restart(now, direction);
    }

    fn linger_is_due(&self, now: Time) -> bool {
        let at = self.0.as_ref().and_then(|set| set.linger_at);
        at.is_some_and(|at| at <= now)
    }

    #[inline]
    fn next(&self) -> Option<Time> {
        let set = self.0.as_ref()?;
        [set.at[0], set.at[1], set.linger_at].into_iter().flatten().min()
    }
}

impl Bufferevent {
    /// Some deadline may have run out.
    ///
    /// A timeout disables its direction and becomes a TIMEOUT event, unless the stream itself
    /// stood still for want of tokens: then the peer is not to blame and the timeout starts anew.
    /// Try the operations that are due first, so that the peer gets the benefit of the doubt.
    pub fn handle_deadline(&mut self, now: Time) {
        if self.deadlines.linger_is_due(now) {
            self.close_now();
            return;
        }
        self.handle_stage_deadline(now);
        for direction in Direction::ALL {
            // Looked at before the tokens come: a late timer finds both due at once.
            let waited = self.waits_for_tokens(direction);
            if self.limits.handle_deadline(now, direction) {
                self.suspended.lift(direction, Suspend::OWN_LIMIT);
            }
            if !self.deadlines.is_due(now, direction) {
                continue;
            }
            if waited {
                self.deadlines.excuse(now, direction);
                continue;
            }
            let side = match direction {
                Direction::Read => EventFlags::READING,
                Direction::Write => EventFlags::WRITING,
            };
            self.suspended.add(direction, Suspend::USER);
            self.trigger_event(side | EventFlags::TIMEOUT, None);
        }
        self.update_deadlines(now);
    }

    /// When to call [`handle_deadline`](Self::handle_deadline), if nothing happens before.
    #[must_use]
    #[inline]
    pub fn poll_deadline(&self) -> Option<Time> {
        if self.life == Life::Closed {
            return None;
        }
        let own = match (self.deadlines.next(), self.limits.next_deadline()) {
            (Some(own), Some(limit)) => Some(own.min(limit)),
            (own, limit) => own.or(limit),
        };
        match self.stage_deadline() {
            Some(stage) => Some(own.map_or(stage, |own| own.min(stage))),
            None => own,
        }
    }

    /// Whether deadlines come and go here, by timeouts or a limit of its own.
    #[inline]
    pub fn has_recurring_deadlines(&self) -> bool {
        !self.deadlines.is_empty() || self.limits.has_own()
    }

    /// Sets, or with `None` removes, the time the peer has to act in a direction.
    ///
    /// Reading, it has to send; writing, to take what waits, or to accept the connection.
    pub fn set_timeout(&mut self, now: Time, direction: Direction, timeout: Option<Duration>) {
        self.deadlines.set_timeout(direction, timeout);
        self.update_deadlines(now);
    }

    /// The timeout of a direction.
    pub fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.deadlines.timeout(direction)
    }

    /// Timeouts that ran out while this stream waited for tokens of ours, and were started anew.
    pub fn excused_timeouts(&self) -> u32 {
        self.deadlines.0.as_ref().map_or(0, |set| set.excused)
    }

    /// Starts and stops the timeouts as the state says; those that run keep running.
    #[inline]
    pub(super) fn update_deadlines(&mut self, now: Time) {
        if self.deadlines.is_empty() {
            return;
        }
        for direction in Direction::ALL {
            if self.awaits_peer(direction) {
                self.deadlines.start(now, direction);
            } else {
                self.deadlines.stop(direction);
            }
        }
    }

    /// Whether a direction waits for the peer, or would if we had the tokens.
    fn awaits_peer(&self, direction: Direction) -> bool {
        let reasons = self.suspended.of(direction) - Suspend::LIMITS;
        let awaits = match direction {
            Direction::Write if self.is_connecting() && self.staged.is_none() => {
                reasons == Suspend::CONNECTING
            }
            _ if self.is_connecting() => reasons == Suspend::CONNECTING && self.awaits_handshake(),
            Direction::Read => reasons.is_empty(),
            Direction::Write => {
                // The end that was told may still lie below, behind bytes.
                let over = if self.has_told_end() { Suspend::ENDED } else { Suspend::empty() };
                (reasons - over).is_empty() && self.has_output()
            }
        };
        awaits && !self.is_closing()
    }
}
