//! The state machine of one buffered stream.
//!
//! A bufferevent owns an input and an output buffer and decides when bytes may move between them
//! and the world. It never touches a socket, never reads a clock and never calls user code. The
//! methods follow one grammar: `handle_*` tells it what the world did, `poll_*` asks it what to do
//! next, a bare verb is a command of the application, and anything else only looks.
//!
//! The driver of a bufferevent runs this loop: [`handle_ready`](Bufferevent::handle_ready) on a
//! readiness event; while [`poll_read`](Bufferevent::poll_read) names a number of bytes, a
//! [`request`](Bufferevent::request) for leave to move them, one read,
//! [`handle_read`](Bufferevent::handle_read) and [`settle`](Bufferevent::settle); the same for
//! writing; then [`poll_callback`](Bufferevent::poll_callback) until it is empty, each followed by
//! [`handle_callback`](Bufferevent::handle_callback); and, after the operations, a timer for
//! [`poll_deadline`](Bufferevent::poll_deadline).
//!
//! Invariants: a stale readiness bit costs one WouldBlock, a missing one never happens; nothing
//! is read beyond the high mark or the grant; an operation asked for moves at least one byte;
//! callbacks are only ever pending, never made here, and none is left once the stream is closed.
//! Source: libevent 2.1.12 bufferevent.c and bufferevent_sock.c. Differs: readiness is edge
//! triggered and remembered, deferral is the only mode, a close writes what is left first.

mod close;
mod deadline;
mod event;
mod flush;
mod half_close;
mod hand_off;
mod limit;
mod link;
mod outcome;
mod own_limit;
mod staged;
mod state;
#[cfg(test)]
mod tests;
mod watermark;

use std::io;

use groups::{Direction, Time};

use crate::buffer::{Buffer, Landing};
use close::Life;
use deadline::Deadlines;
use event::Pending;
pub use event::{Callback, Event, EventFlags, Trigger};
use flush::Flushes;
use half_close::HalfClose;
pub use half_close::WriteEnded;
use limit::Limits;
pub use limit::{Allowance, Membership, Permit};
pub use link::Link;
pub use outcome::{ReadOutcome, Readiness, WriteOutcome};
pub use staged::Flush;
use staged::Staged;
pub use state::Suspend;
use state::Suspended;
use watermark::Watermarks;
pub use watermark::{DEFAULT_MAX_OUTPUT, DEFAULT_MAX_SINGLE};

/// One buffered stream.
///
/// # Shape
/// Owned by one core and `Send`. A fresh one owns no heap memory.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::{Bufferevent, Callback, Landing, ReadOutcome, Readiness};
/// use sluicegate_groups::Time;
///
/// let now = Time::ZERO;
/// let mut landing = Landing::new();
/// let mut stream = Bufferevent::connected(now);
/// let room = stream.poll_read().expect("a new stream may read");
/// landing.space(room)[..5].copy_from_slice(b"hello");
/// stream.handle_read(now, ReadOutcome::Bytes(5), room, &mut landing);
/// assert!(matches!(stream.poll_callback(), Some(Callback::Read)));
/// let (input, output) = stream.buffers();
/// output.append(input);
/// stream.handle_callback(now);
/// assert_eq!(stream.poll_write(), Some(5));
/// ```
#[derive(Debug)]
pub struct Bufferevent {
    input: Buffer,
    output: Buffer,
    ready: Readiness,
    life: Life,
    suspended: Suspended,
    marks: Watermarks,
    pending: Pending,
    deadlines: Deadlines,
    limits: Limits,
    flushes: Flushes,
    half_close: HalfClose,
    /// What is remembered of what is below, where that is another stream.
    staged: Option<Box<Staged>>,
    truncated: bool,
    read_failed: bool,
}

