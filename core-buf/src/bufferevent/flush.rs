//! A flush: bytes that pass whatever marks, back-pressure and switches would hold back.
//!
//! Owns, for each direction, how many of the next bytes a flush is under, and after how many of
//! them the end of the flush is told. Limits are not its business: a forced byte needs its permit
//! like any other, and what has to wait for tokens stays forced.
//!
//! Invariants: only bytes that were there when the flush was asked for are forced; the end is told
//! once, after the last of them.
//! Source: libevent 2.1.12 `be_pair_flush` (bufferevent_pair.c). Differs: all of them pass the high
//! mark, wherever the input stood, and nothing is told of a flush that moved nothing, nor after the
//! end of the stream.

use groups::Direction;

use super::{Bufferevent, EventFlags, Suspend};

/// The flushes of a bufferevent; most never have one, and find that out in one compare.
#[derive(Debug, Default)]
pub(super) struct Flushes(Option<Box<[Flush; 2]>>);

/// A flush of one direction.
#[derive(Debug, Default)]
struct Flush {
    /// How many of the next bytes are forced.
    left: usize,
    /// After how many of the next bytes the end of the flush is told.
    finish_in: Option<usize>,
}

impl Flushes {
    #[inline]
    fn left(&self, direction: Direction) -> usize {
        self.0.as_ref().map_or(0, |flushes| flushes[direction.index()].left)
    }
}

impl Bufferevent {
    /// Forces the next `bytes` bytes of a direction past marks, back-pressure and a disabled
    /// direction, though not past limits; `finish` tells the application when they have moved.
    ///
    /// The event is EOF with the direction; it ends nothing.
    pub fn force(&mut self, direction: Direction, bytes: usize, finish: bool) {
        let flush = &mut self.flushes.0.get_or_insert_default()[direction.index()];
        flush.left = flush.left.max(bytes);
        if finish {
            flush.finish_in.get_or_insert(bytes);
        }
        self.note_forced(direction, 0);
    }

    /// How many of the next bytes of a direction a flush is under.
    #[inline]
    pub fn forced(&self, direction: Direction) -> usize {
        self.flushes.left(direction)
    }

    /// How many forced bytes of a direction may move although it stands still.
    #[inline]
    pub(super) fn poll_forced(&self, direction: Direction) -> Option<usize> {
        const PASSED: Suspend = Suspend::USER.union(Suspend::WATERMARK).union(Suspend::OUTPUT);
        let left = self.flushes.left(direction);
        let passes = left > 0 && (self.suspended.of(direction) - PASSED).is_empty();
        passes.then(|| left.min(self.marks.max_single(direction)))
    }

    /// `count` bytes of a direction have moved.
    #[inline]
    pub(super) fn note_forced(&mut self, direction: Direction, count: usize) {
        let Some(flushes) = &mut self.flushes.0 else { return };
        let flush = &mut flushes[direction.index()];
        flush.left = flush.left.saturating_sub(count);
        let Some(finish_in) = &mut flush.finish_in else { return };
        *finish_in = finish_in.saturating_sub(count);
        if *finish_in == 0 {
            flush.finish_in = None;
            if self.suspended.of(direction).contains(Suspend::ENDED) {
                // It has been told the end already, and one is enough.
                return;
            }
            let side = match direction {
                Direction::Read => EventFlags::READING,
                Direction::Write => EventFlags::WRITING,
            };
            self.trigger_event(side | EventFlags::EOF, None);
        }
    }
}
