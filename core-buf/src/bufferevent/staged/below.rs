//! What holds bytes up below a stage, so that the timeouts of the stream above blame the peer
//! alone.
//!
//! Limits may be where the bytes leave the stack while timeouts are on top of it, and output that
//! has passed the stage may wait there for a peer that takes none. Owns what was seen of the stream
//! below when the two were last squared; that of further ones is passed up.
//!
//! Invariant: while tokens are awaited below, and until what they were awaited for has been tried,
//! a timeout above is excused as one of that stream would be.

use std::mem;

use groups::{Direction, Time};

use crate::bufferevent::{Bufferevent, EventFlags, Suspend};

/// Whether a timeout has stopped a direction below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stopped {
    #[default]
    No,
    ByTimeout,
    /// The application has enabled the direction again, which has still to be done below.
    NoLonger,
}

impl Bufferevent {
    /// Whether a direction waits for tokens of ours, here or below.
    pub(in crate::bufferevent) fn waits_for_tokens(&self, direction: Direction) -> bool {
        self.suspended.of(direction).intersects(Suspend::LIMITS)
            || self.staged.as_ref().is_some_and(|staged| staged.waits_below[direction.index()])
    }

    /// Looks what the stream below waits for; says whether it is as many bytes as before.
    pub(super) fn sync_waits(&mut self, now: Time, lower: &Self) -> bool {
        let Some(staged) = &mut self.staged else { return true };
        for direction in Direction::ALL {
            let waits = &mut staged.waits_below[direction.index()];
            // A late timer finds the tokens there and nothing moved yet.
            *waits = lower.waits_for_tokens(direction)
                || (*waits && lower.poll_operation(direction).is_some());
        }
        let bytes = lower.bytes_to_leave();
        let before = mem::replace(&mut staged.bytes_below, bytes);
        if bytes < before {
            self.deadlines.restart(now, Direction::Write);
        }
        if bytes != before {
            self.update_deadlines(now);
        }
        bytes == before
    }

    /// Remembers which directions a timeout has stopped below.
    #[cold]
    pub(super) fn note_timeout(&mut self, told: EventFlags) {
        let Some(staged) = &mut self.staged else { return };
        let sides = [EventFlags::READING, EventFlags::WRITING];
        for (stopped, side) in staged.stopped_below.iter_mut().zip(sides) {
            if told.contains(side) {
                *stopped = Stopped::ByTimeout;
            }
        }
    }

    /// The application, who was told of a timeout, has enabled a direction here: it reaches nobody
    /// else, so what the timeout has stopped below goes on as well.
    pub(in crate::bufferevent) fn note_enabled(&mut self, direction: Direction) {
        let stopped = self.staged.as_mut().map(|it| &mut it.stopped_below[direction.index()]);
        if let Some(stopped) = stopped.filter(|stopped| **stopped == Stopped::ByTimeout) {
            *stopped = Stopped::NoLonger;
        }
    }

    /// Has the stream below go on where a timeout had stopped it; says whether there was such.
    pub(super) fn sync_stopped(&mut self, now: Time, lower: &mut Self) -> bool {
        let Some(staged) = &mut self.staged else { return false };
        let mut goes_on = false;
        for direction in Direction::ALL {
            let stopped = &mut staged.stopped_below[direction.index()];
            if *stopped == Stopped::NoLonger {
                *stopped = Stopped::No;
                lower.enable(now, direction);
                goes_on = true;
            }
        }
        goes_on
    }

    /// Bytes of this stream and those below that wait for the peer, or for tokens.
    fn bytes_to_leave(&self) -> usize {
        let below = self.staged.as_ref().map_or(0, |staged| staged.bytes_below);
        let runs = (self.suspended.of(Direction::Write) - Suspend::LIMITS).is_empty();
        below + if runs { self.output.len() } else { 0 }
    }
}
