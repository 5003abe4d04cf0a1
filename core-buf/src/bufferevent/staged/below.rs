//! What holds bytes up below a stage, so that the timeouts of the stream above blame the peer
//! alone.
//!
//! Limits may be where the bytes leave the stack while timeouts are on top of it. Owns what was
//! seen of the stream below when the two were last squared; that of further ones is passed up.
//!
//! Invariant: while tokens are awaited below, and until what they were awaited for has been tried,
//! a timeout above is excused as one of that stream would be.

use groups::Direction;

use crate::bufferevent::{Bufferevent, Suspend};

/// What was last seen of the streams below.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// They wait for tokens, or have got some and not moved by them yet.
    waits: [bool; 2],
}

impl Bufferevent {
    /// Whether a direction waits for tokens of ours, here or below.
    pub(in crate::bufferevent) fn waits_for_tokens(&self, direction: Direction) -> bool {
        let below = |waits: &Below| waits.waits[direction.index()];
        self.suspended.of(direction).intersects(Suspend::LIMITS)
            || self.staged.as_ref().is_some_and(|staged| below(&staged.below))
    }

    /// Looks what the stream below waits for.
    pub(super) fn sync_below_waits(&mut self, lower: &Self) {
        let Some(staged) = &mut self.staged else { return };
        for direction in Direction::ALL {
            let waits = &mut staged.below.waits[direction.index()];
            // A late timer finds the tokens there and nothing moved yet.
            *waits = lower.waits_for_tokens(direction)
                || (*waits && lower.poll_operation(direction).is_some());
        }
    }
}
