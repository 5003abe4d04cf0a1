//! The state machine of one buffered stream.
//!
//! A bufferevent owns an input and an output buffer and decides when bytes may move between them
//! and the world. It never touches a socket, never reads a clock and never calls user code. The
//! methods follow one grammar: `handle_*` tells it what the world did, `poll_*` asks it what to do
//! next, a bare verb is a command of the application, and anything else only looks.
//!
//! The driver of a bufferevent runs this loop: [`handle_ready`](Bufferevent::handle_ready) on a
//! readiness event; while [`poll_read`](Bufferevent::poll_read) names a number of bytes, one read
//! and [`handle_read`](Bufferevent::handle_read); the same for writing; then
//! [`poll_callback`](Bufferevent::poll_callback) until it is empty, each followed by
//! [`handle_callback`](Bufferevent::handle_callback); and a timer for
//! [`poll_deadline`](Bufferevent::poll_deadline).
//!
//! Invariants: a stale readiness bit costs one WouldBlock, a missing one never happens; nothing
//! is read beyond the high mark or the grant; callbacks are only ever pending, never made here.
//! Source: libevent 2.1.12 bufferevent.c and bufferevent_sock.c. Differs: readiness is edge
//! triggered and remembered, deferral is the only mode, a close writes what is left first.

mod deadline;
mod event;
mod limit;
mod state;
#[cfg(test)]
mod tests;
mod watermark;

use std::io;
use std::time::Duration;

use bitflags::bitflags;
use groups::{Direction, Time};

use crate::buffer::{Buffer, Landing};
use deadline::Deadlines;
use event::Pending;
pub use event::{Callback, Event, EventFlags};
use limit::Limits;
pub use limit::{Allowance, Membership, Permit};
pub use state::Suspend;
use state::Suspended;
use watermark::Watermarks;
pub use watermark::{DEFAULT_MAX_OUTPUT, DEFAULT_MAX_SINGLE};

bitflags! {
    /// What a readiness event said, and what is remembered of it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// A read would probably move bytes.
        const READABLE = 1;
        /// A write would probably move bytes.
        const WRITABLE = 1 << 1;
        /// The peer closed its sending side, or the socket has an error: a short read does not
        /// prove that nothing is left to learn.
        const HANG_UP = 1 << 2;
    }
}

/// How one read ended.
#[derive(Debug)]
pub enum ReadOutcome {
    /// This many bytes, more than none, are in the landing block.
    Bytes(usize),
    /// Nothing to read now.
    WouldBlock,
    /// A signal came in between: nothing was learnt, try again.
    Interrupted,
    /// The peer will send no more.
    EndOfStream,
    /// The stream failed.
    Failed(io::Error),
}

/// How one write ended.
#[derive(Debug)]
pub enum WriteOutcome {
    /// The stream took this many bytes off the front of the output.
    Bytes(usize),
    /// The stream takes nothing now.
    WouldBlock,
    /// A signal came in between: nothing was learnt, try again.
    Interrupted,
    /// The stream failed.
    Failed(io::Error),
}

