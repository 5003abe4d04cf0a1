//! The connection below a stream: there may be none yet, and there may come another one.
//!
//! Owns nothing; decides what of a stream belongs to its connection and starts anew with the next:
//! readiness, how the directions ended, events that were not told yet. What belongs to the
//! application stays: buffers, marks, limits, timeouts, and what it has disabled.
//!
//! Invariant: without a connection no operation is asked for and no timeout runs, as no peer is
//! there to act.
//! Source: libevent 2.1.12 `bufferevent_setfd`, and its bufferevents with the descriptor -1.
//! Differs: an event of the connection before is not told as one of the next.

use groups::{Direction, Time};

use super::{Bufferevent, Readiness, Suspend};
use crate::buffer::Buffer;

/// How far the connection of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// There is none.
    Missing,
    /// It is being made: see [`Bufferevent::handle_connected`].
    #[default]
    Awaited,
    /// It is there.
    Made,
}

impl Bufferevent {
    /// A stream without a connection: see [`renew`](Self::renew). Output may be given already.
    pub fn unconnected(now: Time) -> Self {
        let mut stream = Self::connected(now);
        stream.renew(now, Link::Missing);
        stream
    }

    /// Has the stream go on with another connection, or with none.
    ///
    /// Both buffers stay, and a direction that was over starts anew. Nothing happens to a stream
    /// that is closing.
    pub fn renew(&mut self, now: Time, link: Link) {
        if self.is_closing() {
            return;
        }
        let (ready, reason) = match link {
            Link::Missing => (Readiness::empty(), Suspend::UNCONNECTED),
            Link::Awaited => (Readiness::empty(), Suspend::CONNECTING),
            Link::Made => (Readiness::READABLE | Readiness::WRITABLE, Suspend::empty()),
        };
        self.ready = ready;
        self.truncated = false;
        self.read_failed = false;
        self.renew_writing();
        self.pending.forget_events();
        for direction in Direction::ALL {
            let old = Suspend::UNCONNECTED | Suspend::CONNECTING | Suspend::ENDED;
            self.suspended.lift(direction, old);
            self.suspended.add(direction, reason);
            self.deadlines.stop(direction);
        }
        self.handle_callback(now);
    }

    /// Gives both buffers out, the input first, and is closed; nothing of them counts as discarded.
    pub fn dissolve(&mut self) -> (Buffer, Buffer) {
        let buffers = (std::mem::take(&mut self.input), std::mem::take(&mut self.output));
        self.close_now();
        buffers
    }
}
