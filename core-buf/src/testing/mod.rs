//! A simulated link and a rig that drives two bufferevents over it in virtual time.
//!
//! For tests of everything that stands on a [`Bufferevent`](crate::Bufferevent): a [`Link`] behaves
//! as a TCP connection of the kernel does towards edge-triggered polling, with faults where the
//! test wants them; a [`Rig`] owns the only clock, which moves when nothing is left to do. Never
//! touches a socket, a thread or a real clock: the same seed gives the same run, byte for byte and
//! nanosecond for nanosecond, on every machine.
//!
//! Only with the feature `testing`; nothing in the library depends on it.

mod fault;
mod link;
mod rig;
mod source;
mod stack;

pub use fault::{Fault, Faults, Odds};
pub use link::{Link, LinkOptions, Side};
pub use rig::{Operation, Peak, Rig};
pub use source::MemorySource;
pub use stack::Stack;
