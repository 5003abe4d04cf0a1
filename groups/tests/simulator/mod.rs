//! Cores in virtual time: whole groups run without a clock, a thread or a socket.
//!
//! Owns a group, a shard for each core, members that always (or never) have work, and a log of
//! every byte moved. Each core either polls at a fixed interval or sleeps until its deadline.
//! Deterministic: the same calls give the same log.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::num::NonZeroU32;
use std::task::Waker;
use std::time::Duration;

use sluicegate_groups::{
    Direction, Group, GroupShard, MemberId, Time, TokenBucket, TokenBucketConfig,
};

/// The direction everything is simulated in.
pub(crate) const DIR: Direction = Direction::Write;

/// The largest single operation, as in a bufferevent.
const SINGLE_MAX: u64 = 16 * 1024;

/// The shortest sleep: what a timer can resolve.
const SLEEP_MIN: Duration = Duration::from_micros(10);

pub(crate) struct Member {
    pub(crate) moved: u64,
    pub(crate) busy: bool,
    /// When bytes last moved, and the longest time between two such instants.
    pub(crate) last: Time,
    pub(crate) longest_gap: Duration,
    id: MemberId,
    own: Option<TokenBucket>,
}

/// When a core runs its next turn.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    Every(Duration),
    /// At its deadline; a core where nobody waits sleeps for ever.
    Deadline,
}

pub(crate) struct Core {
    pub(crate) shard: GroupShard,
    pub(crate) members: Vec<Member>,
    pub(crate) operations: u64,
    pub(crate) turns: u64,
    /// Whether the core goes to sleep, and so parks, after each turn.
    pub(crate) parks: bool,
    pace: Pace,
    due: Time,
    /// Members that do not wait for the group: to be tried in the next turn.
    ready: Vec<usize>,
}

pub(crate) struct Simulator {
    pub(crate) group: Group,
    pub(crate) cores: Vec<Core>,
    pub(crate) now: Time,
    /// When bytes moved and how many.
    pub(crate) log: Vec<(Time, u64)>,
}

impl Simulator {
    pub(crate) fn new(group: Group) -> Self {
        Self { group, cores: Vec::new(), now: Time::ZERO, log: Vec::new() }
    }

    /// Adds a core with a busy member of each of these weights.
    pub(crate) fn core(&mut self, pace: Pace, weights: impl IntoIterator<Item = u32>) -> &mut Core {
        let shard = self.group.shard(self.now, Waker::noop().clone()).unwrap();
        self.cores.push(Core {
            shard,
            members: Vec::new(),
            operations: 0,
            turns: 0,
            parks: true,
            pace,
            due: self.now,
            ready: Vec::new(),
        });
        let core = self.cores.last_mut().unwrap();
        for weight in weights {
            core.add(self.now, weight, None);
        }
        core
    }

