//! A bufferevent whose bytes come from and go to another one, through a stage.
//!
//! Owns what the upper of two such streams has to remember: how the input below ended, what the
//! stage holds, which flushes are asked for. Bytes move in `staged/step.rs`, under the permits of
//! the upper stream; the lower one's own limits hold where it moves its bytes itself.
//!
//! Invariants: the lower stream reads only while the upper one wants bytes and has used what there
//! was, so at most one read waits below; the lower output stays within its `max_output`, but for a
//! flush; the end of the stream is told after the last byte.
//! Source: libevent 2.1.12 bufferevent_filter.c. Differs: a filter is finished before it closes,
//! what waits below is used as soon as there is room for it whatever the low mark there, an end
//! never overtakes bytes, and a write timeout runs while something waits here or below, and only
//! then.

mod below;
mod own;
mod step;

use std::io;

use groups::{Direction, Time};

use self::below::Stopped;
use self::own::Own;
use super::close::Life;
use super::{Bufferevent, Callback, Event, EventFlags, Link, Readiness, Suspend};
use crate::flush::FlushMode;

/// What a stream over a stage remembers.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// The connection of the stream below; not known before the first look, but made by then or
    /// awaited.
    link: Link,
    /// Bytes the stage has taken and not passed below.
    backlog: usize,
    /// Bytes of the output the stage has looked at and needs more than.
    refused: usize,
    /// The stage has been told that nothing follows, and has passed everything.
    finished: bool,
    flushes: [Option<Flush>; 2],
    /// Flushes that have passed here and have still to pass the next stream.
    passed: [Option<Flush>; 2],
    /// The end of what comes from below; told when all of that has passed.
    ended: Option<End>,
    /// Something was passed below since all layers were last empty.
    unflushed: bool,
    /// Whether it matters when all layers are empty again.
    tells_flushed: bool,
    linger_until: Option<Time>,
    drained: bool,
    /// What the stage wants on its own account, if it is of those that do.
    own: Option<Own>,
    /// The streams below wait for tokens, or have got some and not moved by them yet.
    waits_below: [bool; 2],
    stopped_below: [Stopped; 2],
    /// Bytes that wait in those for the peer, or for tokens.
    bytes_below: usize,
}

/// The end of what comes from below.
#[derive(Debug)]
struct End {
    told: Event,
    /// Nothing follows; else it is but the end of a flush.
    is_final: bool,
}

/// A flush on its way through a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// What is asked of each stream.
    pub mode: FlushMode,
    /// How many more streams it passes; a flush of writing goes on to the last.
    pub further: u16,
}

impl Staged {
    /// Whether nothing is left to do before the stream below may be closed.
    pub(super) fn is_through(&self) -> bool {
        self.backlog == 0 && self.finished
    }

    /// Bytes that would go down if they might.
    pub(super) fn waiting(&self, output: usize) -> usize {
        output.saturating_sub(self.refused) + self.backlog
    }

    pub(super) fn linger(&mut self, until: Time) {
        self.linger_until = Some(self.linger_until.map_or(until, |at| at.min(until)));
    }

    pub(super) fn has_drained(&self) -> bool {
        self.drained
    }
}

impl Bufferevent {
    /// A stream over a stage: see [`step`](Self::step). Otherwise as [in
    /// memory](Self::in_memory).
    pub fn over_stage(now: Time) -> Self {
        Self { staged: Some(Box::default()), ..Self::in_memory(now) }
    }

    // ---- what the world did ----

    /// Takes what the stream below would tell its handler; says whether there was something.
    #[inline]
    pub fn handle_news(&mut self, now: Time, lower: &mut Self) -> bool {
        let mut told = false;
        while let Some(callback) = lower.poll_callback() {
            match callback {
                Callback::Read => self.ready |= Readiness::READABLE,
                // Nobody above asks when that output has drained.
                Callback::Write => continue,
                Callback::Event(event) => {
                    if event.flags.contains(EventFlags::TIMEOUT) {
                        self.note_timeout(event.flags);
                    }
                    self.handle_below(now, event, lower);
                }
            }
            told = true;
        }
        if told && let Some(staged) = &mut self.staged {
            staged.note_news();
        }
        told
    }

