//! A rig: two bufferevents that face each other over a link, driven as a reactor would.
//!
//! Owns the clock, the streams, one core's seat in a group if they are members of one, and a
//! record of every operation. Never lets time pass while something can be done; then moves to the
//! earliest instant at which something can.
//!
//! The order within a turn is the runtime's: edges, one read and one write a side under their
//! permits, callbacks, and deadlines only when all of that has come to rest.

use std::num::NonZeroU32;
use std::task::Waker;

use groups::{Direction, Group, GroupShard, Time};

use super::link::{Link, Side, one_write};
use crate::{
    Allowance, Bufferevent, Callback, Landing, Membership, Permit, ReadOutcome, WriteOutcome,
};

/// One read or write that moved bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it took place.
    pub at: Time,
    /// Whose it was.
    pub side: Side,
    /// Which way the bytes went.
    pub direction: Direction,
    /// How many there were.
    pub bytes: u64,
}

/// The most bytes the buffers of a side have ever held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// In the input.
    pub input: usize,
    /// In the output.
    pub output: usize,
}

#[derive(Debug)]
struct Seat {
    stream: Bufferevent,
    landing: Landing,
    peak: Peak,
    /// The link has been told that the stream is closed.
    gone: bool,
}

/// Two bufferevents, a link between them, and the time.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::Callback;
/// use sluicegate_core_buf::testing::{Faults, Link, LinkOptions, Rig, Side};
/// use sluicegate_groups::Time;
///
/// let mut rig = Rig::new(Link::new(LinkOptions::default(), Faults::none()));
/// rig.stream(Side::A).buffers().1.add(b"hello");
/// let mut heard = Vec::new();
/// rig.run(Time::MAX, &mut |side, _now, stream, callback| {
///     if let (Side::B, Callback::Read) = (side, callback) {
///         heard = stream.input().to_vec();
///     }
/// });
/// assert_eq!(heard, b"hello");
/// ```
#[derive(Debug)]
pub struct Rig {
    now: Time,
    link: Link,
    seats: [Seat; 2],
    shard: Option<GroupShard>,
    operations: Vec<Operation>,
}

/// What the application does when it is called.
type Handler<'a> = dyn FnMut(Side, Time, &mut Bufferevent, Callback) + 'a;