    /// Runs every core's turns up to and including `end`.
    pub(crate) fn run_until(&mut self, end: Time) {
        loop {
            let next = self.cores.iter_mut().min_by_key(|core| core.due).expect("a core");
            if next.due > end {
                self.now = end;
                return;
            }
            self.now = next.due;
            next.turn(self.now, &mut self.log);
        }
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Forgets what was moved so far: the next numbers are free of the start.
    pub(crate) fn forget(&mut self) {
        self.log.clear();
        for core in &mut self.cores {
            core.operations = 0;
            core.turns = 0;
            for member in &mut core.members {
                (member.moved, member.last, member.longest_gap) = (0, self.now, Duration::ZERO);
            }
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.cores.iter().flat_map(|core| &core.members)
    }

    pub(crate) fn moved(&self) -> u64 {
        self.log.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The smallest share over the largest, among busy members.
    pub(crate) fn evenness(&self) -> f64 {
        let busy = || self.members().filter(|member| member.busy).map(|member| member.moved);
        busy().min().unwrap() as f64 / busy().max().unwrap() as f64
    }
}

impl Core {
    pub(crate) fn add(&mut self, now: Time, weight: u32, own: Option<&TokenBucketConfig>) {
        let token = self.members.len();
        let id = self.shard.join(token as u64, NonZeroU32::new(weight).unwrap());
        let own = own.map(|config| TokenBucket::new(now, config));
        let (moved, longest_gap) = (0, Duration::ZERO);
        self.members.push(Member { moved, busy: true, last: now, longest_gap, id, own });
        self.ready.push(token);
    }

    /// Starts or stops a member's work.
    pub(crate) fn set_busy(&mut self, token: usize, busy: bool) {
        let member = &mut self.members[token];
        if member.busy == busy {
            return;
        }
        member.busy = busy;
        if busy {
            self.ready.push(token);
        } else {
            self.shard.cancel(member.id, DIR);
            self.ready.retain(|&ready| ready != token);
        }
    }

    pub(crate) fn turn(&mut self, now: Time, log: &mut Vec<(Time, u64)>) {
        self.turns += 1;
        self.shard.handle_deadline(now);
        self.run_ready(now, log);
        while let Some((token, id, grant)) = self.shard.poll_grant(DIR, || now) {
            let token = token as usize;
            let used = grant.bytes.min(self.members[token].want(now));
            self.count(token, used, now, log);
            let pending = self.members[token].want(now) > 0;
            self.shard.settle(id, grant, used, pending);
            if !pending {
                self.ready.push(token);
            }
        }
        if self.parks {
            self.shard.park();
        }
        self.due = match self.pace {
            Pace::Every(interval) => now + interval,
            Pace::Deadline => match self.shard.poll_deadline() {
                Some(due) => due.max(now + SLEEP_MIN),
                None => Time::MAX,
            },
        };
    }

    /// Lets every member that does not wait move bytes, one operation each in turn, until its own
    /// limit is used up or it waits for the group's.
    fn run_ready(&mut self, now: Time, log: &mut Vec<(Time, u64)>) {
        let mut round = std::mem::take(&mut self.ready);
        while !round.is_empty() {
            for token in std::mem::take(&mut round) {
                let want = self.members[token].want(now);
                if want == 0 {
                    self.ready.push(token);
                    continue;
                }
                let id = self.members[token].id;
                let Some(grant) = self.shard.request(id, DIR, want, || now) else { continue };
                assert!(grant.bytes > 0 && grant.bytes <= want, "asked {want}, got {grant:?}");
                self.count(token, grant.bytes, now, log);
                self.shard.settle(id, grant, grant.bytes, true);
                round.push(token);
            }
        }
    }

    fn count(&mut self, token: usize, used: u64, now: Time, log: &mut Vec<(Time, u64)>) {
        let member = &mut self.members[token];
        if let Some(own) = &mut member.own {
            own.charge(DIR, used);
        }
        member.moved += used;
        member.longest_gap = member.longest_gap.max(now.saturating_since(member.last));
        member.last = now;
        self.operations += 1;
        log.push((now, used));
    }
}

impl Member {
    fn want(&mut self, now: Time) -> u64 {
        let own = self.own.as_mut().map_or(i64::MAX, |own| own.available(now, DIR));
        u64::try_from(own).unwrap_or(0).min(SINGLE_MAX)
    }
}

/// Returns by how much the worst of all windows exceeds `produced(from, to) + burst`.
///
/// `produced(t)` is what the limit has produced by `t`, times `scale`, so that it is whole.
pub(crate) fn worst_excess(
    log: &[(Time, u64)],
    burst: u64,
    scale: u64,
    produced: impl Fn(Time) -> u128,
) -> i128 {
    let (mut moved, mut least, mut worst) = (0i128, i128::MAX, i128::MIN);
    for &(now, bytes) in log {
        let produced = produced(now) as i128;
        least = least.min(moved * i128::from(scale) - produced);
        moved += i128::from(bytes);
        worst = worst.max(moved * i128::from(scale) - produced - least);
    }
    // Bytes are whole: a window may round its production up to the next one.
    (worst - i128::from(scale) + 1).div_euclid(i128::from(scale)) - i128::from(burst)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}
