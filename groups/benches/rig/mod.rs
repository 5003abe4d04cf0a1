//! What the benches measure: each operation with its set-up, once for both of them.
//!
//! Owns a table of operations. Each sets itself up and hands back a closure that repeats one step;
//! time is a number it counts on, so a run decides the same things on any machine at any load.
//! Never measures: `operations.rs` takes the time, `instructions.rs` counts instructions.
//!
//! Invariant: no step is refused what it asks for unless it is there to be refused; each checks
//! what it was granted, so that nothing cheaper is measured by mistake.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::task::Waker;
use std::time::Duration;

use sluicegate_groups::{
    Direction, Group, GroupShard, MemberId, Time, TokenBucket, TokenBucketConfig,
};

/// An operation that can be repeated.
pub(crate) struct Operation {
    /// Its name on the command line and in the table of `README.md`.
    pub(crate) name: &'static str,
    /// How many operations one step is.
    pub(crate) per_step: u32,
    prepare: fn() -> Steps,
}

/// Repeats the step as often as it is told.
pub(crate) type Steps = Box<dyn FnMut(u64)>;

impl Operation {
    const fn new(name: &'static str, per_step: u32, prepare: fn() -> Steps) -> Self {
        Self { name, per_step, prepare }
    }

    /// Sets up for it.
    pub(crate) fn prepare(&self) -> Steps {
        (self.prepare)()
    }
}

/// Everything that is measured, in the order of the table.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("charge", 1, charge),
    Operation::new("turn", 1, || turn(false)),
    Operation::new("turn_parking", 1, || turn(true)),
    Operation::new("draw", 1, draw),
    Operation::new("draw_refund", 1, draw_refund),
    Operation::new("draw_each", 1, draw_each),
    Operation::new("resume_1000", RESUMED, || resume(&[1_000])),
    Operation::new("resume_100000", RESUMED, || resume(&[100_000])),
    Operation::new("resume_2_cores", RESUMED, || resume(&[500, 500])),
    Operation::new("rebalance", 1, rebalance),
    Operation::new("set_config", 1, set_config),
    Operation::new("join_leave", 1, join_leave),
    Operation::new("bucket", 1, bucket),
];

/// Request and settle while the lease suffices.
fn charge() -> Steps {
    let mut core = Core::new(&fast(), Time::ZERO + SECOND);
    Box::new(move |steps| {
        for _ in 0..steps {
            core.pass(1);
            core.charge(black_box(1), 1);
        }
    })
}

/// All that a turn with one operation does about a group's limit; the lease is drawn anew when it
/// is used up, or given back at the end of every turn.
fn turn(parks: bool) -> Steps {
    let mut core = Core::new(&fast(), Time::ZERO + SECOND);
    Box::new(move |steps| {
        for _ in 0..steps {
            core.pass(OPERATION_NS);
            core.charge(black_box(OPERATION), OPERATION);
            core.shard.handle_deadline(core.now);
            black_box(core.shard.holds_lease());
            black_box(core.shard.poll_deadline());
            if parks {
                core.shard.park();
            }
        }
    })
}

/// A charge that uses its lease up, so that the next has to draw.
fn draw() -> Steps {
    let mut core = Core::new(&fast(), Time::ZERO + SECOND);
    let lease = core.shard.max_grant(DIR);
    Box::new(move |steps| {
        for _ in 0..steps {
            core.pass(LEASE_NS);
            core.charge(black_box(lease), lease);
        }
    })
}

/// A charge that draws a lease, of which nearly all goes back.
fn draw_refund() -> Steps {
    let mut core = Core::new(&fast(), Time::ZERO + SECOND);
    Box::new(move |steps| {
        for _ in 0..steps {
            core.pass(OPERATION_NS);
            core.charge(black_box(OPERATION), OPERATION);
            core.shard.park();
        }
    })
}

/// A charge in a group whose burst leaves no room for leases: it draws just what it moves.
fn draw_each() -> Steps {
    let (rate, tick) = (LEASE_NS * BYTES_PER_NS, Some(Duration::from_nanos(LEASE_NS)));
    let config = TokenBucketConfig::new(rate, rate, rate, rate, tick).unwrap();
    let mut core = Core::new(&Group::new(Time::ZERO, config).unwrap(), Time::ZERO);
    Box::new(move |steps| {
        for _ in 0..steps {
            // Half the rate: nothing is saved from one tick to the next.
            core.pass(2 * OPERATION_NS);
            core.charge(black_box(OPERATION), OPERATION);
        }
    })
}

