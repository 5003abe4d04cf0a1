//! A simulated core: a shard, its members, and turns that run one operation at a time.
//!
//! Owns what a reactor owns of a group. A turn tries the members that do not wait, then serves the
//! queue, then parks if the core goes to sleep; between two operations other cores may run theirs,
//! as the simulator orders them by their instants. Never moves a byte: an operation is a number.
//!
//! Invariant: a busy member is ready, waits in the shard's queue, or waits for its own limit.

use std::num::NonZeroU32;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::meter::Meter;
use super::mutant::Mutant;
use crate::bucket::TokenBucket;
use crate::config::TokenBucketConfig;
use crate::queue::MemberId;
use crate::shard::GroupShard;
use crate::time::{Direction, Time};

/// When a core begins its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// After exactly this long.
    Every(Duration),
    /// After half to one and a half of this, at random.
    About(Duration),
    /// At its deadline: a core where nobody waits sleeps until it is woken.
    Deadline,
}

/// What one member did.
#[derive(Clone, Debug)]
pub struct Member {
    /// Bytes it moved.
    pub moved: u64,
    /// Its weight among waiting members.
    pub weight: u32,
    /// Whether it has work.
    pub busy: bool,
    /// When bytes last moved, or it became busy.
    last: Time,
    longest_gap: Duration,
    id: MemberId,
    own: Option<Box<TokenBucket>>,
}

impl Member {
    /// Returns the longest time it had work and nothing moved, up to `now`.
    #[must_use]
    pub fn longest_gap(&self, now: Time) -> Duration {
        let open = if self.busy { now.saturating_since(self.last) } else { Duration::ZERO };
        self.longest_gap.max(open)
    }

    fn want(&mut self, now: Time) -> u64 {
        let own = self.own.as_mut().map_or(i64::MAX, |own| own.available(now, DIR));
        u64::try_from(own).unwrap_or(0).min(SINGLE_MAX)
    }
}

/// What a step needs of the simulation around the core.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) meter: Meter,
    pub(super) random: SmallRng,
    pub(super) mutant: Option<Mutant>,
}

/// A core of a simulation.
#[derive(Debug)]
pub struct Core {
    /// Its seat of the group.
    pub shard: GroupShard,
    /// Its members; the place is the member's token.
    pub members: Vec<Member>,
    /// Turns begun.
    pub turns: u64,
    /// The longest time from the begin of a turn to the begin of the next.
    pub longest_loop: Duration,
    /// Whether the core goes to sleep, and so parks, after each turn.
    pub parks: bool,
    /// When its turns begin.
    pub pace: Pace,
    /// How long an operation takes.
    pub operation: Duration,
    /// How long a turn is busy with something else before it serves the group.
    pub stall: Duration,
    /// How many operations in 256 are cut short by a peer that takes less.
    pub short_odds: u8,
    phase: Phase,
    turn_began: Time,
    turn_operations: u32,
    /// Members that do not wait for the group: to be tried in the next turn.
    ready: Vec<u32>,
    /// Those of this turn: tried in this order, and once more while bytes flow.
    round: Vec<u32>,
    again: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Between two turns.
    Resting,
    /// Trying the members that do not wait.
    Trying,
    /// Serving those that do.
    Serving,
}

impl Core {
    pub(super) fn new(shard: GroupShard, pace: Pace, now: Time) -> Self {
        Self {
            shard,
            members: Vec::new(),
            turns: 0,
            longest_loop: Duration::ZERO,
            parks: true,
            pace,
            operation: Duration::ZERO,
            stall: Duration::ZERO,
            short_odds: 0,
            phase: Phase::Resting,
            turn_began: now,
            turn_operations: 0,
            ready: Vec::new(),
            round: Vec::new(),
            again: Vec::new(),
        }
    }

    /// Adds a busy member, with a limit of its own or without.
    ///
    /// # Panics
    /// If `weight` is 0.
    pub fn add(&mut self, now: Time, weight: u32, own: Option<&TokenBucketConfig>) {
        let token = self.members.len() as u32;
        let nonzero = NonZeroU32::new(weight).expect("a member weighs at least 1");
        let id = self.shard.join(token.into(), nonzero);
        let own = own.map(|config| Box::new(TokenBucket::new(now, config)));
        let (moved, longest_gap) = (0, Duration::ZERO);
        self.members.push(Member { moved, weight, busy: true, last: now, longest_gap, id, own });
        self.ready.push(token);
    }

    /// Starts or stops a member's work at `now`.
    pub fn set_busy(&mut self, now: Time, token: usize, busy: bool) {
        let member = &mut self.members[token];
        if member.busy == busy {
            return;
        }
        member.longest_gap = member.longest_gap(now);
        member.busy = busy;
        member.last = now;
        if busy {
            self.ready.push(token as u32);
        } else {
            self.shard.cancel(member.id, DIR);
            for list in [&mut self.ready, &mut self.round, &mut self.again] {
                list.retain(|&ready| ready as usize != token);
            }
        }
    }

    /// Says whether it sleeps until its deadline and can be woken before.
    pub(super) fn is_asleep(&self) -> bool {
        matches!((self.phase, self.pace), (Phase::Resting, Pace::Deadline))
    }

    pub(super) fn forget(&mut self, now: Time) {
        (self.turns, self.longest_loop) = (0, Duration::ZERO);
        for member in &mut self.members {
            (member.moved, member.last, member.longest_gap) = (0, now, Duration::ZERO);
        }
    }

