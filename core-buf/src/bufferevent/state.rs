//! Why a direction does not move bytes right now.
//!
//! Owns the two sets of suspend reasons. A direction runs when its set is empty; the reasons are
//! independent, so lifting one never lifts another. Suspending and resuming cost no system call:
//! readiness is remembered in [`Readiness`](super::Readiness) and nothing is unregistered.
//! Source: the suspend bits of libevent 2.1.12 (bufferevent-internal.h). Differs: the user's
//! `disable` is one of the reasons.

use bitflags::bitflags;
use groups::Direction;

bitflags! {
    /// Reasons for which a direction stands still.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Suspend: u16 {
        /// The user disabled the direction, or a timeout did.
        const USER = 1;
        /// Reading: the input is at its high mark.
        const WATERMARK = 1 << 1;
        /// Reading: the output holds more than `max_output`.
        const OUTPUT = 1 << 2;
        /// The bufferevent's own token bucket is empty.
        const OWN_LIMIT = 1 << 3;
        /// The group has no tokens for this member now.
        const GROUP_LIMIT = 1 << 4;
        /// The connection is not made yet.
        const CONNECTING = 1 << 5;
        /// The direction is over: end of stream, error, half close or close.
        const ENDED = 1 << 6;
        /// Reading: the stream above wants nothing now, or has not used what came.
        const STAGE = 1 << 7;
        /// There is no connection, and none is being made.
        const UNCONNECTED = 1 << 8;
    }
}

impl Suspend {
    /// The reasons that only wait for tokens of ours.
    pub const LIMITS: Self = Self::OWN_LIMIT.union(Self::GROUP_LIMIT);
}

/// The suspend reasons of both directions.
#[derive(Debug, Default)]
pub(super) struct Suspended([Suspend; 2]);

impl Suspended {
    pub(super) fn of(&self, direction: Direction) -> Suspend {
        self.0[direction.index()]
    }

    pub(super) fn add(&mut self, direction: Direction, reason: Suspend) {
        self.0[direction.index()] |= reason;
    }

    pub(super) fn lift(&mut self, direction: Direction, reason: Suspend) {
        self.0[direction.index()] -= reason;
    }

    pub(super) fn set(&mut self, direction: Direction, reason: Suspend, on: bool) {
        self.0[direction.index()].set(reason, on);
    }
}
