//! The end of a stream: a close that writes what is left, and one that does not.
//!
//! Owns how far a bufferevent is from its end. While it flushes nothing is told to the application
//! any more, its timeouts rest, its limits hold, and the linger deadline bounds it.
//!
//! Invariants: a closed stream stays closed, asks for no operation and no timer; no callback comes
//! after the application has closed.
//! Differs from libevent 2.1.12 `bufferevent_free`, which discards the output.

use groups::{Direction, Time};

use super::{Bufferevent, Suspend};

/// How far a bufferevent is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub(super) enum Life {
    #[default]
    Open,
    /// Still open, though the application has ended writing.
    Ending,
    /// Closed by the application; the output is still being written.
    Flushing,
    Closed,
}

impl Bufferevent {
    /// Stops reading, writes what is left, and is [closed](Self::is_closed) then.
    ///
    /// What is not written by `linger_until` is discarded, be it for the peer's sake or for want
    /// of tokens. A second call can only bring that deadline forward.
    pub fn close(&mut self, linger_until: Time) {
        if let Some(staged) = &mut self.staged {
            staged.linger(linger_until);
        }
        if !self.is_closing() {
            let hears = !self.suspended.of(Direction::Read).contains(Suspend::ENDED);
            if hears
                && self.has_told_end()
                && let Some(staged) = &mut self.staged
            {
                staged.linger_half_closed();
            }
            self.life = Life::Flushing;
            self.pending.clear();
            self.end(Direction::Read);
            self.deadlines.stop(Direction::Write);
            self.suspended.lift(Direction::Write, Suspend::USER);
            // One that rests may have nobody left to wait for.
            self.call_stage();
        }
        self.finish_flushing();
        if self.life == Life::Flushing {
            self.deadlines.linger(linger_until);
        }
    }

    /// Is closed at once; the output is discarded.
    pub fn close_now(&mut self) {
        if self.life != Life::Closed {
            self.truncated |= self.holds_output();
        }
        self.life = Life::Closed;
        self.pending.clear();
        self.end(Direction::Read);
        self.end(Direction::Write);
        self.output.clear();
    }

    /// As [`close_now`](Self::close_now), of a stream that lacks something though it holds nothing.
    pub fn abort(&mut self) {
        self.truncated = true;
        self.close_now();
    }

    /// Whether the stream is over and its slot can be given up.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// Whether output was discarded when the stream closed: the peer must not take it for whole.
    pub fn is_truncated(&self) -> bool {
        self.truncated || (self.is_closed() && !self.output.is_empty())
    }

    /// Whether the application has closed the stream, be it still writing or not.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.life > Life::Ending
    }

    /// Whether nothing is left to write.
    pub(super) fn is_through(&self) -> bool {
        self.output.is_empty() && self.staged.as_ref().is_none_or(|staged| staged.is_through())
    }

    /// Closes a flushing stream that has nothing left to write, or nowhere to write it; holds back
    /// what was put out after the end of writing.
    #[inline]
    pub(super) fn finish_flushing(&mut self) {
        if self.is_ending() {
            self.come_to_end();
        }
    }

    fn come_to_end(&mut self) {
        self.refuse_excess();
        if self.life != Life::Flushing {
            return;
        }
        let lingers = self.staged.as_ref().is_some_and(|staged| staged.lingers());
        let over = if lingers { Suspend::empty() } else { Suspend::ENDED };
        let never = over | Suspend::UNCONNECTED;
        let cannot_write = self.suspended.of(Direction::Write).intersects(never);
        let through = self.is_through();
        if through && !cannot_write {
            self.note_drained();
        }
        if through || cannot_write {
            self.close_now();
        }
    }
}