impl Bufferevent {
    /// A stream that is connected and runs in both directions.
    ///
    /// Both readiness bits are set: an edge that came before the registration is lost, so the
    /// first operation has to find out.
    pub fn connected(now: Time) -> Self {
        let mut stream = Self {
            input: Buffer::new(),
            output: Buffer::new(),
            ready: Readiness::READABLE | Readiness::WRITABLE,
            life: Life::Open,
            suspended: Suspended::default(),
            marks: Watermarks::default(),
            pending: Pending::default(),
            deadlines: Deadlines::default(),
            limits: Limits::default(),
            flushes: Flushes::default(),
            half_close: HalfClose::default(),
            staged: None,
            truncated: false,
            read_failed: false,
        };
        stream.update_deadlines(now);
        stream
    }

    /// A stream whose connection is still being made: see
    /// [`handle_connected`](Self::handle_connected).
    pub fn connecting(now: Time) -> Self {
        let mut stream = Self::connected(now);
        stream.renew(now, Link::Awaited);
        stream
    }

    /// A stream without a socket, as an end of a pair: what it writes another one reads.
    ///
    /// The largest single operation is unlimited unless set, as no system call has to be bounded.
    /// Nothing waits at first, so it is writable and not readable.
    pub fn in_memory(now: Time) -> Self {
        let marks = Watermarks::in_memory();
        Self { marks, ready: Readiness::WRITABLE, ..Self::connected(now) }
    }

    // ---- what the world did ----

    /// Remembers a readiness event. A hang-up is something to read: how the stream ended.
    #[inline]
    pub fn handle_ready(&mut self, ready: Readiness) {
        self.ready |= ready;
        if ready.contains(Readiness::HANG_UP) {
            self.ready |= Readiness::READABLE;
        }
    }

    /// The connection was made, or failed with `error`; then the output is kept for another try.
    ///
    /// Nothing happens to a stream that is not connecting.
    pub fn handle_connected(&mut self, now: Time, error: Option<io::Error>) {
        if !self.is_connecting() {
            return;
        }
        for direction in Direction::ALL {
            self.suspended.lift(direction, Suspend::CONNECTING);
        }
        match error {
            None => {
                self.ready |= Readiness::READABLE | Readiness::WRITABLE;
                self.deadlines.restart(now, Direction::Write);
                self.trigger_event(EventFlags::CONNECTED, None);
            }
            Some(error) => {
                self.end_reading(true);
                self.end(Direction::Write);
                self.trigger_event(EventFlags::ERROR, Some(error));
                self.finish_flushing();
            }
        }
        self.update_deadlines(now);
    }

    /// One read of at most `asked` bytes ended; the bytes, if any, are in `landing`.
    ///
    /// A short read clears the readable bit, as the kernel had no more; unless the peer hung up,
    /// then the next read has still to say how.
    pub fn handle_read(
        &mut self,
        now: Time,
        outcome: ReadOutcome,
        asked: usize,
        landing: &mut Landing,
    ) {
        match outcome {
            ReadOutcome::Bytes(count) => {
                debug_assert!(count > 0, "a read of no bytes is the end of the stream");
                self.input.land(landing, count);
                if count < asked && !self.ready.contains(Readiness::HANG_UP) {
                    self.ready.remove(Readiness::READABLE);
                }
                self.note_arrival(now);
            }
            ReadOutcome::WouldBlock => self.ready -= Readiness::READABLE | Readiness::HANG_UP,
            ReadOutcome::Interrupted => {}
            ReadOutcome::EndOfStream => {
                self.end_reading(false);
                self.trigger_event(EventFlags::READING | EventFlags::EOF, None);
            }
            ReadOutcome::Failed(error) => {
                self.end_reading(true);
                self.trigger_event(EventFlags::READING | EventFlags::ERROR, Some(error));
            }
        }
        self.update_deadlines(now);
    }

