//! The end of writing alone: what waits is written, then the other side reads the end.
//!
//! Owns whether the application has ended writing, and how much of the output came before that.
//! Reading goes on; nothing closes by it. Whoever has the other side in hand asks
//! [`Bufferevent::poll_shutdown`] and tells it.
//!
//! Invariants: what is put out afterwards is discarded and never leaves; the other side is told
//! once, after the last byte that was, and not before there is a connection; no write callback
//! comes any more.
//! Source: `shutdown(SHUT_WR)` of POSIX; libevent's bufferevents have nothing like it.

use std::io;

use groups::{Direction, Time};

use super::close::Life;
use super::{Buffer, Bufferevent, EventFlags, Suspend};

/// Writing has been ended here: what was put out afterwards is discarded.
///
/// The source of the error in the event of such a write. Write before
/// [`shutdown_write`](Bufferevent::shutdown_write), or do not end writing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("writing has been ended here: what was put out afterwards is discarded")]
pub struct WriteEnded;

impl From<WriteEnded> for io::Error {
    fn from(error: WriteEnded) -> Self {
        Self::new(io::ErrorKind::BrokenPipe, error)
    }
}

/// Whether writing was ended.
#[derive(Debug, Default)]
pub(super) struct HalfClose(Option<Box<Ending>>);

/// An end of writing that was asked for.
#[derive(Debug)]
struct Ending {
    /// Bytes of the output that were put out before.
    left: usize,
    /// The other side has been told.
    told: bool,
}

impl HalfClose {
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.0.is_some()
    }
}

impl Bufferevent {
    /// Ends writing: what is in the output is still written, under its limits, though writing be
    /// disabled; then the other side reads the end of the stream.
    ///
    /// Reading goes on. What is put out from here on is discarded, which an ERROR event with
    /// WRITING tells, that carries [`WriteEnded`]. A second call changes nothing.
    pub fn shutdown_write(&mut self, now: Time) {
        if self.is_ending() {
            return;
        }
        self.life = Life::Ending;
        let ending = Ending { left: self.output.len(), told: false };
        self.half_close = HalfClose(Some(Box::new(ending)));
        self.pending.mute_writes(true);
        self.forget_high();
        self.suspended.lift(Direction::Write, Suspend::USER);
        self.update_deadlines(now);
    }

    /// The stream below has ended writing before this one came to stand on it.
    pub fn inherit_shutdown(&mut self) {
        self.life = Life::Ending;
        self.half_close = HalfClose(Some(Box::new(Ending { left: 0, told: true })));
        self.pending.mute_writes(true);
        self.end(Direction::Write);
        // A close has nothing to wait for here, though what is below may have.
        self.note_drained();
    }

    /// Whether the other side is to be told now that nothing follows; says so once.
    ///
    /// Also once this stream was closed, if nothing was discarded: the end that was asked for
    /// before the close is told all the same.
    #[inline]
    pub fn poll_shutdown(&mut self) -> bool {
        self.is_ending() && self.finish_writing()
    }

    /// Another connection takes the place of this one: an end that was told was that one's.
    pub(super) fn renew_writing(&mut self) {
        if self.half_close.0.as_ref().is_some_and(|ending| ending.told) {
            self.life = Life::Open;
            self.half_close = HalfClose::default();
            self.pending.mute_writes(false);
        }
    }

    /// Whether the other side was told of the end, and nothing was lost before it.
    pub(super) fn has_told_end(&self) -> bool {
        !self.truncated && self.half_close.0.as_ref().is_some_and(|ending| ending.told)
    }

    /// Whether the application has ended writing; some of it may still wait.
    pub fn is_shut_down(&self) -> bool {
        self.half_close.is_asked()
    }

    /// Whether the stream closes or ends writing, or has.
    #[inline]
    pub fn is_ending(&self) -> bool {
        self.life != Life::Open
    }

    fn finish_writing(&mut self) -> bool {
        const HINDERED: Suspend =
            Suspend::UNCONNECTED.union(Suspend::CONNECTING).union(Suspend::ENDED);
        let waits = if self.life == Life::Closed {
            self.is_truncated() || self.staged.as_ref().is_some_and(|staged| !staged.has_drained())
        } else {
            self.suspended.of(Direction::Write).intersects(HINDERED) || !self.is_through()
        };
        let Some(ending) = self.half_close.0.as_mut().filter(|_| !waits) else { return false };
        if std::mem::replace(&mut ending.told, true) {
            return false;
        }
        self.note_drained();
        self.end(Direction::Write);
        true
    }

    /// Discards what was put out after the end.
    pub(super) fn refuse_excess(&mut self) {
        let Some(ending) = &mut self.half_close.0 else { return };
        if self.output.len() > ending.left {
            let mut kept = Buffer::new();
            self.output.move_to(&mut kept, ending.left);
            self.output = kept;
            self.trigger_event(EventFlags::WRITING | EventFlags::ERROR, Some(WriteEnded.into()));
        } else {
            ending.left = self.output.len();
        }
    }
}