/// A millisecond of a group in which `waiting` members on each core always want more.
fn resume(waiting: &[usize]) -> Steps {
    let group = Group::new(Time::ZERO, per_second("100MB/s")).unwrap();
    let mut cores: Vec<_> = waiting.iter().map(|_| Core::new(&group, Time::ZERO)).collect();
    for (core, &count) in cores.iter_mut().zip(waiting) {
        core.exhaust();
        for token in 1..count {
            let member = core.shard.join(token as u64, NonZeroU32::MIN);
            assert_eq!(core.shard.request(member, DIR, u64::MAX, || core.now), None);
        }
    }
    for core in &mut cores {
        core.shard.rebalance(core.now);
    }
    Box::new(move |steps| {
        let mut resumed = 0;
        for _ in 0..steps {
            for core in &mut cores {
                core.pass(RESUME_NS);
                resumed += core.resume();
            }
        }
        let due = steps * u64::from(RESUMED);
        assert!(resumed.abs_diff(due) <= 2 * u64::from(RESUMED), "resumed {resumed}, not {due}");
    })
}

/// The rebalance of a core with a member waiting.
fn rebalance() -> Steps {
    let mut core = Core::new(&fast(), Time::ZERO);
    core.exhaust();
    Box::new(move |steps| {
        for _ in 0..steps {
            core.pass(LEASE_NS);
            core.shard.rebalance(core.now);
        }
        assert!(core.shard.is_waiting(DIR));
    })
}

/// A new configuration, and its adoption by a core that holds a lease.
fn set_config() -> Steps {
    let (group, config) = (fast(), per_second("10GB/s"));
    let mut core = Core::new(&group, Time::ZERO + SECOND);
    Box::new(move |steps| {
        for _ in 0..steps {
            core.pass(OPERATION_NS);
            core.charge(OPERATION, OPERATION);
            group.set_config(core.now, black_box(&config).clone()).unwrap();
            black_box(core.shard.refresh());
        }
    })
}

/// A member comes and goes.
fn join_leave() -> Steps {
    let mut core = Core::new(&fast(), Time::ZERO);
    Box::new(move |steps| {
        for _ in 0..steps {
            let member = core.shard.join(black_box(7), NonZeroU32::MIN);
            core.shard.leave(black_box(member));
        }
    })
}

/// What may move under a connection's own limit, and the charge for it.
fn bucket() -> Steps {
    let mut now = Time::ZERO + SECOND;
    let mut bucket = TokenBucket::new(Time::ZERO, &per_second("10GB/s"));
    Box::new(move |steps| {
        for _ in 0..steps {
            now = now + Duration::from_nanos(OPERATION_NS);
            let available = bucket.available(black_box(now), DIR);
            assert!(available >= OPERATION as i64);
            bucket.charge(DIR, black_box(OPERATION));
        }
    })
}

/// One core of a group, with one member.
struct Core {
    shard: GroupShard,
    member: MemberId,
    now: Time,
}

impl Core {
    fn new(group: &Group, now: Time) -> Self {
        let mut shard = group.shard(now, Waker::noop().clone()).unwrap();
        let member = shard.join(0, NonZeroU32::MIN);
        Self { shard, member, now }
    }

    #[inline(always)]
    fn pass(&mut self, ns: u64) {
        self.now = self.now + Duration::from_nanos(ns);
    }

    /// Asks for `want` bytes, gets `moved` and moves them.
    #[inline(always)]
    fn charge(&mut self, want: u64, moved: u64) {
        let grant = self.shard.request(self.member, DIR, want, || self.now).expect("tokens");
        assert_eq!(grant.bytes, moved);
        self.shard.settle(self.member, grant, moved, false);
    }

    /// Moves all there is, until the member waits.
    fn exhaust(&mut self) {
        while let Some(grant) = self.shard.request(self.member, DIR, u64::MAX, || self.now) {
            let bytes = grant.bytes;
            self.shard.settle(self.member, grant, bytes, true);
        }
    }

    /// Serves those that waited, as far as tokens reach; returns how many.
    fn resume(&mut self) -> u64 {
        let mut resumed = 0;
        self.shard.handle_deadline(self.now);
        while let Some((_, member, grant)) = self.shard.poll_grant(DIR, || self.now) {
            let bytes = grant.bytes;
            self.shard.settle(member, grant, bytes, true);
            resumed += 1;
        }
        black_box(self.shard.poll_deadline());
        resumed
    }
}

/// 10 GB/s with default seats: a lease is 10 MB, or 610 operations.
fn fast() -> Group {
    Group::new(Time::ZERO, per_second("10GB/s")).unwrap()
}

fn per_second(rate: &str) -> TokenBucketConfig {
    TokenBucketConfig::per_second(rate.parse().unwrap())
}

const DIR: Direction = Direction::Write;
const SECOND: Duration = Duration::from_secs(1);
/// 10 GB/s, what the fast group produces.
const BYTES_PER_NS: u64 = 10;
/// The runtime's largest single read or write.
const OPERATION: u64 = 16 * 1024;
/// The time in which the fast group produces that much.
const OPERATION_NS: u64 = OPERATION.div_ceil(BYTES_PER_NS);
/// The time in which it produces a lease.
const LEASE_NS: u64 = 1_000_000;
/// What 100 MB/s serve in a millisecond, the resolution of a runtime's timers: quanta of 10,000.
const RESUMED: u32 = 10;
const RESUME_NS: u64 = 1_000_000;
