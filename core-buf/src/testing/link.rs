//! A link: two ends of one connection, as the kernel would show them to edge-triggered polling.
//!
//! Owns the bytes under way and received, the room for them, and the edges nobody has polled yet.
//! Never decides when time passes: every method is told `now`.
//!
//! Invariants: bytes arrive in order and once; what is under way to a side and received there
//! never exceeds the capacity; an edge comes for every arrival and for room after a write that
//! found too little; none after the end of the stream has been announced, as in Linux.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use groups::Time;

use super::fault::{Fault, Faults};
use crate::{Buffer, ReadOutcome, Readiness, WriteOutcome};

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The end that faces this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// How a link behaves apart from its faults.
#[derive(Clone, Copy, Debug)]
pub struct LinkOptions {
    /// Bytes that may be under way or unread in each direction; 64 KiB by default.
    pub capacity: usize,
    /// How long bytes are under way; 0 by default.
    pub delay: Duration,
    /// Up to this is added to the delay at random, without reordering; 0 by default.
    pub jitter: Duration,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { capacity: 64 << 10, delay: Duration::ZERO, jitter: Duration::ZERO }
    }
}

/// What one side sees.
#[derive(Debug, Default)]
struct End {
    /// Under way to this side, in order of arrival.
    coming: VecDeque<(Time, Vec<u8>)>,
    coming_bytes: usize,
    received: VecDeque<u8>,
    /// When the end of the peer's stream arrives, once it has been sent.
    ends_at: Option<Time>,
    /// The end of the stream has been announced.
    hung_up: bool,
    /// This side sends no more.
    shut: bool,
    /// This side has closed altogether.
    closed: bool,
    reset: bool,
    /// A reset that no operation has reported yet.
    error: bool,
    wants_room: bool,
    edges: Readiness,
}

impl End {
    /// Takes in what has arrived by `now`, with its edge.
    fn arrive(&mut self, now: Time) {
        while self.coming.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = self.coming.pop_front().unwrap_or_default();
            self.coming_bytes -= bytes.len();
            self.received.extend(bytes);
            self.edges |= Readiness::READABLE;
        }
        if !self.hung_up && self.ends_at.is_some_and(|at| at <= now) {
            self.hung_up = true;
            self.edges |= Readiness::READABLE | Readiness::HANG_UP;
        }
    }

    fn held_bytes(&self) -> usize {
        self.coming_bytes + self.received.len()
    }
}

/// A simulated connection.
#[derive(Debug)]
pub struct Link {
    options: LinkOptions,
    faults: Faults,
    ends: [End; 2],
}

impl Link {
    /// Makes a link that is connected and empty.
    #[must_use]
    pub fn new(options: LinkOptions, faults: Faults) -> Self {
        Self { options, faults, ends: Default::default() }
    }

    /// Reads into `space`, as a system call would.
    pub fn read(&mut self, side: Side, now: Time, space: &mut [u8]) -> ReadOutcome {
        let fault = self.faults.next();
        let end = &mut self.ends[side.index()];
        end.arrive(now);
        let mut limit = space.len();
        match fault {
            Some(Fault::Interrupted) => return ReadOutcome::Interrupted,
            Some(Fault::WouldBlock) => {
                let hang_up = if end.hung_up { Readiness::HANG_UP } else { Readiness::empty() };
                end.edges |= Readiness::READABLE | hang_up;
                return ReadOutcome::WouldBlock;
            }
            Some(Fault::Short) => {
                let most = limit.min(end.received.len()).saturating_sub(1).max(1);
                limit = 1 + self.faults.up_to(most as u64 - 1) as usize;
                if !end.hung_up {
                    end.edges |= Readiness::READABLE;
                }
            }
            Some(Fault::Reset) => self.reset(),
            Some(Fault::HalfClose) => self.half_close(side.other(), now),
            None => {}
        }
        let end = &mut self.ends[side.index()];
        end.arrive(now);
        let count = limit.min(space.len()).min(end.received.len());
        for (place, byte) in space.iter_mut().zip(end.received.drain(..count)) {
            *place = byte;
        }
        if count > 0 {
            let peer = &mut self.ends[side.other().index()];
            if std::mem::take(&mut peer.wants_room) {
                peer.edges |= Readiness::WRITABLE;
            }
            return ReadOutcome::Bytes(count);
        }
        if std::mem::take(&mut end.error) {
            return ReadOutcome::Failed(io::ErrorKind::ConnectionReset.into());
        }
        if end.hung_up || end.reset { ReadOutcome::EndOfStream } else { ReadOutcome::WouldBlock }
    }