/// How far a bufferevent is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Open,
    /// Closed by the application; the output is still being written.
    Flushing,
    Closed,
}

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
    /// Timeouts that ran out while the member waited for tokens and were started again.
    excused_timeouts: u32,
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
            excused_timeouts: 0,
        };
        stream.update_deadlines(now);
        stream
    }

    /// A stream whose connection is still being made; see [`handle_connected`](Self::handle_connected).
    pub fn connecting(now: Time) -> Self {
        let mut stream = Self::connected(now);
        stream.ready = Readiness::empty();
        for direction in Direction::ALL {
            stream.suspended.add(direction, Suspend::CONNECTING);
        }
        stream
    }

    // ---- what the world did ----

    /// Remembers a readiness event.
    pub fn handle_ready(&mut self, ready: Readiness) {
        self.ready |= ready;
    }

    /// The connection was made, or failed with `error`.
    pub fn handle_connected(&mut self, now: Time, error: Option<io::Error>) {
        for direction in Direction::ALL {
            self.suspended.lift(direction, Suspend::CONNECTING);
        }
        match error {
            None => {
                self.ready |= Readiness::READABLE | Readiness::WRITABLE;
                self.pending.event(EventFlags::CONNECTED, None);
                self.update_deadlines(now);
            }
            Some(error) => {
                self.end(Direction::Read);
                self.end(Direction::Write);
                self.pending.event(EventFlags::ERROR, Some(error));
            }
        }
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
                self.input.land(landing, count);
                if count < asked && !self.ready.contains(Readiness::HANG_UP) {
                    self.ready.remove(Readiness::READABLE);
                }
                if self.marks.input_is_due(self.input.len()) {
                    self.pending.read();
                }
                self.deadlines.restart(now, Direction::Read);
                self.update_marks();
            }
            ReadOutcome::WouldBlock => self.ready -= Readiness::READABLE | Readiness::HANG_UP,
            ReadOutcome::Interrupted => {}
            ReadOutcome::EndOfStream => {
                self.end(Direction::Read);
                self.pending.event(EventFlags::READING | EventFlags::EOF, None);
            }
            ReadOutcome::Failed(error) => {
                self.end(Direction::Read);
                self.pending.event(EventFlags::READING | EventFlags::ERROR, Some(error));
            }
        }
        self.update_deadlines(now);
    }

    /// One write of at most `asked` bytes ended.
    pub fn handle_write(&mut self, now: Time, outcome: WriteOutcome, asked: usize) {
        match outcome {
            WriteOutcome::Bytes(count) => {
                self.output.drain(count);
                if count < asked {
                    self.ready.remove(Readiness::WRITABLE);
                }
                if count > 0 {
                    self.deadlines.restart(now, Direction::Write);
                    if self.life == Life::Open && self.marks.output_is_due(self.output.len()) {
                        self.pending.write();
                    }
                }
                self.update_marks();
            }
            WriteOutcome::WouldBlock => self.ready.remove(Readiness::WRITABLE),
            WriteOutcome::Interrupted => {}
            WriteOutcome::Failed(error) => {
                self.end(Direction::Write);
                if self.life == Life::Open {
                    self.pending.event(EventFlags::WRITING | EventFlags::ERROR, Some(error));
                }
            }
        }
        self.finish_flushing();
        self.update_deadlines(now);
    }

    /// A callback ran, or somebody else touched the buffers: looks at marks and deadlines again.
    pub fn handle_callback(&mut self, now: Time) {
        self.update_marks();
        self.finish_flushing();
        self.update_deadlines(now);
    }

    /// Some deadline may have run out.
    ///
    /// A timeout disables its direction and becomes a TIMEOUT event, unless the stream itself
    /// stood still for want of tokens: then the peer is not to blame and the timeout starts anew.
    pub fn handle_deadline(&mut self, now: Time) {
        if self.deadlines.linger_is_due(now) {
            self.close_now();
            return;
        }
        for direction in Direction::ALL {
            if self.limits.handle_deadline(now, direction) {
                self.suspended.lift(direction, Suspend::OWN_LIMIT);
            }
            if !self.deadlines.is_due(now, direction) {
                continue;
            }
            if self.suspended.of(direction).intersects(Suspend::LIMITS) {
                self.excused_timeouts = self.excused_timeouts.saturating_add(1);
                self.deadlines.restart(now, direction);
                continue;
            }
            let side = match direction {
                Direction::Read => EventFlags::READING,
                Direction::Write => EventFlags::WRITING,
            };
            self.suspended.add(direction, Suspend::USER);
            self.pending.event(side | EventFlags::TIMEOUT, None);
        }
        self.update_deadlines(now);
    }

    // ---- what to do next ----

    /// How many bytes the next read may take before limits cut it; `None` if it should not read.
    #[must_use]
    pub fn poll_read(&self) -> Option<usize> {
        let runs = self.ready.contains(Readiness::READABLE)
            && self.suspended.of(Direction::Read).is_empty();
        runs.then(|| self.marks.room_to_read(self.input.len()))
    }

    /// How many bytes the next write may offer before limits cut it; `None` if it should not write.
    #[must_use]
    pub fn poll_write(&self) -> Option<usize> {
        let runs = self.ready.contains(Readiness::WRITABLE)
            && !self.output.is_empty()
            && self.suspended.of(Direction::Write).is_empty();
        runs.then(|| self.marks.max_single(Direction::Write).min(self.output.len()))
    }

    /// What the next operation in a direction may move; `None` if there should be none.
    #[must_use]
    pub fn poll_operation(&self, direction: Direction) -> Option<usize> {
        match direction {
            Direction::Read => self.poll_read(),
            Direction::Write => self.poll_write(),
        }
    }

    /// The next callback to make, in the deferred order.
    pub fn poll_callback(&mut self) -> Option<Callback> {
        self.pending.pop()
    }

    /// When to call [`handle_deadline`](Self::handle_deadline), if nothing happens before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        [self.deadlines.next(), self.limits.next_deadline()].into_iter().flatten().min()
    }

    // ---- what the application commands ----

    /// Lets a direction run. Enabling writing with nothing to write triggers one write callback.
    pub fn enable(&mut self, now: Time, direction: Direction) {
        self.suspended.lift(direction, Suspend::USER);
        if direction == Direction::Write && self.output.is_empty() && self.life == Life::Open {
            self.pending.write();
        }
        self.update_deadlines(now);
    }

    /// Stops a direction until it is enabled again; its timeout stops too.
    pub fn disable(&mut self, now: Time, direction: Direction) {
        self.suspended.add(direction, Suspend::USER);
        self.update_deadlines(now);
    }

    /// Sets, or with `None` removes, the timeout of a direction.
    pub fn set_timeout(&mut self, now: Time, direction: Direction, timeout: Option<Duration>) {
        self.deadlines.set_timeout(direction, timeout);
        self.update_deadlines(now);
    }

    /// Stops reading, writes what is left, and is [closed](Self::is_closed) then.
    ///
    /// What the peer does not take by `linger_until` is discarded.
    pub fn close(&mut self, linger_until: Time) {
        if self.life != Life::Open {
            return;
        }
        self.life = Life::Flushing;
        self.end(Direction::Read);
        self.pending.clear();
        self.suspended.lift(Direction::Write, Suspend::USER);
        self.deadlines.linger(linger_until);
        self.finish_flushing();
    }

    /// Is closed at once; the output is discarded.
    pub fn close_now(&mut self) {
        self.life = Life::Closed;
        self.pending.clear();
        self.end(Direction::Read);
        self.end(Direction::Write);
        self.output.clear();
    }

    /// Both buffers, the input first.
    pub fn buffers(&mut self) -> (&mut Buffer, &mut Buffer) {
        (&mut self.input, &mut self.output)
    }

    // ---- what it looks like ----

    /// Bytes that have arrived and were not consumed.
    pub fn input(&self) -> &Buffer {
        &self.input
    }

    /// Bytes that wait to be written.
    pub fn output(&self) -> &Buffer {
        &self.output
    }

    /// Whether the connection is still being made.
    pub fn is_connecting(&self) -> bool {
        self.suspended.of(Direction::Write).contains(Suspend::CONNECTING)
    }

    /// Whether the stream is over and its slot can be given up.
    pub fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// Whether the application has closed the stream, be it still writing or not.
    pub fn is_closing(&self) -> bool {
        self.life != Life::Open
    }

    /// Whether the application has neither disabled nor lost a direction.
    pub fn is_enabled(&self, direction: Direction) -> bool {
        !self.suspended.of(direction).intersects(Suspend::USER | Suspend::ENDED)
    }

    /// Why a direction stands still; empty if it does not.
    pub fn suspended(&self, direction: Direction) -> Suspend {
        self.suspended.of(direction)
    }

    /// Whether callbacks wait to be made.
    pub fn has_callbacks(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What is remembered of the stream's readiness.
    pub fn readiness(&self) -> Readiness {
        self.ready
    }

    /// The timeout of a direction.
    pub fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.deadlines.timeout(direction)
    }

    /// Timeouts that ran out while this stream waited for tokens of ours, and were started anew.
    pub fn excused_timeouts(&self) -> u32 {
        self.excused_timeouts
    }

    // ---- private ----

    fn end(&mut self, direction: Direction) {
        self.suspended.add(direction, Suspend::ENDED);
        self.deadlines.stop(direction);
    }

    fn finish_flushing(&mut self) {
        let cannot_write = self.suspended.of(Direction::Write).contains(Suspend::ENDED);
        if self.life == Life::Flushing && (self.output.is_empty() || cannot_write) {
            self.close_now();
        }
    }

    fn update_deadlines(&mut self, now: Time) {
        for direction in Direction::ALL {
            let stands = self.suspended.of(direction) - Suspend::LIMITS;
            let idle = direction == Direction::Write && self.output.is_empty();
            if stands.is_empty() && !idle {
                self.deadlines.start(now, direction);
            } else {
                self.deadlines.stop(direction);
            }
        }
    }
}
