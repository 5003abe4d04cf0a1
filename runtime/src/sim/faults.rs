//! What goes wrong in a simulation, and how often.
//!
//! Owns the probabilities only; the driver rolls the dice, from the seed of the simulation. Every
//! fault is one that Linux may show to a correct program: a short read is followed by a new edge,
//! as if the rest had still been on its way, and so is a `WouldBlock`.

use std::ops::Range;
use std::time::Duration;

/// The faults a simulated operating system injects into the calls of the core.
///
/// Probabilities are per call, from 0 to 1. The ends that a test drives itself see no faults but
/// delays and resets.
///
/// # Examples
/// ```
/// use sluicegate::sim::Faults;
///
/// let torn = Faults { short_reads: 0.5, short_writes: 0.5, ..Faults::none() };
/// assert_eq!(torn.reset, 0.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A read brings fewer bytes than have arrived; an edge follows for the rest.
    pub short_reads: f64,
    /// A write takes fewer bytes than there is room for; an edge follows.
    pub short_writes: f64,
    /// A read, write or wait is interrupted by a signal and did nothing.
    pub interrupted: f64,
    /// A read or write would block although it could proceed; an edge follows.
    pub would_block: f64,
    /// The connection of a read or write is reset, for both of its ends.
    pub reset: f64,
    /// An accept fails for want of descriptors (EMFILE); who waits goes on waiting.
    pub accept_errors: f64,
    /// The core cannot wait for a socket that it has accepted or been given (ENOSPC): one that was
    /// accepted is lost.
    pub register_errors: f64,
    /// An event of a socket comes after it was closed or taken out, with its old key.
    pub stale_events: f64,
    /// The answer to a connection that the core asked for comes late, and at the same moment all
    /// that its peer has sent meanwhile: bytes, the end of the stream, a reset, in one event.
    pub late_connects: f64,
    /// How long whatever is sent takes to arrive. An empty range means exactly its start.
    pub delay: Range<Duration>,
}

impl Faults {
    /// A network without faults, in which everything takes 50 µs to arrive.
    pub fn none() -> Self {
        Self {
            short_reads: 0.0,
            short_writes: 0.0,
            interrupted: 0.0,
            would_block: 0.0,
            reset: 0.0,
            accept_errors: 0.0,
            register_errors: 0.0,
            stale_events: 0.0,
            late_connects: 0.0,
            delay: QUIET_DELAY..QUIET_DELAY,
        }
    }

    /// Everything at once that a core can bear without losing a connection: calls that mostly
    /// misbehave, delays of three orders of magnitude; and a reset now and then.
    pub fn harsh() -> Self {
        Self {
            short_reads: 0.3,
            short_writes: 0.3,
            interrupted: 0.1,
            would_block: 0.15,
            reset: 0.0005,
            accept_errors: 0.1,
            register_errors: 0.0,
            stale_events: 0.5,
            late_connects: 0.3,
            delay: Duration::from_micros(10)..Duration::from_millis(20),
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

const QUIET_DELAY: Duration = Duration::from_micros(50);
