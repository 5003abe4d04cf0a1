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
    /// Nothing will be added to `lower_input` any more.
    pub ended: bool,
}

/// What a direction of a stage waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// For more bytes on the side it takes from: it has given all it can make of what is there.
    #[default]
    Source,
    /// For leave or room: it has, or may have, more to give than it was allowed to.
    Room,
    /// For nothing: it has failed, or was asked to finish and has.
    Over,
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Progress {
    /// What the user is to be told. An ERROR ends the directions it names.
    pub events: EventFlags,
    /// The error of an ERROR event.
    pub error: Option<io::Error>,
    /// How reading stands.
    pub read: Wait,
    /// How writing stands.
    pub write: Wait,
    /// Bytes taken from `upper_output` that are still to enter `lower_output`, as far as is known.
    pub backlog: usize,
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

    /// When it wants to be called although nothing has happened.
    fn deadline(&self) -> Option<Time> {
        None
    }
}
