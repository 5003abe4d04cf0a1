//! Buffers and the bufferevent state machine, without sockets, threads or clocks.
//!
//! A [`Buffer`] is a chain of segments that moves without copying. A [`Bufferevent`] owns two of
//! them and decides when bytes may pass: readiness, watermarks, timeouts, limits, back-pressure,
//! the order of callbacks, a close that writes what is left. It never touches a socket and never
//! reads a clock: the runtime tells it what happened and when, and asks what to do next, so every
//! rule is tested in virtual time.
//!
//! ```text
//!   socket --read--> landing block --land--> input  --> handler
//!                                                        |  append moves segments
//!   socket <--writev (cut to the permit)--- output <-----+
//! ```
//!
//! | feature | what it adds |
//! |---|---|
//! | `bytes` | [`Buffer`] takes `bytes::Bytes` by reference |
//! | `testing` | the module `testing`: a simulated link, a rig for streams, a stack for filters |
//!
//! What is absent: sockets, threads, clocks, user callbacks, unsafe code.
//! Start reading at [`Bufferevent`], then [`Buffer`]; at [`Filter`] to change bytes on their way.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate sluicegate_groups as groups;

mod buffer;
mod bufferevent;
mod flush;
mod stage;
#[cfg(feature = "testing")]
pub mod testing;

pub use buffer::{
    BlockStats, Buffer, Eol, Landing, Reservation, ReserveError, Source, SourceError, SourceRange,
    take_drop_panics,
};
pub use bufferevent::{
    Allowance, Bufferevent, Callback, DEFAULT_MAX_OUTPUT, DEFAULT_MAX_SINGLE, Event, EventFlags,
    Flush, Link, Membership, Permit, ReadOutcome, Readiness, Suspend, Trigger, WriteEnded,
    WriteOutcome,
};
pub use flush::FlushMode;
pub use stage::{
    Filter, FilterError, FilterResult, FilterStage, InputEnd, Outlook, Pass, Progress, Stage, Step,
    Wait,
};
