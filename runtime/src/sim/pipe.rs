//! One direction of a simulated connection: bytes on their way, bytes that have arrived.
//!
//! Owns the bytes from the sender's write to the receiver's read. Never schedules anything itself:
//! the network says when bytes arrive. Socket buffers of both ends are one bound on the whole.
//!
//! Invariants: bytes leave in the order they came in, each once; `arrived` never exceeds what is
//! held; nothing arrives before what was sent earlier, the end of the stream included; nothing at
//! all arrives after a loss.

use std::collections::VecDeque;

use groups::Time;

/// Bytes from one end of a connection to the other.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    /// How many of the bytes, from the front, the receiver can read.
    arrived: usize,
    capacity: usize,
    /// When the last thing that was sent arrives.
    last_arrival: Time,
    /// The end of the stream has arrived.
    ended: bool,
    /// Bytes were lost: nothing that was sent after them may arrive, nor the end of the stream.
    torn: bool,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            arrived: 0,
            capacity,
            last_arrival: Time::ZERO,
            ended: false,
            torn: false,
        }
    }

    /// Takes bytes from the sender, as many as fit; returns how many. After a loss they are lost.
    pub(super) fn send(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        if !self.torn {
            self.bytes.extend(&bytes[..count]);
        }
        count
    }

    /// Moves the arrival of what is sent now back to that of what was sent before.
    pub(super) fn in_order(&mut self, at: Time) -> Time {
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// The next `count` bytes have arrived, unless they were lost meanwhile.
    pub(super) fn arrive(&mut self, count: usize) {
        self.arrived = self.bytes.len().min(self.arrived + count);
    }

    /// The end of the stream has arrived, unless bytes before it were lost.
    pub(super) fn end(&mut self) {
        self.ended = !self.torn;
    }

    /// Gives the receiver bytes that have arrived; returns how many.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.arrived);
        let (front, back) = self.bytes.as_slices();
        let first = count.min(front.len());
        into[..first].copy_from_slice(&front[..first]);
        into[first..count].copy_from_slice(&back[..count - first]);
        self.bytes.drain(..count);
        self.arrived -= count;
        count
    }

    /// Loses what has not arrived; only a reset may follow.
    pub(super) fn lose_in_flight(&mut self) {
        self.bytes.truncate(self.arrived);
        self.torn = true;
    }

    /// Loses everything and frees its memory.
    pub(super) fn discard(&mut self) {
        self.bytes = VecDeque::new();
        self.arrived = 0;
    }

    /// Bytes the receiver can read now.
    pub(super) fn arrived(&self) -> usize {
        self.arrived
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes the sender can write now.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// Whether there is room enough to tell the sender: a third, as on Linux, so that a reader
    /// that sips does not cause an edge per sip.
    pub(super) fn is_spacious(&self) -> bool {
        self.room() >= self.capacity.div_ceil(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_can_be_read_when_they_have_arrived_and_in_order() {
        let mut pipe = Pipe::new(8);
        assert_eq!(pipe.send(b"abcde"), 5);
        let mut into = [0; 8];
        assert_eq!(pipe.receive(&mut into), 0, "still in flight");
        pipe.arrive(3);
        assert_eq!(pipe.receive(&mut into[..2]), 2);
        assert_eq!(pipe.send(b"fghi"), 4, "around the end of the ring");
        pipe.arrive(6);
        assert_eq!(pipe.receive(&mut into[2..]), 6);
        assert_eq!(&into, b"abcdefgh");
    }

    #[test]
    fn a_full_pipe_takes_nothing_and_tells_only_when_a_third_is_free() {
        let mut pipe = Pipe::new(9);
        assert_eq!(pipe.send(&[7; 10]), 9);
        assert_eq!(pipe.send(&[7]), 0);
        pipe.arrive(9);
        pipe.receive(&mut [0; 2]);
        assert!(!pipe.is_spacious());
        pipe.receive(&mut [0; 1]);
        assert!(pipe.is_spacious());
    }

    #[test]
    fn lost_bytes_never_arrive() {
        let mut pipe = Pipe::new(9);
        pipe.send(b"kept");
        pipe.arrive(4);
        pipe.send(b"lost");
        pipe.lose_in_flight();
        assert_eq!(pipe.send(b"late"), 4, "the sender has not heard of it");
        pipe.arrive(4);
        pipe.end();
        assert_eq!(pipe.arrived(), 4);
        assert!(!pipe.has_ended(), "a torn stream must not look complete");
    }
}