    /// One write of at most `asked` bytes ended.
    ///
    /// A short write clears the writable bit, as the kernel had no more room. A failed one
    /// discards the output.
    pub fn handle_write(&mut self, now: Time, outcome: WriteOutcome, asked: usize) {
        match outcome {
            WriteOutcome::Bytes(count) => {
                self.output.drain(count);
                if count < asked {
                    self.ready.remove(Readiness::WRITABLE);
                }
                self.note_departure(now, count);
            }
            WriteOutcome::WouldBlock => self.ready.remove(Readiness::WRITABLE),
            WriteOutcome::Interrupted => {}
            WriteOutcome::Failed(error) => {
                // Where a source failed the peer still listens, and must not take what it got for
                // whole.
                self.abandon_output();
                self.trigger_event(EventFlags::WRITING | EventFlags::ERROR, Some(error));
            }
        }
        self.finish_flushing();
        self.update_deadlines(now);
    }

    /// Reads in memory: takes the first `count` bytes that wait on `wire`.
    ///
    /// Stays readable while more waits there.
    #[inline]
    pub fn read_wire(&mut self, now: Time, wire: &mut Buffer, count: usize) -> usize {
        let moved = wire.move_to(&mut self.input, count);
        self.ready.set(Readiness::READABLE, !wire.is_empty());
        if moved > 0 {
            self.note_arrival(now);
            self.note_forced(Direction::Read, moved);
        }
        self.update_deadlines(now);
        moved
    }

    /// Writes in memory: puts the first `count` bytes of the output on `wire`.
    #[inline]
    pub fn write_wire(&mut self, now: Time, wire: &mut Buffer, count: usize) -> usize {
        let moved = self.output.move_to(wire, count);
        self.note_departure(now, moved);
        self.note_forced(Direction::Write, moved);
        self.finish_flushing();
        self.update_deadlines(now);
        moved
    }

    /// What is written from here on finds no reader: discards the output and tells `error`, each
    /// time anew.
    pub fn refuse_write(&mut self, now: Time, error: io::Error) {
        if self.is_closing() {
            return self.close_now();
        }
        self.output.clear();
        self.forget_high();
        self.trigger_event(EventFlags::WRITING | EventFlags::ERROR, Some(error));
        self.handle_callback(now);
    }

    /// A callback ran, or somebody else touched the buffers: looks at marks and deadlines again.
    #[inline]
    pub fn handle_callback(&mut self, now: Time) {
        self.finish_flushing();
        self.update_marks();
        self.update_deadlines(now);
    }

    // ---- what to do next ----

    /// How many bytes the next read may take before limits cut it; `None` if it should not read.
    #[must_use]
    #[inline]
    pub fn poll_read(&self) -> Option<usize> {
        if let Some(staged) = &self.staged {
            return self.poll_step(staged, Direction::Read);
        }
        if !self.ready.contains(Readiness::READABLE) {
            return None;
        }
        let runs = self.suspended.of(Direction::Read).is_empty();
        // No room although no mark is reached yet: the input was filled by somebody else. A read of
        // no bytes would look like the end of the stream.
        let room = if runs { self.marks.room_to_read(self.input.len()) } else { 0 };
        let most = room.max(self.poll_forced(Direction::Read).unwrap_or(0));
        (most > 0).then_some(most)
    }

    /// How many bytes may come in before the high mark, or `window` where there is none; 0 while
    /// reading stands still, but for want of tokens.
    #[must_use]
    #[inline]
    pub fn poll_room(&self, window: usize) -> usize {
        let runs = (self.suspended.of(Direction::Read) - Suspend::LIMITS).is_empty();
        if runs { self.marks.window(self.input.len(), window) } else { 0 }
    }

    /// How many bytes the next write may offer before limits cut it; `None` if it should not write.
    #[must_use]
    #[inline]
    pub fn poll_write(&self) -> Option<usize> {
        if let Some(staged) = &self.staged {
            return self.poll_step(staged, Direction::Write);
        }
        if !self.ready.contains(Readiness::WRITABLE) || self.output.is_empty() {
            return None;
        }
        let most = if self.suspended.of(Direction::Write).is_empty() {
            self.marks.max_single(Direction::Write)
        } else {
            self.poll_forced(Direction::Write)?
        };
        Some(most.min(self.output.len()))
    }