    /// An event was told about the stream below.
    ///
    /// An end of its input is told above when everything has passed, anything else at once.
    pub fn handle_below(&mut self, now: Time, event: Event, lower: &Self) {
        self.ready |= Readiness::READABLE;
        // Nothing follows an error that ended both directions, as where an alert finds no way out.
        let is_over = self.truncated && self.has_ended();
        let Some(staged) = &mut self.staged else { return };
        let Event { flags, mut error } = event;
        let (read, write, eof) = (EventFlags::READING, EventFlags::WRITING, EventFlags::EOF);
        let over = |direction| lower.suspended.of(direction).contains(Suspend::ENDED);
        let failed = flags.contains(EventFlags::ERROR) && !is_over;
        // Events collapse: an error that reading did not end with is one of writing.
        let is_whole = !flags.intersects(read | write);
        let read_failed = failed && flags.contains(read) && lower.has_failed_reading();
        let is_write = flags.contains(write) && (!read_failed || over(Direction::Write));
        let write_failed = failed && (is_whole || is_write);
        let mut told = flags & (EventFlags::CONNECTED | EventFlags::TIMEOUT);
        if staged.own.is_some() {
            // What stands on it is connected when the stage says so.
            told -= EventFlags::CONNECTED;
        }
        if told.contains(EventFlags::TIMEOUT) {
            told |= flags & (read | write);
        }
        if flags.contains(write | eof) && !failed {
            told |= write | eof;
        }
        if write_failed {
            told |= EventFlags::ERROR | (flags & write);
        }
        if flags.contains(read | eof) || read_failed {
            let how = if read_failed { EventFlags::ERROR } else { eof };
            // Each direction tells its own end, as that of a socket does.
            let own = match (read_failed, write_failed) {
                (false, _) => None,
                (true, false) => error.take(),
                (true, true) => error.as_ref().map(|error| error.kind().into()),
            };
            let told = Event { flags: read | how, error: own };
            let end = End { told, is_final: over(Direction::Read) };
            if staged.ended.as_ref().is_none_or(|pending| !pending.is_final && end.is_final) {
                staged.ended = Some(end);
            }
        }
        let is_lost = write_failed && is_whole;
        if is_lost && self.note_lost() {
            // Nothing of the user's has passed, and there may be another connection for it.
            self.end(Direction::Write);
        } else if write_failed {
            self.abandon_output();
        }
        if is_lost {
            self.end_reading(true);
        }
        if !told.is_empty() {
            self.trigger_event(told, error);
        }
        self.handle_callback(now);
    }

    /// The stream below is gone: nothing comes and nothing goes any more.
    pub fn handle_lost(&mut self, now: Time) {
        let both = self.has_ended();
        self.end_reading(true);
        self.abandon_output();
        if !both {
            self.trigger_event(EventFlags::ERROR, Some(io::ErrorKind::NotConnected.into()));
        }
        self.handle_callback(now);
    }

    /// Squares this stream with the one below it; says of each, upper first, whether it has to be
    /// looked at again.
    ///
    /// To be called after either was touched. The lower one reads while this one wants bytes and
    /// has none waiting there; this one writes while there is room below.
    pub fn sync_below(&mut self, now: Time, lower: &mut Self) -> (bool, bool) {
        let linked = self.sync_link(now, lower);
        let moved = !self.sync_waits(now, lower);
        // A stream that stands on this one counts what lies below both.
        let counts = moved && self.pending.mutes_writes();
        let ends = self.poll_shutdown();
        if ends {
            lower.shutdown_write(now);
        }
        let goes_on = self.sync_stopped(now, lower);
        let rests = !self.wants_input();
        let was = lower.suspended.of(Direction::Read).contains(Suspend::STAGE);
        if rests != was {
            lower.suspended.set(Direction::Read, Suspend::STAGE, rests);
            lower.update_deadlines(now);
        }
        let was_writable = self.ready.contains(Readiness::WRITABLE);
        let Some(staged) = &mut self.staged else { return (false, false) };
        let writable = lower.room_to_write() > 0 || staged.flushes[1].is_some();
        self.ready.set(Readiness::WRITABLE, writable);
        let is_empty = staged.backlog == 0 && self.output.is_empty();
        let flushed = staged.unflushed && is_empty && lower.is_flushed();
        let told = flushed && staged.tells_flushed;
        staged.unflushed &= !flushed;
        if told {
            self.trigger_event(EventFlags::FLUSHED, None);
        }
        ((writable && !was_writable) || told || linked || counts, rests != was || ends || goes_on)
    }