    /// Writes up to `limit` bytes off the front of `output`, as a system call would; does not
    /// drain it.
    ///
    /// One call takes what is [in memory](Buffer::loaded), or the source at the front, and no more
    /// than that.
    pub fn write(&mut self, side: Side, now: Time, output: &Buffer, limit: usize) -> WriteOutcome {
        let mut asked = limit.min(one_write(output));
        let fault = self.faults.next();
        let end = &mut self.ends[side.index()];
        match fault {
            Some(Fault::Interrupted) => return WriteOutcome::Interrupted,
            Some(Fault::WouldBlock) => {
                end.edges |= Readiness::WRITABLE;
                return WriteOutcome::WouldBlock;
            }
            Some(Fault::Short) => {
                end.edges |= Readiness::WRITABLE;
                asked = 1 + self.faults.up_to(asked.saturating_sub(2) as u64) as usize;
            }
            Some(Fault::Reset) => self.reset(),
            Some(Fault::HalfClose) => self.half_close(side, now),
            None => {}
        }
        let end = &mut self.ends[side.index()];
        if std::mem::take(&mut end.error) {
            return WriteOutcome::Failed(io::ErrorKind::ConnectionReset.into());
        }
        if end.reset || end.shut {
            return WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into());
        }
        self.send(side, now, output, asked)
    }

    /// The edges since the last call; `None` if there were none.
    pub fn poll_ready(&mut self, side: Side, now: Time) -> Option<Readiness> {
        let end = &mut self.ends[side.index()];
        end.arrive(now);
        let edges = std::mem::take(&mut end.edges);
        (!edges.is_empty()).then_some(edges)
    }

    /// When something under way arrives next.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Time> {
        let of = |end: &End| {
            let bytes = end.coming.front().map(|(at, _)| *at);
            bytes.or_else(|| end.ends_at.filter(|_| !end.hung_up))
        };
        self.ends.iter().filter_map(of).min()
    }

    /// Shuts the sending direction of a side: its peer reads what is under way, then the end.
    pub fn half_close(&mut self, side: Side, now: Time) {
        if !std::mem::replace(&mut self.ends[side.index()].shut, true) {
            let at = self.arrival(side.other(), now);
            self.ends[side.other().index()].ends_at = Some(at);
        }
    }

    /// Closes a side altogether. With unread bytes that resets the connection, as in TCP.
    pub fn close(&mut self, side: Side, now: Time) {
        if self.ends[side.index()].held_bytes() > 0 {
            self.reset();
        } else {
            self.half_close(side, now);
        }
        self.ends[side.index()].closed = true;
    }

    /// Resets the connection: what is under way is lost, what has been received can be read.
    pub fn reset(&mut self) {
        for end in &mut self.ends {
            if std::mem::replace(&mut end.reset, true) {
                continue;
            }
            end.coming.clear();
            end.coming_bytes = 0;
            (end.error, end.hung_up) = (true, true);
            end.edges |= Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP;
        }
    }

    /// How many reads and writes there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.faults.operations()
    }

    fn send(&mut self, side: Side, now: Time, output: &Buffer, asked: usize) -> WriteOutcome {
        let at = self.arrival(side.other(), now);
        let capacity = self.options.capacity;
        let [end, peer] = match side {
            Side::A => self.ends.each_mut(),
            Side::B => {
                let [a, b] = self.ends.each_mut();
                [b, a]
            }
        };
        if peer.closed {
            // The first write to one that has gone is taken; its answer is a reset.
            self.reset();
            return WriteOutcome::Bytes(asked);
        }
        let count = asked.min(capacity.saturating_sub(peer.held_bytes()));
        end.wants_room |= count < asked;
        if count == 0 {
            return WriteOutcome::WouldBlock;
        }
        let mut bytes = vec![0; count];
        let sent = match output.front_source() {
            Some(source) => source.read(&mut bytes),
            None => Ok(output.copy_out(0, &mut bytes)),
        };
        match sent {
            Ok(sent) => {
                // A source may bring less than there is room for.
                if sent < count {
                    end.edges |= Readiness::WRITABLE;
                }
                bytes.truncate(sent);
                peer.coming_bytes += sent;
                peer.coming.push_back((at, bytes));
                WriteOutcome::Bytes(sent)
            }
            Err(error) => WriteOutcome::Failed(error.into()),
        }
    }

    /// When something sent to a side now arrives: never before what was sent earlier.
    fn arrival(&mut self, to: Side, now: Time) -> Time {
        let jitter_ns = u64::try_from(self.options.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = match jitter_ns {
            0 => Duration::ZERO,
            most => Duration::from_nanos(self.faults.up_to(most)),
        };
        let last = self.ends[to.index()].coming.back().map_or(Time::ZERO, |(at, _)| *at);
        last.max(now + self.options.delay + jitter)
    }
}

/// The most that one write takes of an output: what is in memory, or the source it begins with.
pub(super) fn one_write(output: &Buffer) -> usize {
    output.front_source().map_or_else(|| output.loaded(), |source| source.len())
}