    /// What the next operation in a direction may move; `None` if there should be none.
    #[must_use]
    #[inline]
    pub fn poll_operation(&self, direction: Direction) -> Option<usize> {
        match direction {
            Direction::Read => self.poll_read(),
            Direction::Write => self.poll_write(),
        }
    }

    /// The next callback to make, in the deferred order.
    #[inline]
    pub fn poll_callback(&mut self) -> Option<Callback> {
        self.pending.pop()
    }

    // ---- what the application commands ----

    /// Lets a direction run that has not ended. Enabling writing with nothing to write triggers one
    /// write callback.
    pub fn enable(&mut self, now: Time, direction: Direction) {
        self.suspended.lift(direction, Suspend::USER);
        self.note_enabled(direction);
        let writes = direction == Direction::Write && self.is_enabled(direction);
        if writes && self.output.is_empty() && !self.is_closing() {
            self.pending.write();
        }
        self.update_deadlines(now);
    }

    /// Stops a direction until it is enabled again; its timeout stops too.
    ///
    /// A stream that has been closed goes on writing what is left.
    pub fn disable(&mut self, now: Time, direction: Direction) {
        if !self.is_closing() {
            self.suspended.add(direction, Suspend::USER);
        }
        self.update_deadlines(now);
    }

    /// Both buffers, the input first.
    #[inline]
    pub fn buffers(&mut self) -> (&mut Buffer, &mut Buffer) {
        (&mut self.input, &mut self.output)
    }

    // ---- what it looks like ----

    /// Bytes that have arrived and were not consumed.
    #[inline]
    pub fn input(&self) -> &Buffer {
        &self.input
    }

    /// Bytes that wait to be written.
    #[inline]
    pub fn output(&self) -> &Buffer {
        &self.output
    }

    /// Whether the connection is still being made.
    #[inline]
    pub fn is_connecting(&self) -> bool {
        self.suspended.of(Direction::Write).contains(Suspend::CONNECTING)
    }

    /// Whether the application has neither disabled nor lost a direction.
    pub fn is_enabled(&self, direction: Direction) -> bool {
        !self.suspended.of(direction).intersects(Suspend::USER | Suspend::ENDED)
    }

    /// Why a direction stands still; empty if it does not.
    #[inline]
    pub fn suspended(&self, direction: Direction) -> Suspend {
        self.suspended.of(direction)
    }

    /// Whether reading has ended with an error.
    pub fn has_failed_reading(&self) -> bool {
        self.read_failed
    }

    /// Whether callbacks wait to be made.
    #[inline]
    pub fn has_callbacks(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the end of a direction, or of the whole stream, is still to be told.
    pub fn has_untold_end(&self, direction: Direction) -> bool {
        let flags = self.pending.flags();
        let (here, there) = match direction {
            Direction::Read => (EventFlags::READING, EventFlags::WRITING),
            Direction::Write => (EventFlags::WRITING, EventFlags::READING),
        };
        let of_both = flags.contains(EventFlags::ERROR) && !flags.contains(there);
        flags.contains(here) || of_both
    }

    /// What is remembered of the stream's readiness.
    #[inline]
    pub fn readiness(&self) -> Readiness {
        self.ready
    }

    // ---- private ----

    /// Bytes have come into the input.
    #[inline]
    fn note_arrival(&mut self, now: Time) {
        self.note_input();
        self.deadlines.restart(now, Direction::Read);
        self.update_marks();
    }

    /// `count` bytes have left the output.
    #[inline]
    fn note_departure(&mut self, now: Time, count: usize) {
        if count > 0 {
            self.deadlines.restart(now, Direction::Write);
            self.note_output();
        }
        self.update_marks();
    }

    /// Nothing more will be read, for better or worse; what has failed once stays so.
    fn end_reading(&mut self, failed: bool) {
        let has_ended = self.suspended.of(Direction::Read).contains(Suspend::ENDED);
        self.read_failed |= failed && !has_ended;
        self.end(Direction::Read);
    }

    fn end(&mut self, direction: Direction) {
        self.suspended.add(direction, Suspend::ENDED);
        self.deadlines.stop(direction);
    }
}
