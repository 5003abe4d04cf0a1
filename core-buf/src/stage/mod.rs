//! What stands between two bufferevents: bytes from below become bytes for above, and back.
//!
//! Owns the words in which a [`Stage`] and its driver talk: a [`Step`] lends buffers and leave, a
//! [`Progress`] says what came of it. Filters ([`FilterStage`]) and encryption are stages of the
//! same kind. Never charges anything: whoever drives the step measures the buffers before and after
//! it ([`Bufferevent::step`](crate::Bufferevent::step)).
//!
//! Invariants: a step that is asked for one direction gives no more than its limit there; what a
//! stage has made and may not give yet it keeps, in order; output goes below exactly once.
//! Source: libevent 2.1.12 bufferevent_filter.c. Differs: the limit knows rate limits, errors and
//! the end of the stream reach both sides, and a stage may speak below without being asked.

mod adapter;
mod filter;

use std::io;
use std::time::Duration;

use groups::Time;

pub use self::adapter::FilterStage;
pub use self::filter::{Filter, FilterError, FilterResult};
use crate::buffer::Buffer;
use crate::bufferevent::EventFlags;
use crate::flush::FlushMode;

/// Leave to move bytes in one direction of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The most bytes that may come out; `usize::MAX` is no limit.
    pub limit: usize,
    /// How much of what could be held back is wanted.
    pub mode: FlushMode,
}

/// What one step of a stage may use.
#[derive(Debug)]
pub struct Step<'a> {
    /// The time of the step.
    pub now: Time,
    /// Bytes that have arrived below: to be consumed.
    pub lower_input: &'a mut Buffer,
    /// Bytes that will be sent below: to be appended to.
    pub lower_output: &'a mut Buffer,
    /// Bytes for the user: to be appended to.
    pub upper_input: &'a mut Buffer,
    /// Bytes of the user: to be consumed.
    pub upper_output: &'a mut Buffer,
    /// Towards the user: how many bytes may enter `upper_input`; `None` if none may now.
    pub read: Option<Pass>,
    /// From the user: how many of the user's bytes, converted, may enter `lower_output`; `None` if
    /// none may now. What a stage has to say on its own account needs no leave.
    pub write: Option<Pass>,
    /// How `lower_input` ended, if nothing will be added to it any more.
    pub ended: Option<InputEnd>,
    /// What the user will still do.
    pub outlook: Outlook,
    /// Reading rests until some of `upper_output` has left.
    pub reads_after_output: bool,
}

/// How what comes from below ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEnd {
    /// The peer has ended the stream.
    Eof,
    /// The stream below has failed, and told how.
    Failed,
}

/// What the user of a stage will still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Reads and writes on.
    Open,
    /// Writes nothing after what is in `upper_output`; reads on.
    Ending,
    /// Has closed: writes nothing after that and reads nothing.
    Closed,
}

/// What a direction of a stage waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// For more bytes on the side it takes from: it has given all it can make of what is there.
    #[default]
    Source,
    /// For leave or room: it has, or may have, more to give than it was allowed to.
    Room,
    /// For bytes from below, though it writes: a protocol has to hear the peer first.
    Input,
    /// For nothing: it has failed, or was asked to finish and has.
    Over,
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Progress {
    /// What the user is to be told. An ERROR ends the directions it names, one that names none ends
    /// both; EOF with READING ends reading.
    pub events: EventFlags,
    /// The error of an ERROR event; where the stream below has failed its own stands in.
    pub error: Option<io::Error>,
    /// How reading stands.
    pub read: Wait,
    /// How writing stands.
    pub write: Wait,
    /// Bytes taken from `upper_output` that are still to enter `lower_output`, as far as is known.
    pub backlog: usize,
    /// How many bytes of its leave the step has used, where that is not what arrived.
    pub used: Option<usize>,
    /// It needs bytes from below on its own account. Only while it could take them: what it must
    /// hand to the user first, and may not, is none of its needs.
    pub needs_input: bool,
}

/// What stands between a lower and an upper bufferevent.
///
/// Implement [`Filter`] instead where bytes in make bytes out; this is for protocols that speak on
/// their own account.
pub trait Stage: Send {
    /// Moves what it can from below to above and back, as far as `step` gives leave.
    ///
    /// Every call must come nearer to an end: one that reports [`Wait::Room`] is repeated as soon
    /// as there is room.
    fn step(&mut self, step: Step<'_>) -> Progress;

    /// When it wants to be called although nothing has happened; asked after each step of a
    /// [protocol](crate::Bufferevent::over_protocol).
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// Puts its deadline off: time has passed in which nobody could be heard.
    fn delay(&mut self, _by: Duration) {}
}
