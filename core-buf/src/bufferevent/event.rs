//! What a bufferevent tells its user, and in which order.
//!
//! Owns the pending callbacks of one bufferevent. Never calls user code: whatever would call it
//! sets a bit here, and the reactor later asks for the callbacks one by one. Repeated triggers
//! before that collapse into one.
//!
//! Invariant: callbacks come out in the order CONNECTED, read, write, all other events at once
//! with the first error saved since.
//! Source: libevent 2.1.12 `bufferevent_run_deferred_callbacks_unlocked`; there deferral is an
//! option, here it is the only mode.

use std::io;

use bitflags::bitflags;
use groups::Direction;

use super::Bufferevent;

bitflags! {
    /// What happened to a bufferevent, and in which direction.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct EventFlags: u8 {
        /// The event concerns reading.
        const READING = 1;
        /// The event concerns writing.
        const WRITING = 1 << 1;
        /// The peer closed its sending side; everything it sent has been read.
        const EOF = 1 << 2;
        /// An operation failed; the event carries the error.
        const ERROR = 1 << 3;
        /// The peer did not act within the timeout; the direction has been disabled.
        const TIMEOUT = 1 << 4;
        /// A connection that was asked for has been made.
        const CONNECTED = 1 << 5;
        /// Everything that was put out has left this stream and all below it; only stacks tell it,
        /// and only where it is asked for.
        const FLUSHED = 1 << 6;
        /// The output has grown to its high mark: who produces it should stop until the write
        /// callback.
        const HIGH_WATER = 1 << 7;
    }
}

/// One event of a bufferevent, given to the handler.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub flags: EventFlags,
    /// The error that was saved when the event was triggered, if it was one.
    pub error: Option<io::Error>,
}

/// The next callback to make on a bufferevent.
#[derive(Debug)]
#[must_use]
pub enum Callback {
    /// New bytes are in the input, at least as many as the low mark.
    Read,
    /// The output has drained to its low mark.
    Write,
    /// Something else happened.
    Event(Event),
}

/// When a callback that is [asked for](Bufferevent::trigger) becomes pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// If the buffer stands as it would have to: the input at its low read mark or above, or the
    /// output at its low write mark or below.
    IfDue,
    /// Whatever the marks.
    Always,
}

impl Bufferevent {
    /// Makes the read or the write callback pending, as if bytes had come or gone.
    ///
    /// Collapses with one that is pending already. Nothing happens on a stream that the application
    /// has closed.
    pub fn trigger(&mut self, direction: Direction, trigger: Trigger) {
        let always = trigger == Trigger::Always && !self.is_closing();
        match direction {
            Direction::Read if always => self.pending.read(),
            Direction::Write if always => self.pending.write(),
            Direction::Read => self.note_input(),
            Direction::Write => self.note_output(),
        }
    }

    /// Makes an event pending, unless the application has closed the stream.
    ///
    /// Tells and changes nothing else: a stream told that it has ended goes on.
    #[inline]
    pub fn trigger_event(&mut self, flags: EventFlags, error: Option<io::Error>) {
        if !self.is_closing() {
            self.pending.event(flags, error);
        }
    }

    /// Makes the read callback pending if the input is at its mark.
    #[inline]
    pub(super) fn note_input(&mut self) {
        if !self.is_closing() && self.marks.input_is_due(self.input.len()) {
            self.pending.read();
        }
    }

    /// Makes the write callback pending if the output is at its mark.
    #[inline]
    pub(super) fn note_output(&mut self) {
        if !self.is_closing() && self.marks.output_is_due(self.output.len()) {
            self.pending.write();
            self.forget_high();
        }
    }
}

/// The callbacks that wait for the reactor.
#[derive(Debug, Default)]
pub(super) struct Pending {
    read: bool,
    write: bool,
    /// Nobody wants to know how full the output is.
    mutes_writes: bool,
    flags: EventFlags,
    error: Option<io::Error>,
}

impl Pending {
    pub(super) fn read(&mut self) {
        self.read = true;
    }

    pub(super) fn write(&mut self) {
        self.write = !self.mutes_writes;
    }

    /// Tells no more about how full the output is, or does again.
    pub(super) fn mute_writes(&mut self, on: bool) {
        self.mutes_writes = on;
        self.write &= !on;
    }

    /// Adds an event; of several errors the first is kept.
    pub(super) fn event(&mut self, flags: EventFlags, error: Option<io::Error>) {
        self.flags |= flags;
        if self.error.is_none() {
            self.error = error;
        }
    }

    /// Takes the events that wait, CONNECTED among them.
    pub(super) fn take_event(&mut self) -> Option<Event> {
        let flags = std::mem::take(&mut self.flags);
        (!flags.is_empty()).then(|| Event { flags, error: self.error.take() })
    }

    /// Whether nobody wants to know how full the output is.
    pub(super) fn mutes_writes(&self) -> bool {
        self.mutes_writes
    }

    /// Takes back what is no longer true and was not told yet.
    #[inline]
    pub(super) fn withdraw(&mut self, flags: EventFlags) {
        self.flags.remove(flags);
    }

    /// Forgets what was to be told about an earlier connection, though not of the buffers.
    pub(super) fn forget_events(&mut self) {
        self.flags &= EventFlags::HIGH_WATER;
        self.error = None;
    }

    pub(super) fn clear(&mut self) {
        *self = Self { mutes_writes: self.mutes_writes, ..Self::default() };
    }

    pub(super) fn flags(&self) -> EventFlags {
        self.flags
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.read && !self.write && self.flags.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Callback> {
        if self.flags.contains(EventFlags::CONNECTED) {
            self.flags.remove(EventFlags::CONNECTED);
            return Some(Callback::Event(Event { flags: EventFlags::CONNECTED, error: None }));
        }
        if std::mem::take(&mut self.read) {
            return Some(Callback::Read);
        }
        if std::mem::take(&mut self.write) {
            return Some(Callback::Write);
        }
        self.take_event().map(Callback::Event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_come_in_the_deferred_order() {
        let mut pending = Pending::default();
        pending.event(EventFlags::READING | EventFlags::EOF, None);
        pending.write();
        pending.read();
        pending.event(EventFlags::CONNECTED, None);
        let Some(Callback::Event(connected)) = pending.pop() else { panic!("CONNECTED is first") };
        assert_eq!(connected.flags, EventFlags::CONNECTED);
        assert!(matches!(pending.pop(), Some(Callback::Read)));
        assert!(matches!(pending.pop(), Some(Callback::Write)));
        let Some(Callback::Event(last)) = pending.pop() else { panic!("EOF is last") };
        assert_eq!(last.flags, EventFlags::READING | EventFlags::EOF);
        assert!(pending.pop().is_none() && pending.is_empty());
    }

    #[test]
    fn several_triggers_collapse_and_keep_the_first_error() {
        let mut pending = Pending::default();
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        pending.event(EventFlags::READING | EventFlags::ERROR, Some(reset));
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        pending.event(EventFlags::WRITING | EventFlags::ERROR, Some(pipe));
        let Some(Callback::Event(event)) = pending.pop() else { panic!("one event") };
        assert_eq!(event.error.map(|e| e.kind()), Some(io::ErrorKind::ConnectionReset));
        assert!(event.flags.contains(EventFlags::READING | EventFlags::WRITING));
        assert!(pending.is_empty());
    }
}