impl Rig {
    /// Two connected streams at time zero.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self::with_streams(link, [Time::ZERO; 2].map(Bufferevent::connected))
    }

    /// The given streams at time zero; A's comes first.
    #[must_use]
    pub fn with_streams(link: Link, streams: [Bufferevent; 2]) -> Self {
        let seats = streams.map(|stream| Seat {
            stream,
            landing: Landing::new(),
            peak: Peak::default(),
            gone: false,
        });
        Self { now: Time::ZERO, link, seats, shard: None, operations: Vec::new() }
    }

    /// Runs until nothing can happen any more, or nothing before `until`; then it is that time,
    /// unless that is [`Time::MAX`]. Calls `handler` for every callback.
    ///
    /// # Panics
    /// If one instant sees more turns than any honest one needs: something spins.
    pub fn run(&mut self, until: Time, handler: &mut Handler<'_>) {
        let mut turns = 0;
        loop {
            if self.turn(handler) || self.handle_deadlines() {
                turns += 1;
                assert!(turns < TURNS_PER_INSTANT, "spins at {:?}: {:?}", self.now, self.seats);
                continue;
            }
            match self.next_instant() {
                Some(at) if at <= until => {
                    turns = if at > self.now { 0 } else { turns + 1 };
                    assert!(turns < TURNS_PER_INSTANT, "nothing answers what is due at {at:?}");
                    self.now = self.now.max(at);
                }
                _ => break,
            }
        }
        if until < Time::MAX {
            self.now = self.now.max(until);
        }
    }

    /// Makes a side a member of a group; both sides are of the same core, so of one seat.
    ///
    /// # Panics
    /// If the group has no seat left, or if the other side is in another group.
    pub fn join(&mut self, side: Side, group: &Group, weight: NonZeroU32) {
        let now = self.now;
        let shard = self.shard.get_or_insert_with(|| {
            group.shard(now, Waker::noop().clone()).expect("the rig needs one seat of the group")
        });
        assert!(shard.group() == *group, "a rig has a seat in one group");
        let member = shard.join(side.index() as u64, weight);
        self.stream(side).set_membership(Some(Membership { shard: 0, member }));
    }

    /// The stream of a side. Call [`run`](Self::run) afterwards: it looks at it again.
    pub fn stream(&mut self, side: Side) -> &mut Bufferevent {
        &mut self.seats[side.index()].stream
    }

    /// The link, to break it by hand.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The most that the buffers of a side have held.
    #[must_use]
    pub fn peak(&self, side: Side) -> Peak {
        self.seats[side.index()].peak
    }

    /// Every operation that moved bytes so far, in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// One turn; `false` if nothing was left to do.
    fn turn(&mut self, handler: &mut Handler<'_>) -> bool {
        let mut busy = self.resume_members();
        for side in Side::BOTH {
            let now = self.now;
            let seat = &mut self.seats[side.index()];
            if let Some(ready) = self.link.poll_ready(side, now) {
                seat.stream.handle_ready(ready);
                busy = true;
            }
            seat.stream.handle_callback(now);
            for direction in Direction::ALL {
                busy |= self.operate(side, direction);
            }
            busy |= self.call(side, handler);
            let seat = &mut self.seats[side.index()];
            if seat.stream.poll_shutdown() {
                self.link.half_close(side, now);
                busy = true;
            }
            if seat.stream.is_closed() && !std::mem::replace(&mut seat.gone, true) {
                self.link.close(side, now);
                busy = true;
            }
        }
        busy
    }

    fn operate(&mut self, side: Side, direction: Direction) -> bool {
        let now = self.now;
        let stream = &mut self.seats[side.index()].stream;
        let Some(want) = stream.poll_operation(direction) else { return false };
        let shard = self.shard.as_mut().filter(|_| stream.membership().is_some());
        match stream.request(direction, want, shard, &mut || now) {
            Allowance::Move(permit) => self.transfer(side, direction, permit),
            Allowance::Wait => {}
        }
        true
    }

    fn transfer(&mut self, side: Side, direction: Direction, permit: Permit) {
        let now = self.now;
        let Seat { stream, landing, peak, .. } = &mut self.seats[side.index()];
        let used = match direction {
            Direction::Read => {
                let space = landing.space(permit.bytes);
                let asked = space.len();
                let outcome = self.link.read(side, now, space);
                let used = if let ReadOutcome::Bytes(count) = outcome { count } else { 0 };
                stream.handle_read(now, outcome, asked, landing);
                used
            }
            Direction::Write => {
                let asked = permit.bytes.min(one_write(stream.output()));
                let outcome = self.link.write(side, now, stream.output(), asked);
                let used = if let WriteOutcome::Bytes(count) = outcome { count } else { 0 };
                stream.handle_write(now, outcome, asked);
                used
            }
        };
        peak.record(stream);
        let shard = self.shard.as_mut().filter(|_| stream.membership().is_some());
        stream.settle(permit, used, shard);
        if used > 0 {
            self.operations.push(Operation { at: now, side, direction, bytes: used as u64 });
        }
    }

    fn call(&mut self, side: Side, handler: &mut Handler<'_>) -> bool {
        let now = self.now;
        let Seat { stream, peak, .. } = &mut self.seats[side.index()];
        let mut busy = false;
        while let Some(callback) = stream.poll_callback() {
            handler(side, now, stream, callback);
            stream.handle_callback(now);
            peak.record(stream);
            busy = true;
        }
        busy
    }

    /// Serves the members that wait for the group, as long as it has tokens.
    fn resume_members(&mut self) -> bool {
        let now = self.now;
        let mut busy = false;
        if let Some(shard) = &mut self.shard {
            shard.handle_deadline(now);
        }
        for direction in Direction::ALL {
            while let Some(shard) = &mut self.shard
                && let Some((token, _, grant)) = shard.poll_grant(direction, || now)
            {
                let side = Side::BOTH[token as usize];
                let stream = &mut self.seats[side.index()].stream;
                if let Some(permit) = stream.resume(direction, grant, shard, &mut || now) {
                    self.transfer(side, direction, permit);
                }
                busy = true;
            }
        }
        busy
    }

    fn next_instant(&self) -> Option<Time> {
        let streams = self.seats.iter().filter_map(|seat| seat.stream.poll_deadline()).min();
        let shard = self.shard.as_ref().and_then(GroupShard::poll_deadline);
        [streams, shard, self.link.next_arrival()].into_iter().flatten().min()
    }

    /// Tells the streams about deadlines that are due; `false` if none is.
    fn handle_deadlines(&mut self) -> bool {
        let now = self.now;
        let mut busy = false;
        for Seat { stream, .. } in &mut self.seats {
            if stream.poll_deadline().is_some_and(|at| at <= now) {
                stream.handle_deadline(now);
                busy = true;
            }
        }
        busy
    }
}

impl Peak {
    fn record(&mut self, stream: &Bufferevent) {
        self.input = self.input.max(stream.input().len());
        self.output = self.output.max(stream.output().len());
    }
}

/// More turns than a whole transfer takes; reaching it means that something spins.
const TURNS_PER_INSTANT: u32 = 100_000;
