//! Segmented buffers and the bufferevent state machine, without sockets, threads or clocks.
//!
//! A [`Buffer`] is a chain of segments that moves without copying; a [`Landing`] is the block that
//! a core reads its sockets into.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod buffer;

pub use buffer::{Buffer, Landing};