    /// Runs one step of a turn; returns when the next is due.
    pub(super) fn step(&mut self, now: Time, around: &mut Around) -> Time {
        match self.phase {
            Phase::Resting => {
                self.begin(now);
                now + self.stall
            }
            Phase::Trying => {
                let Some(token) = self.next_ready() else {
                    self.shard.handle_deadline(now);
                    self.phase = Phase::Serving;
                    return now;
                };
                if self.try_member(now, token, around) { now + self.operation } else { now }
            }
            Phase::Serving if self.turn_operations >= TURN_OPERATIONS_MAX => {
                self.phase = Phase::Resting;
                now + SLEEP_MIN
            }
            Phase::Serving => {
                if self.serve_one(now, around) {
                    return now + self.operation;
                }
                self.phase = Phase::Resting;
                if self.parks {
                    self.shard.park();
                }
                self.next_turn(now, &mut around.random)
            }
        }
    }

    fn begin(&mut self, now: Time) {
        if self.turns > 0 {
            self.longest_loop = self.longest_loop.max(now.saturating_since(self.turn_began));
        }
        self.turns += 1;
        (self.turn_began, self.turn_operations) = (now, 0);
        self.phase = Phase::Trying;
        debug_assert!(self.round.is_empty() && self.again.is_empty());
        std::mem::swap(&mut self.round, &mut self.ready);
        self.round.reverse();
    }

    fn next_ready(&mut self) -> Option<u32> {
        if self.turn_operations >= TURN_OPERATIONS_MAX {
            self.ready.append(&mut self.round);
            self.ready.append(&mut self.again);
            return None;
        }
        if self.round.is_empty() {
            std::mem::swap(&mut self.round, &mut self.again);
            self.round.reverse();
        }
        self.round.pop()
    }

    /// Lets a member that does not wait move bytes; says whether it did.
    fn try_member(&mut self, now: Time, token: u32, around: &mut Around) -> bool {
        let member = &mut self.members[token as usize];
        let want = member.want(now);
        if want == 0 {
            self.ready.push(token);
            return false;
        }
        let (id, reading) = (member.id, self.reading(now, around));
        let Some(grant) = self.shard.request(id, DIR, want, || reading) else { return false };
        assert!(grant.bytes > 0 && grant.bytes <= want, "asked {want}, got {grant:?}");
        let used = self.used(grant.bytes, &mut around.random);
        self.count(token, used, now, around);
        self.shard.settle(id, grant, used, true);
        self.again.push(token);
        true
    }

    /// Serves the member at the front of the queue; says whether there was one with bytes.
    fn serve_one(&mut self, now: Time, around: &mut Around) -> bool {
        let reading = self.reading(now, around);
        let Some((token, id, grant)) = self.shard.poll_grant(DIR, || reading) else { return false };
        let token = token as u32;
        if around.mutant == Some(Mutant::StarvedMember) && token == 0 {
            self.shard.settle(id, grant, 0, true);
            return true;
        }
        let most = grant.bytes.min(self.members[token as usize].want(now));
        let used = self.used(most, &mut around.random);
        if used > 0 {
            self.count(token, used, now, around);
        }
        let pending = self.members[token as usize].want(now) > 0;
        self.shard.settle(id, grant, used, pending);
        if !pending {
            self.ready.push(token);
        }
        true
    }

    /// The reading a draw is made with.
    fn reading(&self, now: Time, around: &Around) -> Time {
        if around.mutant == Some(Mutant::CachedClock) { self.turn_began } else { now }
    }

    /// How much of `bytes` the peer takes.
    fn used(&self, bytes: u64, random: &mut SmallRng) -> u64 {
        if self.short_odds > 0 && bytes > 1 && random.random::<u8>() < self.short_odds {
            return random.random_range(1..bytes);
        }
        bytes
    }

    fn count(&mut self, token: u32, used: u64, now: Time, around: &mut Around) {
        let member = &mut self.members[token as usize];
        if let Some(own) = &mut member.own {
            own.charge(DIR, used);
        }
        member.moved += used;
        member.longest_gap = member.longest_gap.max(now.saturating_since(member.last));
        member.last = now;
        self.turn_operations += 1;
        around.meter.record(now, used);
    }

    fn next_turn(&mut self, now: Time, random: &mut SmallRng) -> Time {
        match self.pace {
            Pace::Every(interval) => (self.turn_began + interval).max(now + SLEEP_MIN),
            Pace::About(interval) => {
                let ns = interval.as_nanos() as u64;
                let random = Duration::from_nanos(random.random_range(ns / 2..=ns / 2 + ns));
                (self.turn_began + random).max(now + SLEEP_MIN)
            }
            Pace::Deadline => {
                let members = &self.members;
                let own = self.ready.iter().filter_map(|&token| {
                    let own = members[token as usize].own.as_ref()?;
                    own.clone().next_ready(now, DIR)
                });
                let due = self.shard.poll_deadline().into_iter().chain(own).min();
                due.map_or(Time::MAX, |due| due.max(now + SLEEP_MIN))
            }
        }
    }
}

/// The direction everything is simulated in.
pub(super) const DIR: Direction = Direction::Write;

/// The largest single operation, as in a bufferevent.
const SINGLE_MAX: u64 = 16 * 1024;

/// The shortest sleep: what a timer can resolve.
const SLEEP_MIN: Duration = Duration::from_micros(10);

/// Operations of a turn after which a core looks at the rest of its world.
const TURN_OPERATIONS_MAX: u32 = 4096;
