//! What the world tells a bufferevent: readiness, and how one read or write ended.
//!
//! Owns only these types. The driver of a bufferevent translates what its system calls say into
//! them; "nothing now", "over" and "failed" are different things here, as a reading of 0 and an
//! error number are not.

use std::io;

use bitflags::bitflags;

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
