//! A stream on its way from one owner to another, whole.
//!
//! Owns nothing; says what of a stream depends on where and when it is looked at. Buffers, marks,
//! limits with what their buckets hold, what is disabled, what has ended and what was not told yet
//! are all the stream's own and go with it. A membership is the owner's, who takes it away first.
//!
//! Invariants: what stays behind is closed and asks for nothing; the time on the way is not the
//! peer's, so a timeout has as much left afterwards as it had before. A bucket fills meanwhile as
//! it would have anywhere.

use std::time::Duration;

use groups::Time;

use super::Bufferevent;

impl Bufferevent {
    /// Gives this stream out whole; what stays in its place is closed and holds nothing.
    pub fn depart(&mut self, now: Time) -> Self {
        debug_assert!(self.membership().is_none(), "a member is known to its core's shard alone");
        let mut husk = Self::connected(now);
        husk.close_now();
        std::mem::replace(self, husk)
    }

    /// The stream has an owner again, after `away`.
    pub fn arrive(&mut self, now: Time, away: Duration) {
        self.deadlines.delay(away);
        self.handle_callback(now);
    }
}