    // ---- what to do next ----

    /// Whether a flush has passed this stream and is to go on.
    #[inline]
    pub fn has_flush(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.passed != [None; 2])
    }

    /// A flush that everything in this stream has passed, and that is to go on to the next.
    pub fn poll_flush(&mut self, direction: Direction) -> Option<Flush> {
        self.staged.as_mut()?.passed[direction.index()].take()
    }

    /// As [`poll_operation`](Self::poll_operation), of a stream over a stage.
    pub(super) fn poll_step(&self, staged: &Staged, direction: Direction) -> Option<usize> {
        let ready = match direction {
            Direction::Read => Readiness::READABLE,
            Direction::Write => Readiness::WRITABLE,
        };
        let flushes = staged.flushes[direction.index()].is_some();
        let passes = if flushes { PASSED_BY_FLUSH } else { Suspend::empty() };
        let most = self.marks.max_single(direction);
        if self.calls_stage(staged, direction) {
            return Some(if self.is_metered() { 1 } else { most });
        }
        let stands = !(self.suspended.of(direction) - passes).is_empty();
        if stands || !self.ready.contains(ready) {
            return None;
        }
        match direction {
            Direction::Read if flushes => Some(most),
            Direction::Read => Some(self.marks.room_to_read(self.input.len())).filter(|&n| n > 0),
            Direction::Write => {
                if staged.rests() {
                    return None;
                }
                let waiting = staged.waiting(self.output.len());
                let finishes = self.finishes() && !staged.finished;
                // Under a limit only what is known to wait; what it grows by follows.
                let want = if self.is_metered() { most.min(waiting.max(1)) } else { most };
                (waiting > 0 || flushes || finishes).then_some(want)
            }
        }
    }

    // ---- what the application commands ----

    /// Asks the stage for what it holds back: it is called at least once in that mode, past marks
    /// and though the direction be disabled, but not past limits.
    pub fn flush_stage(&mut self, direction: Direction, flush: Flush) {
        let over = self.suspended.of(direction).contains(Suspend::ENDED);
        let Some(staged) = &mut self.staged else { return };
        // Where nothing passes any more it goes on at once, for what waits below.
        let slots = if over { &mut staged.passed } else { &mut staged.flushes };
        let slot = &mut slots[direction.index()];
        *slot = Some(slot.map_or(flush, |pending| Flush {
            mode: pending.mode.max(flush.mode),
            further: pending.further.max(flush.further),
        }));
        self.ready |= match direction {
            Direction::Read => Readiness::READABLE,
            Direction::Write => Readiness::WRITABLE,
        };
    }

    /// Asks for a [`FLUSHED`](EventFlags::FLUSHED) event whenever everything has left this stream
    /// and all below it.
    pub fn tell_flushed(&mut self) {
        if let Some(staged) = &mut self.staged {
            staged.tells_flushed = true;
        }
    }

    /// Hands what this stream has learnt and not told to the one below, which goes on without it,
    /// and that writing was ended.
    pub fn hand_down(&mut self, now: Time, lower: &mut Self) {
        if self.is_shut_down() {
            lower.shutdown_write(now);
        }
        let end = self.staged.as_mut().and_then(|staged| staged.ended.take());
        let untold = self.pending.take_event();
        for Event { flags, error } in end.map(|end| end.told).into_iter().chain(untold) {
            let own = EventFlags::FLUSHED | EventFlags::HIGH_WATER;
            lower.trigger_event(flags - own, error);
        }
    }

    /// A stage stands over this stream: nobody asks how full its output is, nor waits for the low
    /// mark of its input, as a record may be shorter.
    pub fn enter_stage(&mut self) {
        self.marks.stand_under_stage(true);
        self.pending.mute_writes(true);
        self.forget_high();
    }

    /// Takes away what a stage over this stream has made it wait for: there is none any more.
    pub fn leave_stage(&mut self, now: Time) {
        self.suspended.lift(Direction::Read, Suspend::STAGE);
        self.marks.stand_under_stage(false);
        self.pending.mute_writes(self.half_close.is_asked());
        if !self.input.is_empty() {
            self.pending.read();
        }
        self.handle_callback(now);
    }

    // ---- what it looks like ----

    /// Whether a close has passed everything below; until when that may take there.
    pub fn drained_until(&self) -> Option<Time> {
        let staged = self.staged.as_ref()?;
        staged.linger_until.filter(|_| staged.drained)
    }

    /// Until when a close may take, if there was one.
    pub fn linger_until(&self) -> Option<Time> {
        self.staged.as_ref()?.linger_until
    }

    /// Whether bytes have still to leave, be it that a stage has taken them.
    pub fn holds_output(&self) -> bool {
        let backlog = self.staged.as_ref().map_or(0, |staged| staged.backlog);
        !self.output.is_empty() || backlog > 0
    }

    /// Whether bytes wait that the peer could take.
    pub(super) fn has_output(&self) -> bool {
        match &self.staged {
            Some(staged) => staged.waiting(self.output.len()) > 0 || staged.bytes_below > 0,
            None => !self.output.is_empty(),
        }
    }

    /// How many more bytes a stage may put into the output; `usize::MAX` if it is not bounded.
    fn room_to_write(&self) -> usize {
        let backlog = self.staged.as_ref().map_or(0, |staged| staged.backlog);
        self.marks.room_to_write(self.output.len() + backlog)
    }

    /// Whether nothing waits here nor anywhere below.
    fn is_flushed(&self) -> bool {
        let below = self.staged.as_ref().is_none_or(|staged| !staged.unflushed);
        self.output.is_empty() && below
    }

    /// Whether bytes are wanted from below that are not there yet.
    fn wants_input(&self) -> bool {
        let runs = self.suspended.of(Direction::Read).is_empty()
            && self.marks.room_to_read(self.input.len()) > 0;
        let waiting = self.ready.contains(Readiness::READABLE);
        let needs = self.staged.as_ref().is_some_and(|staged| staged.needs_input(waiting));
        needs || (runs && !waiting)
    }

    // ---- private ----

    /// Whether both directions are over.
    fn has_ended(&self) -> bool {
        let over = |direction| self.suspended.of(direction).contains(Suspend::ENDED);
        Direction::ALL.into_iter().all(over)
    }

    /// Whether the stage is to finish what it is given to write: nothing follows.
    fn finishes(&self) -> bool {
        matches!(self.life, Life::Ending | Life::Flushing)
    }

    /// Everything has passed to the stream below, if there is one.
    pub(super) fn note_drained(&mut self) {
        if let Some(staged) = &mut self.staged {
            staged.drained = true;
        }
    }

    /// Nothing goes out any more, so nothing of it may hold anything up: the peer may have answered
    /// before it stopped listening.
    pub(super) fn abandon_output(&mut self) {
        self.truncated |= self.holds_output();
        self.output.clear();
        self.forget_high();
        self.end(Direction::Write);
        if let Some(staged) = &mut self.staged {
            staged.backlog = 0;
            staged.refused = 0;
            staged.finished = true;
            staged.unflushed = false;
            staged.flushes[Direction::Write.index()] = None;
        }
        self.update_marks();
    }
}

/// What a flush does not wait for.
const PASSED_BY_FLUSH: Suspend =
    Suspend::USER.union(Suspend::WATERMARK).union(Suspend::OUTPUT).union(Suspend::STAGE);
